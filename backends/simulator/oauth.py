"""The OAuth provider inside the simulator: discovery, `/oauth/authorize`, `/oauth/token`.

`/oauth/authorize` asks nobody: it redirects with a code at once. Logins of its users are in `logins.py`.
Rule: scripts that never answer, or answer a failure, commit nothing, but for `commit-then-drop` and
`commit-then-hang`. The journal learns grant, login, generation and outcome, and never a token.
Sources: RFC 6749, 7636 (PKCE), 8414 (discovery), OpenID Connect Discovery 1.0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from backends.simulator.asking import JsonObject
from backends.simulator.cues import ScriptQueue
from backends.simulator.events import encode
from backends.simulator.headers import Fields, retry_fields
from backends.simulator.journal import Entry, TokenNote
from backends.simulator.logins import LIFETIME_S, Logins, Terms, TokenRefused
from backends.simulator.script import Script, ScriptError, describe, parse
from backends.simulator.service import Outcome, scripted_page

METADATA = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"
AUTHORIZE, TOKEN = "/oauth/authorize", "/oauth/token"
_SECRET_FIELDS = frozenset(("refresh_token", "code", "code_verifier", "access_token", "client_secret"))
_UNANSWERED = frozenset(
    ("hang", "accept-no-read", "eof-before", "eof-after-request", "refuse", "1xx-forever")
)
_NO_STORE: Fields = (("cache-control", "no-store"),)


def is_oauth(path: str) -> bool:
    """Whether this path belongs to the OAuth provider and not to the API."""
    return (
        path in (AUTHORIZE, TOKEN) or path == METADATA or path.startswith(METADATA + "/") or _is_openid(path)
    )


def _is_openid(path: str) -> bool:
    return path.endswith(OPENID)


def ledger_body(path: str, body: bytes) -> bytes:
    """What the journal keeps of a request's body: of a token request, nothing secret."""
    if path != TOKEN:
        return body
    fields = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
    return urlencode(
        [(name, "***" if name in _SECRET_FIELDS else value) for name, value in fields], safe="*"
    ).encode()


class OAuth:
    """Answers the OAuth endpoints. `origin` gives the simulator's own URL."""

    def __init__(self, logins: Logins, queue: ScriptQueue, origin: Callable[[], str]) -> None:
        self._logins = logins
        self._queue = queue
        self._origin = origin

    def answer(self, entry: Entry, body: bytes, cue: str) -> tuple[Outcome, Script]:
        """The outcome of one request, and the script that shaped it. Notes both in `entry`."""
        entry.kind = "oauth"
        form = dict(parse_qsl(body.decode("utf-8", "replace"))) if entry.path == TOKEN else {}
        if entry.path == TOKEN:
            entry.token = self._note(form)
            entry.login = entry.token.login
            cue = cue or self._queue.take(entry, TOKEN)
        try:
            entry.script = describe((cue,))
            script = parse(cue)
        except ScriptError as exc:
            return _refused(400, "invalid_request", str(exc)), Script()
        return self._shaped(entry, form, script), script

    def _shaped(self, entry: Entry, form: dict[str, str], script: Script) -> Outcome:
        if script.connection in _UNANSWERED:
            _conclude(entry, "unanswered")
            return Outcome(503, ())
        page = scripted_page(script, _NO_STORE)
        if page is None and script.echo_secret:
            page = _refused(script.status or 400, "invalid_request", f"It was {_secret_of(form)}, refused.")
        if page is None and script.status >= 300:
            page = _failure(script)
        if page is not None:
            _conclude(entry, "failed")
            return page
        return self._answered(entry, form, script)

    def _answered(self, entry: Entry, form: dict[str, str], script: Script) -> Outcome:
        if entry.path == AUTHORIZE:
            return self._authorize(entry, script) if entry.method == "GET" else _not_allowed("GET")
        if entry.path == TOKEN:
            return self._token(entry, form, script) if entry.method == "POST" else _not_allowed("POST")
        return self._metadata(entry.path)

    # The three endpoints.

    def _metadata(self, path: str) -> Outcome:
        below = path.removesuffix(OPENID) if _is_openid(path) else path.removeprefix(METADATA)
        origin = self._origin()
        return Outcome(200, (), body=encode(metadata(origin, below)))

    def _authorize(self, entry: Entry, script: Script) -> Outcome:
        asked = dict(parse_qsl(entry.query))
        target = asked.get("redirect_uri", "")
        if problem := _bad_authorization(asked, target):
            return _refused(400, "invalid_request", problem)
        if script.deny:
            answer = {"error": "access_denied", "error_description": script.message or "The user said no."}
        else:
            code, login = self._logins.authorize(
                name=asked.get("login_hint", ""),
                scope=asked.get("scope", ""),
                client_id=asked["client_id"],
                redirect_uri=target,
                challenge=asked["code_challenge"],
            )
            answer, entry.login = {"code": code}, login.name
        if "state" in asked:
            answer["state"] = asked["state"]
        joint = "&" if urlsplit(target).query else "?"
        location = f"{target}{joint}{urlencode(answer, quote_via=quote)}"
        return Outcome(302, (*_NO_STORE, ("location", location)), body=b"")

    def _token(self, entry: Entry, form: dict[str, str], script: Script) -> Outcome:
        if not (entry.header("content-type") or "").startswith("application/x-www-form-urlencoded"):
            _conclude(entry, "invalid_request")
            return _refused(400, "invalid_request", "Send application/x-www-form-urlencoded.")
        try:
            tokens = self._granted(form, script)
        except TokenRefused as refused:
            _conclude(entry, refused.outcome)
            status = 401 if refused.error == "invalid_client" else 400
            return _refused(status, refused.error, refused.message, refused.code)
        _conclude(entry, "rotated" if "refresh_token" in tokens else "kept")
        return Outcome(200, _NO_STORE, body=encode(tokens))

    def _granted(self, form: dict[str, str], script: Script) -> JsonObject:
        client = form.get("client_id", "")
        if not client:
            raise TokenRefused("Say which client this is: client_id.", error="invalid_client")
        lifetime = LIFETIME_S if script.expires is None else script.expires
        terms = Terms(
            expires=None if lifetime == math.inf else lifetime,
            rotate=script.rotation != "no-rotate",
            keep_old=script.keep_old,
        )
        match form.get("grant_type"):
            case "authorization_code":
                return self._logins.exchange(
                    form.get("code", ""),
                    client_id=client,
                    redirect_uri=form.get("redirect_uri", ""),
                    verifier=form.get("code_verifier", ""),
                    terms=terms,
                )
            case "refresh_token":
                if script.reused:
                    self._logins.end_reused(form.get("refresh_token", ""))
                return self._logins.refresh(form.get("refresh_token", ""), client_id=client, terms=terms)
        raise TokenRefused("Use authorization_code or refresh_token.", error="unsupported_grant_type")

    def _note(self, form: dict[str, str]) -> TokenNote:
        """Whose grant this is, known before a script decides what becomes of it."""
        grant = form.get("grant_type", "")
        known = (
            self._logins.note_of_refresh(form.get("refresh_token", ""))
            if grant == "refresh_token"
            else self._logins.note_of_code(form.get("code", ""))
        )
        return known or TokenNote(grant if grant in ("refresh_token", "authorization_code") else "other")


def metadata(origin: str, path: str = "") -> JsonObject:
    """The discovery document of the issuer `origin + path`."""
    return {
        "issuer": origin + path,
        "authorization_endpoint": origin + AUTHORIZE,
        "token_endpoint": origin + TOKEN,
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
    }


def _conclude(entry: Entry, outcome: str) -> None:
    if entry.token is not None:
        entry.token = replace(entry.token, outcome=outcome)


def _bad_authorization(asked: dict[str, str], target: str) -> str:
    """Why this is no request for a code that can be answered with a redirect, "" if it is one."""
    if urlsplit(target).scheme not in ("http", "https"):
        return "redirect_uri must be an http or https address."
    if asked.get("response_type") != "code":
        return "response_type must be code."
    if not asked.get("client_id"):
        return "Say which client this is: client_id."
    if asked.get("code_challenge_method") != "S256" or len(asked.get("code_challenge", "")) != 43:
        return "PKCE with S256 is required: code_challenge and code_challenge_method."
    return ""


def _secret_of(form: dict[str, str]) -> str:
    return form.get("refresh_token") or form.get("code") or ""


def _refused(status: int, error: str, description: str, code: str = "") -> Outcome:
    problem = {"error": error, "error_description": description} | ({"code": code} if code else {})
    return Outcome(status, _NO_STORE, body=encode(problem))


def _failure(script: Script) -> Outcome:
    usual = "temporarily_unavailable" if script.status == 429 else "invalid_request"
    name = script.error_code or script.error_type or ("server_error" if script.status >= 500 else usual)
    text = script.message or f"The simulator was told to answer {script.status}."
    body = encode({"error": name, "error_description": text})
    return Outcome(script.status, _NO_STORE + retry_fields(script), body=body)


def _not_allowed(method: str) -> Outcome:
    return _refused(405, "invalid_request", f"Use {method}.")
