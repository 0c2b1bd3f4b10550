"""Real servers on loopback for the tests.

`SimulatorThread` runs the simulated provider in a thread with an event loop of its own, so that synchronous
tests and synchronous SDKs can use it; async tests start `Simulator` in their own loop instead.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, TypeVar

from backends.simulator import Entry, Journal, Simulator, TokenNote

_START_SECONDS = 20.0
T = TypeVar("T")


class SimulatorThread:
    """A running simulator, `with SimulatorThread() as upstream: …`. Arguments as those of `Simulator`."""

    def __init__(self, **settings: Any) -> None:
        self.simulator = Simulator(**settings)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="simulator", daemon=True)

    def __enter__(self) -> SimulatorThread:
        self._thread.start()
        self._call(self.simulator.start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(self.simulator.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_START_SECONDS)

    @property
    def url(self) -> str:
        """Base URL without a version."""
        return self.simulator.url

    @property
    def journal(self) -> Journal:
        """The journal. Reading entries is safe from any thread; to wait, use `wait_for`."""
        return self.simulator.journal

    def script(self, scripts: Iterable[str], *, key: str | None = None, path: str | None = None) -> None:
        """Queue scripts for the next requests."""
        listed = list(scripts)
        self._soon(lambda: self.simulator.script(listed, key=key, path=path))

    def reset(self) -> None:
        """Forget queued scripts and the journal's entries."""
        self._soon(self.simulator.reset)

    def login(
        self, name: str, *, script: str = "", scope: str = "", expires: float | None = 3600.0
    ) -> dict[str, Any]:
        """An OAuth login without a browser: `access_token`, `refresh_token`, `expires_in`, as the provider answers."""
        return self._soon(
            lambda: self.simulator.logins.grant(name, script=script, scope=scope, expires=expires)
        )

    def expire(self, name: str) -> None:
        """The API answers 401 to this login's access tokens, until it refreshes."""
        assert self._soon(lambda: self.simulator.logins.expire(name)), f"nobody logged in as {name}"

    def revoke(self, name: str) -> None:
        """This login is over: its refresh tokens are refused too."""
        assert self._soon(lambda: self.simulator.logins.revoke(name)), f"nobody logged in as {name}"

    @property
    def token_requests(self) -> list[TokenNote]:
        """What reached the token endpoint, in order: grant, login, generation, outcome."""
        return [entry.token for entry in self.journal.entries if entry.token is not None]

    @property
    def refreshes(self) -> list[TokenNote]:
        """The refreshes among them."""
        return [note for note in self.token_requests if note.grant == "refresh_token"]

    def oauth_settings(self, backend: str) -> dict[str, str]:
        """The environment that makes this simulator the OAuth provider of a backend, by discovery."""
        prefix = f"PATCHBAY_OAUTH_{backend.upper().replace('-', '_').replace('.', '_')}"
        return {f"{prefix}_ISSUER": self.url, f"{prefix}_CLIENT_ID": "patchbay-tests"}

    def wait_for(self, predicate: Callable[[Entry], object], timeout: float = 10.0) -> Entry:
        """The first journal entry, present or future, for which `predicate` holds."""
        return self._call(self.journal.wait_for(predicate, timeout))

    def stop_listening(self) -> int:
        """Stop, so that connecting is refused; returns the port, for `listen_again`."""
        self._call(self.simulator.stop())
        return self.simulator.port

    def listen_again(self, port: int) -> None:
        """Start again on the port of `stop_listening`."""
        self._call(self.simulator.start(port=port))

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_START_SECONDS)

    def _soon(self, work: Callable[[], T]) -> T:
        done: Future[T] = Future()

        def run() -> None:
            try:
                done.set_result(work())
            except Exception as exc:
                done.set_exception(exc)

        self._loop.call_soon_threadsafe(run)
        return done.result(_START_SECONDS)
