"""What the provider answers to one request: status, headers and body or events, before any framing.

Rule: no socket here; an `Outcome` follows from the request, the script and the service's settings.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import partial
from urllib.parse import parse_qsl, unquote

from backends.simulator import catalogue
from backends.simulator.asking import Ask, BadRequest, JsonObject
from backends.simulator.catalogue import Model
from backends.simulator.dialects import (
    DIALECTS,
    doubled,
    error_body,
    error_event,
    read,
    spoiled_usage,
)
from backends.simulator.events import Events, encode
from backends.simulator.headers import Fields, retry_fields, service_fields
from backends.simulator.journal import Entry
from backends.simulator.logins import ACCESS_PREFIX, Logins
from backends.simulator.reply import compose
from backends.simulator.script import Script, ScriptError, describe, parse, script_of_key, split_model
from backends.simulator.streaming import ErrorEvent, unmark
from backends.wire.kinds import Kind, Protocol

_KINDS = {kind.path: kind for kind in Kind}
_JSON = "application/json"
_SSE = "text/event-stream; charset=utf-8"
_HTML = "text/html; charset=utf-8"
_PAGE = b"<!doctype html><html><head><title>Simulator</title></head><body><h1>%b</h1>%b</body></html>"
_DEMO_GAP = 0.03


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer. Exactly one of `body` and `events` is set; `error` makes the stream's error event."""

    status: int
    fields: Fields
    content_type: str = _JSON
    body: bytes | None = None
    events: Events | None = None
    error: ErrorEvent | None = None
    split: bytes = b""  # deliver the body in two parts, cut inside these bytes


class Service:
    """The settings of one simulated provider. Arguments as those of `Simulator`; `logins`: its OAuth logins."""

    def __init__(
        self,
        *,
        demo: bool = False,
        keys: Collection[str] | None = None,
        models: Iterable[str | Model] | None = None,
        known_only: bool | None = None,
        gap: float | None = None,
        logins: Logins,
    ) -> None:
        usual = catalogue.DEMO if demo else catalogue.DEFAULT
        self.keys = None if keys is None else frozenset(keys)
        self.models = catalogue.models(usual if models is None else models)
        self.known_only = demo if known_only is None else known_only
        self.gap = gap if gap is not None else _DEMO_GAP if demo else 0.0
        self._logins = logins

    def answer(self, entry: Entry, path: str | None, body: bytes, cue: str) -> tuple[Outcome, Script]:
        """The outcome for a complete request, and the script that shaped it. Notes both in `entry`.

        `path` is the path below the version, None if it has another prefix; `cue` the queued script.
        """
        protocol = protocol_of(entry, path)
        script = Script()
        try:
            sources = (self.script_of(entry), cue)
            entry.script = describe(sources)
            script = parse(*sources)
            kind = _KINDS.get(path or "")
            self._check_key(entry)
            if kind is not None and entry.method == "POST":
                return self._generate(kind, entry, body, sources)
            return _scripted(protocol, script, entry) or self._look_up(entry, path, protocol, script), script
        except ScriptError as exc:
            problem = BadRequest(str(exc), param="model")
        except BadRequest as exc:
            problem = exc
        return _refused(protocol, script, entry, problem), script

    def _generate(
        self, kind: Kind, entry: Entry, body: bytes, sources: tuple[str, ...]
    ) -> tuple[Outcome, Script]:
        entry.kind = kind.value
        try:
            ask = read(kind, body)
        except BadRequest:
            if outcome := _scripted(kind.protocol, parse(*sources), entry):
                return outcome, parse(*sources)  # a scripted failure does not look at the body
            raise
        base, from_model = split_model(ask.model)
        entry.model, entry.stream = ask.model, ask.stream
        entry.script = describe((from_model, *sources))
        script = parse(from_model, *sources)
        if outcome := _scripted(kind.protocol, script, entry):
            return outcome, script
        if self.known_only and base not in self.models:
            raise _no_model(base, self.models)
        return _answered(ask, script, entry), script

    def script_of(self, entry: Entry) -> str:
        """What the request's credential scripts: an access token by its login, a key by its own text."""
        return self._logins.script_of(entry.key) or script_of_key(entry.key)

    def _check_key(self, entry: Entry) -> None:
        if entry.key and entry.key.startswith(ACCESS_PREFIX):
            if self._logins.is_good(entry.key):
                return
            text = "This access token has expired or was revoked. Refresh it, or log in again."
            raise BadRequest(text, status=401)
        if self.keys is None or entry.key in self.keys:
            return
        if entry.key is None:
            raise BadRequest("No API key was given. Send x-api-key or Authorization: Bearer.", status=401)
        raise BadRequest("invalid x-api-key: this key is not known here. Use another.", status=401)

    def _look_up(self, entry: Entry, path: str | None, protocol: Protocol, script: Script) -> Outcome:
        """Everything but generation: the list of models, one model, the root."""
        fields = service_fields(protocol, script, entry.request_id)
        if path in _KINDS:
            raise BadRequest(f"{entry.method} is not allowed here. Use POST.", status=405)
        if path == "/" and entry.method in ("GET", "HEAD"):
            return Outcome(200, fields, "text/plain; charset=utf-8", b"Patchbay's simulated provider\n")
        if path is None or not (path == "/models" or path.startswith("/models/")):
            raise BadRequest(f"There is nothing at {entry.path}.", status=404, code="unknown_url")
        if entry.method != "GET":
            raise BadRequest(f"{entry.method} is not allowed here. Use GET.", status=405)
        if path == "/models":
            listed = catalogue.page(self.models.values(), dict(parse_qsl(entry.query)))
            return Outcome(200, fields, body=encode(listed))
        name = unquote(path.removeprefix("/models/"))
        if name not in self.models:
            raise _no_model(name, self.models)
        return Outcome(200, fields, body=encode(self.models[name].as_json()))


def protocol_of(entry: Entry, path: str | None) -> Protocol:
    """The protocol whose shapes this request is answered in."""
    if path in _KINDS:
        return _KINDS[path].protocol
    return Protocol.ANTHROPIC if entry.header("anthropic-version") else Protocol.OPENAI


def _no_model(name: str, known: Collection[str]) -> BadRequest:
    text = f"model: {name} does not exist here. Use one of: {', '.join(known)}."
    return BadRequest(text, status=404, param="model", code="model_not_found")


def _refused(protocol: Protocol, script: Script, entry: Entry, problem: BadRequest) -> Outcome:
    fields = service_fields(protocol, script, entry.request_id)
    code = "" if protocol is Protocol.ANTHROPIC else problem.code or ""
    body = error_body(
        protocol, problem.status, problem.message, entry.request_id, code=code, param=problem.param
    )
    return Outcome(problem.status, fields, body=body)


def _scripted(protocol: Protocol, script: Script, entry: Entry) -> Outcome | None:
    """The scripted answer that takes no notice of the request, if there is one."""
    fields = service_fields(protocol, script, entry.request_id)
    if script.echo_secret:
        return _leak(protocol, script, entry, fields)
    if page := scripted_page(script, fields):
        return page
    status = 200 if script.error200 else script.status or (413 if script.connection == "early" else 0)
    if script.error200 or status >= 300:
        text = script.message or f"The simulator was told to answer {script.status or 500}."
        kind = script.error_type
        described = script.status or (500 if script.error200 else status)
        body = error_body(protocol, described, text, entry.request_id, kind=kind, code=script.error_code)
        return Outcome(status, fields + retry_fields(script), body=body)
    return None


def scripted_page(script: Script, fields: Fields) -> Outcome | None:
    """The scripted answer that no protocol knows, if there is one: a page, a redirect, nothing."""
    if script.html is not None:
        page = _page(b"502 Bad Gateway", script.html)
        return Outcome(script.status or 502, fields, _HTML, page)
    if script.redirect:
        code, target = script.redirect
        return Outcome(code, (*fields, ("location", target)), body=b"")
    if script.empty:
        return Outcome(200, fields, body=b"")
    if script.wrong_type:
        return Outcome(200, fields, _HTML, _page(b"Please sign in to this network", 512))
    return None


def _page(title: bytes, size: int) -> bytes:
    page = _PAGE % (title, b"")
    return _PAGE % (title, b"." * max(0, size - len(page)))


def _leak(protocol: Protocol, script: Script, entry: Entry, fields: Fields) -> Outcome:
    secret = entry.key or ""
    shown = base64.b64encode(secret.encode()).decode() if script.echo_secret == "b64" else secret
    status = script.status or 400
    text = f"The simulator was told to repeat the credential it got: {shown}"
    body = error_body(
        protocol, status, text, entry.request_id, kind=script.error_type, code=script.error_code
    )
    return Outcome(status, fields, body=body, split=shown.encode() if script.echo_secret == "split" else b"")


def _answered(ask: Ask, script: Script, entry: Entry) -> Outcome:
    """A good answer, or as good a one as the script permits."""
    protocol, dialect = ask.kind.protocol, DIALECTS[ask.kind]
    fields = service_fields(protocol, script, entry.request_id)
    streams = (ask.stream and script.swap != "json-for-sse") or script.swap == "sse-for-json"
    if script.error_at is not None and not streams:
        status = script.status or (529 if protocol is Protocol.ANTHROPIC else 500)
        text = script.message or "The simulator was told to fail."
        kind, code = script.error_type, script.error_code
        return Outcome(
            status, fields, body=error_body(protocol, status, text, entry.request_id, kind=kind, code=code)
        )
    reply = compose(ask, script, _headers_json(entry) if script.echo_headers else "")
    usage = spoiled_usage(dialect.usage(reply.usage), script.usage)
    entry.usage = usage if not streams or ask.include_usage or ask.kind in _ALWAYS_BILLED else None
    ident = f"sim{entry.number:012d}"
    created = int(time.time())
    status = script.status or 200
    if not streams or dialect.stream is None:
        body = _whole(dialect.whole(ask, reply, ident, created, usage), script)
        return Outcome(status, fields, body=body)
    events = dialect.stream(ask, reply, ident, created, usage)
    if script.usage == "dup":
        events = doubled(events, ask.kind)
    error = partial(
        error_event, ask, ident, entry.request_id, script.error_type, script.error_code, script.message
    )
    return Outcome(status, fields, _SSE, events=events, error=error)


_ALWAYS_BILLED = (Kind.MESSAGES, Kind.RESPONSES)
"""Kinds whose streams report usage without being asked to."""


def _whole(answer: JsonObject, script: Script) -> bytes:
    body = encode(answer)
    if script.usage == "dup" and "usage" in answer:
        body = body[:-1] + b',"usage":' + encode(answer["usage"]) + b"}"
    if script.bad_json_at is not None:
        body = body[: len(body) // 2]
    return unmark(body) if script.bad_utf8 else body


def _headers_json(entry: Entry) -> str:
    """The received headers as JSON text: name → value, or values joined by `, ` if it came twice."""
    joined: dict[str, str] = {}
    for raw_name, raw_value in entry.headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return encode(joined).decode()
