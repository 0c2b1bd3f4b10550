"""Patchbay from a script, which needs to know nothing of Django:

    from router_site.library import get_access_token, get_status, list_backends, start_proxy

Whose configuration: PATCHBAY_HOME's, like every command's. `start_proxy()` runs the server as a process of its own,
because its settings, signals and event loop are a process's; it ends with the script. The other three read the
configuration in this process, in one thread of their own, so they may be called with or without an event loop.
Everything that cannot be done raises PatchbayError with one line that says what to do.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from difflib import get_close_matches
from pathlib import Path
from socket import create_server
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from accounts.listing import ListedAccount

__all__ = ["PatchbayError", "Proxy", "get_access_token", "get_status", "list_backends", "start_proxy"]

T = TypeVar("T")
PROJECT = Path(__file__).resolve().parent.parent
SETTINGS = "router_site.settings"
GRACE_SECONDS = 10.0  # beside the drain time, until a process that does not end is killed
_LISTENS = re.compile(r"^Patchbay \S+ listens on (http://\S+)$", re.M)
_TRIES = 3  # a port that was free may be taken a moment later


class PatchbayError(Exception):
    """What was asked for cannot be done. The text says why and what to do."""


# --- the server ----------------------------------------------------------------------------------------------------


class Proxy:
    """A running Patchbay: `with start_proxy() as proxy: …`, or `proxy.stop()` in the end."""

    def __init__(self, process: subprocess.Popen[bytes], log: IO[bytes], grace: float) -> None:
        self._process, self._log, self._grace = process, log, grace
        self.url = ""
        """Base URL without a version, such as http://127.0.0.1:34567."""

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def log(self) -> str:
        """What it has printed so far. Holds a login link for the admin: do not pass it on."""
        if self._log.closed:
            return ""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")

    def stop(self) -> int:
        """Let running requests finish, end the process, and return its exit code. May be called again."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(self._grace)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
        self._log.close()
        return int(self._process.returncode)


def start_proxy(port: int = 0, *, wait_seconds: float = 60.0, **settings: object) -> Proxy:
    """Start a server and return when it takes requests. Raises PatchbayError.

    `port` 0 takes a free one. `settings` are those of docs/settings.md in lower case and without PATCHBAY_, such as
    `home="/srv/x"`, `demo=True`, `api_key=key`, `drain_seconds=5`; they win over the environment. Should the script
    end without `stop()`, even by a signal, the server notices and ends itself.
    """
    given = {name: value for name, value in settings.items() if value is not None}
    environment = {**os.environ, **_as_environment(given)}
    for attempt in range(_TRIES):
        proxy = _launch({**environment, "PATCHBAY_PORT": str(port or _free_port())})
        try:
            return _when_it_listens(proxy, wait_seconds)
        except PatchbayError as exc:
            if port or "already in use" not in str(exc) or attempt == _TRIES - 1:
                raise
    raise AssertionError("the last try returns or raises")


def _launch(environment: Mapping[str, str]) -> Proxy:
    log = tempfile.TemporaryFile()  # noqa: SIM115  (open as long as the process runs)
    paths = os.pathsep.join(filter(None, (str(PROJECT), environment.get("PYTHONPATH"))))
    process = subprocess.Popen(
        [
            sys.executable,
            "-P",
            "-m",
            "router_site.library",
        ],  # -P: nothing is imported from the script's folder
        env={**environment, "PYTHONPATH": paths, "DJANGO_SETTINGS_MODULE": SETTINGS},
        stdin=subprocess.PIPE,  # its end tells the server that this script has ended
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C is for the script, which then stops the server
    )
    drain = environment.get("PATCHBAY_DRAIN_SECONDS", "60")
    return Proxy(process, log, GRACE_SECONDS + (float(drain) if drain.isdigit() else 60.0))


def _when_it_listens(proxy: Proxy, seconds: float) -> Proxy:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        has_ended = not proxy.is_running  # asked first: what it said before it ended is then all there
        if found := _LISTENS.search(proxy.log):
            proxy.url = found[1]
            return proxy
        if has_ended:
            break
        time.sleep(0.02)
    said, was_running = proxy.log.strip().splitlines(), proxy.is_running
    proxy.stop()
    if was_running:
        raise PatchbayError(f"Patchbay did not start within {seconds:.0f} s.")
    raise PatchbayError(f"Patchbay did not start: {said[-1] if said else 'it said nothing'}")


def _free_port() -> int:
    with create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _as_environment(settings: Mapping[str, object]) -> dict[str, str]:
    known = set(re.findall(r'"((?:PATCHBAY_|\w*DATABASE_URL|REDIS_URL)\w*)"', _settings_source()))
    return {_variable(name, known): _as_text(value) for name, value in settings.items()}


def _settings_source() -> str:
    return (PROJECT / "router_site" / "settings.py").read_text()


def _variable(name: str, known: set[str]) -> str:
    """`drain_seconds` → PATCHBAY_DRAIN_SECONDS. Raises PatchbayError for one that is not known."""
    for variable in (f"PATCHBAY_{name.upper()}", name.upper()):
        if variable in known or variable.startswith("PATCHBAY_OAUTH_"):
            return variable
    words = [variable.removeprefix("PATCHBAY_").lower() for variable in known]
    near = get_close_matches(name.lower(), words, n=1)
    hint = f" Is {near[0]} meant?" if near else ""
    raise PatchbayError(f"{name} is no setting.{hint} docs/settings.md lists them.")


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, Mapping):
        return ",".join(f"{key}={one}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(value)


def _serve() -> None:
    """The child process of `start_proxy`: `runproxy`, until the script that started it has ended."""
    import manage

    threading.Thread(target=_end_with_the_script, daemon=True).start()
    sys.argv = ["manage.py", "runproxy", "--no-open"]
    manage.main()


def _end_with_the_script() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


# --- the configuration ---------------------------------------------------------------------------------------------


def get_status() -> dict[str, Any]:
    """The credentials, as `GET /status` answers: the default account's fields, and `accounts` with all of them.

    `authenticated`, `status` (healthy, expiring, expired, needs-login, none), `expiresAt` (milliseconds since the
    epoch, or None), `expiresIn` ("11h 42m", or None), `canRefresh`; each account also has `alias`, `backend`, `kind`.
    Sends nothing. Raises PatchbayError.
    """
    return _in_our_thread(_status)


def get_access_token(alias: str | None = None) -> str:
    """A credential that works now: an OAuth or token-file account's token, refreshed if it is due, or an API key.

    Without an alias: the account `login`, else the first login of a plan, else the first account. Raises
    PatchbayError.

    Danger: this is the secret itself. What you do with it goes past everything that Patchbay does for it: it is not
    bound to its backend's host, not counted, not limited and not recorded. Keep it in memory, send it to its own
    provider only, never log it, and ask again instead of keeping it: it may end at any time.
    """
    return _in_our_thread(lambda: _access_token(alias))


def list_backends() -> list[dict[str, Any]]:
    """Every backend by name: `name, protocol, baseUrl, enabled, accounts` (aliases) and `models` (as last listed).

    Sends nothing. Raises PatchbayError.
    """
    return _in_our_thread(_backends)


def _status() -> dict[str, Any]:
    from accounts.listing import list_accounts
    from accounts.status import status_answer

    return status_answer((found.config, found.credential) for found in list_accounts(time.time()))


def _backends() -> list[dict[str, Any]]:
    from backends.models import Backend

    rows = Backend.objects.prefetch_related("accounts", "catalog").order_by("name")
    return [
        {
            "name": row.name,
            "protocol": row.protocol,
            "baseUrl": row.base_url,
            "enabled": row.is_enabled,
            "accounts": [account.alias for account in row.accounts.all()],
            "models": [model.model_id for model in row.catalog.all()],
        }
        for row in rows
    ]


def _access_token(alias: str | None) -> str:
    from accounts.credentials import credential_headers, credential_obstacle
    from accounts.models import Account
    from accounts.refresh import refresh_now
    from accounts.snapshot import keeper
    from backends.online import run_online
    from backends.wire.kinds import Protocol

    row = _chosen(alias).row
    if row.kind in (Account.NONE, Account.CALLER):
        raise PatchbayError(f"Account {row.alias} has no credential of its own. Name another account.")
    keeper.reload()  # the refresh begins from what is stored now
    if row.kind == Account.OAUTH:
        run_online(refresh_now(row.uid))
    config = keeper.reload().account(row.uid)
    if config is None:
        raise PatchbayError(f"Account {row.alias} was removed at this moment.")
    if (obstacle := credential_obstacle(config, time.time())) is not None:
        raise PatchbayError(f"Account {row.alias}: {obstacle.reason}")
    [(_, value)] = credential_headers(config, Protocol.OPENAI)
    return value.decode().removeprefix("Bearer ")


def _chosen(alias: str | None) -> ListedAccount:
    from accounts.listing import list_account, list_accounts
    from accounts.models import Account
    from accounts.services import get_account
    from accounts.status import DEFAULT_ALIAS

    if alias is not None:
        return list_account(get_account(alias), time.time())
    listed = list_accounts(time.time())
    named = [found for found in listed if found.row.alias == DEFAULT_ALIAS]
    logins = [found for found in listed if found.row.kind in (Account.OAUTH, Account.TOKEN_FILE)]
    if not listed:
        raise PatchbayError("There is no account yet. Give one a credential: python manage.py login")
    return next(iter([*named, *logins, *listed]))


# --- Django, out of sight ------------------------------------------------------------------------------------------

_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="patchbay-library")


def _in_our_thread(work: Callable[[], T]) -> T:
    """Run `work` where Django may use the database, whatever the caller's thread is busy with."""
    return _thread.submit(_with_django, work).result()


def _with_django(work: Callable[[], T]) -> T:
    _set_up()
    from django.core.exceptions import ValidationError
    from django.db import DatabaseError, connections

    from accounts.credentials import MissingCredential
    from accounts.vault import VaultError
    from backends.services import ServiceError, one_line

    try:
        return work()
    except ValidationError as exc:
        raise PatchbayError(one_line(exc)) from exc
    except (ServiceError, VaultError, MissingCredential) as exc:
        raise PatchbayError(str(exc)) from exc
    except DatabaseError as exc:
        raise PatchbayError(
            f"The database cannot be used ({exc}). Check PATCHBAY_HOME, its disk and its rights."
        ) from exc
    finally:
        connections.close_all()


def _set_up() -> None:
    """Start Django once, with our settings, and bring the databases up to date. The script's logging stays its own."""
    import django
    from django.apps import apps
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured

    if apps.ready and settings.SETTINGS_MODULE == SETTINGS:
        return
    if settings.configured or os.environ.setdefault("DJANGO_SETTINGS_MODULE", SETTINGS) != SETTINGS:
        raise PatchbayError(
            "This process runs another Django project. Use Patchbay from a process of its own."
        )
    try:
        settings.LOGGING_CONFIG = None
        django.setup()
    except ImproperlyConfigured as exc:
        raise PatchbayError(str(exc)) from exc
    _migrate()


def _migrate() -> None:
    from django.db import DatabaseError, connections

    from backends.migrating import migrate_if_needed
    from backends.services import ServiceError

    for connection in connections.all():
        if (
            connection.vendor == "sqlite"
        ):  # the script's umask is its own: the file is made private before it is used
            os.close(os.open(connection.settings_dict["NAME"], os.O_RDWR | os.O_CREAT, 0o600))
    try:
        migrate_if_needed()
    except (ServiceError, DatabaseError) as exc:
        raise PatchbayError(str(exc)) from exc


if __name__ == "__main__":
    _serve()
