"""One attempt: build the upstream request, send it, read the answer up to the commit point, classify it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from accounts.credentials import credential_headers
from accounts.redact import redact, redact_body
from accounts.snapshot import AccountConfig
from backends.errors import SendTimedOut, UpstreamError
from backends.routing import Target
from backends.upstream import Deadlines, UpstreamResponse, current_upstream
from backends.wire.conversation import Unreadable
from backends.wire.errors import ApiError
from backends.wire.kinds import Kind
from backends.wire.tap import read_response
from backends.wire.usage import Usage
from proxyapp.call import ClientCall
from proxyapp.errors import ProxyError
from proxyapp.headers import client_headers
from proxyapp.lanes import Lane, Outgoing, lane_for
from proxyapp.policy import Fault, fault_of_status
from proxyapp.relay import Relay

MAX_PLAIN_BYTES = 64 * 2**20
MAX_ERROR_BYTES = 2**20
EXCERPT_CHARS = 2000
ONE_WRITE_BYTES = 256 * 1024
JSON = {"content-type": "application/json"}


@dataclass(slots=True)
class Exchange:
    """What came of one attempt: an answer to pass on (`relay` or `body`), or an `error` of our own."""

    fault: Fault
    code: str  # for the attempt's row: "ok", "status_429", "connect_refused", …
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    relay: Relay | None = None
    error: ProxyError | None = None
    message: str = ""
    usage: Usage | None = None
    mutations: list[str] = field(default_factory=list)
    lane: Lane | None = None


async def exchange(call: ClientCall, target: Target, account: AccountConfig) -> Exchange:
    """Send the request to one account. Only cancellation comes out as an exception."""
    try:
        lane = lane_for(call, target)
        going = lane.request()
    except ProxyError as exc:
        return Exchange(Fault.TARGET, "cannot_carry", error=exc, message=str(exc))
    call.draft.lane, call.draft.lost = lane.name, going.lost
    going.headers += credential_headers(account, lane.kind.protocol)
    try:
        async with _upstream_time(call):
            response = await _send(call, target, lane.kind, going)
    except UpstreamError as exc:
        return _no_answer(exc)
    call.draft.connect_ms = response.connect_seconds * 1000
    call.draft.ttfb_ms = call.draft.since_start_ms()
    result = await _read_answer(call, target, lane, response)
    result.mutations, result.lane = going.mutations + result.mutations, lane
    return result


async def _send(call: ClientCall, target: Target, kind: Kind, going: Outgoing) -> UpstreamResponse:
    timeouts = target.backend.timeouts
    call.start_deadline(timeouts)
    left = max(0.05, call.seconds_left)
    wait = timeouts.first_byte if call.peek.stream else timeouts.first_byte_plain
    sending = current_upstream().send(
        method="POST",
        base=target.backend.base,
        path=target.backend.path(kind),
        query=going.query,
        headers=going.headers,
        body=going.body,
        deadlines=Deadlines(min(timeouts.connect, left), min(wait, left), timeouts.idle),
    )
    if len(going.body) <= ONE_WRITE_BYTES:
        return await sending
    try:  # a large body may be taken in ever so slowly, and each slice of it has a limit of its own
        async with asyncio.timeout(left):
            return await sending
    except TimeoutError as exc:
        raise SendTimedOut(f"{target.backend.name} did not take the request in time. Try again.") from exc


@asynccontextmanager
async def _upstream_time(call: ClientCall) -> AsyncIterator[None]:
    """Count what is spent waiting for upstream; the rest of the time is Patchbay's own overhead."""
    began = time.monotonic()
    try:
        yield
    finally:
        call.draft.upstream_s += time.monotonic() - began


async def _read_answer(call: ClientCall, target: Target, lane: Lane, response: UpstreamResponse) -> Exchange:
    """Everything up to the commit point. The response is closed unless a relay took it over."""
    relay = None
    try:
        async with _upstream_time(call):
            if response.status >= 300 or response.status < 200:
                return await _read_error(lane, response)
            if not call.peek.stream:
                return await _read_plain(lane, response)
            result = await _read_stream(call, target, lane, response)
            relay = result.relay
            return result
    except UpstreamError as exc:
        broken = _broken_answer(str(exc), exc.code)
        if 200 <= response.status < 300 and not call.peek.stream:
            broken.fault = Fault.BILLED
        return broken
    finally:
        if relay is None:
            response.close()


async def _read_error(lane: Lane, response: UpstreamResponse) -> Exchange:
    status, headers = response.status, lane.headers(client_headers(response.headers))
    if 300 <= status < 400:
        message = (
            f"The upstream answered with a redirect ({status}), which is never followed. Check the base URL."
        )
        error = ProxyError(502, message, code="upstream_redirect")
        return Exchange(Fault.BACKEND, "upstream_redirect", status, headers, error=error, message=message)
    body = await response.read(MAX_ERROR_BYTES)
    safe = redact_body(body)
    told_status, told = lane.refusal(status, safe)
    return Exchange(
        fault_of_status(status),
        f"status_{status}",
        told_status,
        headers if told is safe else headers | JSON,
        body=told,
        message=_excerpt(safe),
        mutations=[] if safe is body else ["response=redacted"],
    )


async def _read_plain(lane: Lane, response: UpstreamResponse) -> Exchange:
    if _content_type(response).startswith("text/event-stream"):
        return _broken_answer("it sent a stream although none was asked for", "wrong_content_type")
    body = await response.read(MAX_PLAIN_BYTES)
    facts = read_response(lane.kind, body)
    headers = lane.headers(client_headers(response.headers))
    if facts.error is not None:
        return _error_in_success(lane, facts.error, headers, body)
    if not facts.valid:
        return _broken_answer(
            f"it sent no JSON: {_excerpt(body)!r}" if body else "the answer is empty", "bad_answer"
        )
    try:
        answer = lane.plain(body)
    except Unreadable as exc:
        return _broken_answer(str(exc), "unreadable")
    if answer is not body:
        headers |= JSON
    return Exchange(Fault.NONE, "ok", response.status, headers, body=answer, usage=facts.usage)


async def _read_stream(call: ClientCall, target: Target, lane: Lane, response: UpstreamResponse) -> Exchange:
    content_type = _content_type(response)
    if content_type and not content_type.startswith("text/event-stream"):
        return await _not_a_stream(lane, response)
    relay = Relay(response, lane.flow(), call.draft, idle_seconds=target.backend.timeouts.idle)
    await relay.prime()
    headers = lane.headers(client_headers(response.headers))
    if relay.failed_early:
        if relay.flow.error is None:
            return _broken_answer(relay.failure, "empty_stream")
        return _error_in_success(lane, relay.flow.error, headers)
    return Exchange(Fault.NONE, "ok", response.status, headers, relay=relay)


async def _not_a_stream(lane: Lane, response: UpstreamResponse) -> Exchange:
    """A stream was asked for and something else came: often an error object with status 200."""
    body = await response.read(MAX_ERROR_BYTES)
    facts = read_response(lane.kind, body)
    if facts.error is not None:
        return _error_in_success(lane, facts.error, lane.headers(client_headers(response.headers)), body)
    return _broken_answer(
        f"a stream was asked for, but it sent {_content_type(response)}", "wrong_content_type"
    )


def _error_in_success(lane: Lane, error: ApiError, headers: dict[str, str], body: bytes = b"") -> Exchange:
    """An error that came with a 2xx status: judged and passed on as the status it stands for.

    `body` is upstream's, if the error was all of it.
    """
    status, told = lane.refusal(error.status, body) if body else lane.tell(error)
    safe = redact_body(told)
    redacted = [] if safe is told else ["response=redacted"]
    return Exchange(
        fault_of_status(error.status),
        "error_in_success",
        status,
        headers | JSON,
        body=safe,
        message=redact(error.message),
        mutations=["response=error-status", *redacted],
    )


def _broken_answer(why: str, code: str) -> Exchange:
    """Upstream answered, but with nothing a client could use."""
    message = f"The upstream's answer cannot be used: {redact(why)}. Try again, or run `backend test`."
    error = ProxyError(502, message, code="upstream_bad_answer")
    return Exchange(Fault.TRANSIENT, code, error=error, message=message)


def _no_answer(exc: UpstreamError) -> Exchange:
    fault = _FAULT_OF_CODE.get(exc.code) or _FAULT_BY_SENT[exc.request_sent]
    message = redact(str(exc))
    status = 400 if fault is Fault.REQUEST else 504 if exc.code in _TIMEOUTS else 502
    return Exchange(fault, exc.code, error=ProxyError(status, message, code=exc.code), message=message)


_FAULT_BY_SENT = {"none": Fault.TRANSIENT, "partly": Fault.TRANSIENT, "fully": Fault.AMBIGUOUS}
_FAULT_OF_CODE = {"address_refused": Fault.BACKEND, "header_refused": Fault.REQUEST}
_TIMEOUTS = {"connect_timeout", "send_timeout", "first_byte_timeout"}


def _content_type(response: UpstreamResponse) -> str:
    value = next((value for name, value in response.headers if name == b"content-type"), b"")
    return value.decode("latin-1").strip().lower()


def _excerpt(body: bytes) -> str:
    return redact(body[:EXCERPT_CHARS].decode("utf-8", "replace"))
