"""The control endpoints of a stand-alone simulator: `/_sim/script`, `/_sim/journal`, `/_sim/reset`, `/_sim/oauth`.

Rule: they are off in demo mode, and a request from a web page (with an `Origin`) is refused.
"""

from __future__ import annotations

from typing import Literal
from urllib.parse import parse_qs

import msgspec

from backends.simulator.cues import ScriptQueue
from backends.simulator.journal import Entry, Journal
from backends.simulator.logins import LIFETIME_S, Logins
from backends.simulator.script import Script, ScriptError
from backends.simulator.service import Outcome


class ScriptOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /_sim/script`."""

    scripts: list[str]
    key: str | None = None
    path: str | None = None


class LoginOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /_sim/oauth`. `script`, `scope` and `expires` (seconds, null: never) are for `grant`."""

    do: Literal["grant", "expire", "revoke"]
    login: str
    script: str = ""
    scope: str = ""
    expires: float | None = LIFETIME_S


class Control:
    """Answers control requests; they leave no entry in the journal they speak of."""

    def __init__(self, queue: ScriptQueue, journal: Journal, logins: Logins) -> None:
        self._queue = queue
        self._journal = journal
        self._logins = logins

    def answer(self, entry: Entry, path: str, body: bytes) -> tuple[Outcome, Script]:
        """The outcome of one control request."""
        entry.kind = "control"
        if entry.header("origin"):
            return _say(403, "Web pages may not steer the simulator. Ask without an Origin header."), Script()
        match entry.method, path:
            case "POST", "/_sim/script":
                return self._script(body), Script()
            case "GET", "/_sim/journal":
                return self._show(entry), Script()
            case "POST", "/_sim/oauth":
                return self._login(body), Script()
            case "POST", "/_sim/reset":
                self._queue.clear()
                self._journal.clear()
                return _say(200, "cleared"), Script()
        text = "Use POST /_sim/script, GET /_sim/journal, POST /_sim/oauth or POST /_sim/reset."
        return _say(404, text), Script()

    def _script(self, body: bytes) -> Outcome:
        try:
            order = msgspec.json.decode(body, type=ScriptOrder)
            self._queue.add(order.scripts, key=order.key, path=order.path)
        except (msgspec.MsgspecError, ScriptError) as exc:
            return _say(400, f"{exc} Send {{'scripts': [...], 'key': null, 'path': null}}.")
        return _say(200, f"{len(self._queue)} waiting")

    def _login(self, body: bytes) -> Outcome:
        try:
            order = msgspec.json.decode(body, type=LoginOrder)
            if order.do == "grant":
                tokens = self._logins.grant(
                    order.login, script=order.script, scope=order.scope, expires=order.expires
                )
                return Outcome(200, (), body=msgspec.json.encode(tokens))
        except (msgspec.MsgspecError, ScriptError) as exc:
            return _say(400, f"{exc} Send {{'do': 'grant' or 'expire' or 'revoke', 'login': 'NAME'}}.")
        act = self._logins.expire if order.do == "expire" else self._logins.revoke
        found = act(order.login)
        return _say(200 if found else 404, f"{found} logins named {order.login}")

    def _show(self, entry: Entry) -> Outcome:
        since = parse_qs(entry.query).get("since", ["0"])[0]
        first = int(since) if since.isdigit() else 0
        lines = [
            one.as_json() + b"\n" for one in self._journal if one.number > first and one.kind != "control"
        ]
        return Outcome(200, (), "application/x-ndjson", b"".join(lines))


def _say(status: int, text: str) -> Outcome:
    return Outcome(status, (), body=msgspec.json.encode({"message": text}))
