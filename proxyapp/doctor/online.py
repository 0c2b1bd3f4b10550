"""What has to be asked over the network: our own port, the backends, and what time it is elsewhere. All of it free."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from statistics import median

from django.conf import settings

from accounts.models import Account
from accounts.probes import TestResult, account_test
from accounts.snapshot import AccountConfig, Snapshot
from backends.addresses import BadBaseUrl, check_base_url
from backends.config import BackendConfig
from backends.errors import ConnectFailed, UpstreamError
from backends.upstream import Deadlines, UpstreamResponse, current_upstream
from proxyapp.doctor.findings import Finding, fail, ok, warn

ODD_CLOCK, WRONG_CLOCK = 30.0, 300.0
MAX_ANSWER = 2**20
_OURS = Deadlines(connect=3, first_byte=5, idle=5)
_THEIRS = Deadlines(connect=5, first_byte=15, idle=15)


@dataclass(frozen=True, slots=True)
class PortAnswer:
    """Who answers at our address. `is_free`: nobody; `refusal`: then why we could not listen there all the same.

    `version`, `status` and `reasons` only when it is Patchbay. `unasked`: why it was not even asked.
    """

    is_free: bool = False
    refusal: str = ""
    is_ours: bool = False
    version: str = ""
    status: str = ""
    reasons: tuple[str, ...] = ()
    unasked: str = ""


async def ask_port(url: str) -> PortAnswer:
    """Look who listens where Patchbay is to listen."""
    try:
        front = await _json_of(await _get(url, "/", _OURS))
        if front.get("name") != "patchbay":
            return PortAnswer()
        health = await _json_of(await _get(url, "/health", _OURS))
    except ConnectFailed:
        return PortAnswer(is_free=True, refusal=_why_not(settings.PATCHBAY_HOST, settings.PATCHBAY_PORT))
    except UpstreamError:
        return PortAnswer()
    except BadBaseUrl as exc:
        return PortAnswer(unasked=str(exc))
    reasons = health.get("reasons")
    return PortAnswer(
        is_ours=True,
        version=str(health.get("version", "")),
        status=str(health.get("status", "")),
        reasons=tuple(map(str, reasons)) if isinstance(reasons, list) else (),
    )


def _why_not(host: str, port: int) -> str:
    """Why nobody could listen there; "" when one could."""
    try:
        with socket.create_server((host.strip("[]"), port), family=_family(host)):
            return ""
    except OSError as exc:
        return exc.strerror or type(exc).__name__


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def port_finding(answer: PortAnswer, url: str, version: str) -> Finding:
    """What that means for Patchbay of this version."""
    if answer.unasked:
        cure = "Bind to 127.0.0.1 behind a reverse proxy with TLS (docs/operations.md)."
        return warn("server", f"{url} was not asked. {answer.unasked}", cure)
    if answer.refusal:
        return fail(
            "server",
            f"Nobody answers at {url}, but Patchbay cannot listen there: {answer.refusal}.",
            "Choose another port or address: runproxy --port PORT --host ADDRESS",
        )
    if answer.is_free:
        return ok("server", f"not running; {url} is free (python manage.py runproxy)")
    if not answer.is_ours:
        return fail(
            "server",
            f"Another program listens at {url}.",
            "Stop it, or give Patchbay another port: runproxy --port PORT",
        )
    if answer.version and answer.version != version:
        return fail(
            "server",
            f"Patchbay {answer.version} runs at {url}, but this is {version}.",
            "Restart it: it works with what it loaded when it started.",
        )
    if answer.status != "ok":
        why = "; ".join(answer.reasons) or "it does not say why"
        return warn("server", f"runs at {url}, degraded: {why}.", "See: python manage.py accounts list")
    return ok("server", f"runs at {url}, version {version}")


async def try_backends(snapshot: Snapshot) -> list[Finding]:
    """Ask every backend for its models, with each account that has a credential of its own."""
    backends = snapshot.routing.real_backends
    return list(await asyncio.gather(*(_try_backend(one, snapshot.pool(one.name)) for one in backends)))


async def _try_backend(backend: BackendConfig, accounts: Sequence[AccountConfig]) -> Finding:
    tested = [one for one in accounts if not one.is_paused and one.kind != Account.CALLER]
    results = await asyncio.gather(*(account_test(backend, one) for one in tested))
    return backend_finding(backend.name, results, len(accounts))


def backend_finding(name: str, results: Sequence[TestResult], accounts: int) -> Finding:
    """What the tests of a backend's accounts say together."""
    if not accounts:
        return fail(
            "backends",
            f"{name} has no account.",
            f"Add one: python manage.py accounts add ALIAS --backend {name}",
        )
    if bad := [result for result in results if not result.ok]:
        said = "; ".join(  # an account that was made with its backend is called like it
            result.message if result.account == name else f"{result.account}: {result.message}"
            for result in bad
        )
        return fail("backends", f"{name}: {said}", f"Try again: python manage.py backend test {name}")
    if not results:
        return ok("backends", f"{name}: not tested; its accounts are paused or the callers' own")
    slowest = max(result.milliseconds for result in results)
    return ok("backends", f"{name}: {len(results)} reached, {results[0].models} models, {slowest} ms")


async def ask_clocks(snapshot: Snapshot) -> list[float]:
    """By how many seconds each backend's clock is ahead of ours. Asks without a credential; any answer has a date."""
    found = await asyncio.gather(*(_skew(backend) for backend in snapshot.routing.real_backends))
    return [skew for skew in found if skew is not None]


async def _skew(backend: BackendConfig) -> float | None:
    try:
        before = time.time()
        response = await _get(str(backend.base), backend.models_path, _THEIRS)
        response.close()
        dates = [value for name, value in response.headers if name == b"date"]
        return parsedate_to_datetime(dates[0].decode("latin-1")).timestamp() - (before + time.time()) / 2
    except (UpstreamError, IndexError, ValueError):
        return None


def clock_finding(skews: Sequence[float]) -> Finding:
    """Whether our clock is right, by the middle one of the others."""
    if not skews:
        return ok("clock", "not compared: no backend told the time")
    skew = median(skews)
    text = f"This clock is {abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} the providers'."
    cure = "Set it, best by NTP: tokens end and limits reset by the clock."
    if abs(skew) > WRONG_CLOCK:
        return fail("clock", text, cure)
    if abs(skew) > ODD_CLOCK:
        return warn("clock", text, cure)
    return ok("clock", f"within {max(1, round(abs(skew)))} s of the providers'")


async def _get(url: str, path: str, deadlines: Deadlines) -> UpstreamResponse:
    return await current_upstream().send(
        method="GET",
        base=check_base_url(url),
        path=path,
        query=b"",
        headers=[(b"accept", b"application/json"), (b"user-agent", b"patchbay-doctor")],
        body=b"",
        deadlines=deadlines,
    )


async def _json_of(response: UpstreamResponse) -> dict[str, object]:
    try:
        answer = json.loads(await response.read(MAX_ANSWER))
    except ValueError:
        return {}
    finally:
        response.close()
    return answer if isinstance(answer, dict) else {}
