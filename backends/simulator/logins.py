"""The OAuth logins of the simulated provider: who holds which tokens, and which of them are still good.

Rule: a refresh token is used once. When one comes a second time, its whole login is over, as RFC 9700 section
4.14.2 asks; the API takes only the newest access token of a login.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from backends.simulator.asking import JsonObject
from backends.simulator.journal import TokenNote
from backends.simulator.script import parse

ACCESS_PREFIX = "sim-oat-"
REFRESH_PREFIX = "sim-ort-"
LIFETIME_S = 3600.0
SCRIPT_SCOPE = "sim:"
_CODE_SECONDS = 60.0


class TokenRefused(Exception):
    """A grant is refused: the `error` of RFC 6749, a more exact code, what the journal says, and words."""

    def __init__(self, message: str, *, error: str = "invalid_grant", code: str = "", outcome: str = ""):
        super().__init__(message)
        self.message = message
        self.error = error
        self.code = code
        self.outcome = outcome or code or error


@dataclass(frozen=True, slots=True)
class Terms:
    """How tokens are issued. `expires`: seconds, None for a life that is not told and does not end."""

    expires: float | None = LIFETIME_S
    rotate: bool = True
    keep_old: bool = False  # earlier access tokens stay good until they expire


@dataclass(slots=True, eq=False)
class Login:
    """One login and the tokens that descend from it. `script` steers its API requests."""

    name: str
    script: str = ""
    scope: str = ""
    client_id: str = ""  # "" lets any client refresh
    generation: int = 0
    revoked: bool = False
    access: dict[str, float] = field(default_factory=dict)  # good access tokens, until when


@dataclass(frozen=True, slots=True)
class _Code:
    login: Login
    redirect_uri: str
    challenge: str
    until: float


@dataclass(slots=True)
class _Refresh:
    login: Login
    generation: int
    used: bool = False


class Logins:
    """Every login of one simulated provider."""

    def __init__(self) -> None:
        self._all: list[Login] = []
        self._access: dict[str, tuple[Login, int]] = {}
        self._refresh: dict[str, _Refresh] = {}
        self._codes: dict[str, _Code] = {}
        self._spent_codes: dict[str, Login] = {}
        self.refreshes: Counter[str] = Counter()  # by login: refresh tokens exchanged for new access tokens

    # Who is who.

    def of_access(self, token: str | None) -> tuple[Login, int] | None:
        """The login and generation of an access token, good or not."""
        return self._access.get(token or "")

    def script_of(self, token: str | None) -> str:
        """What steers the API requests made with this access token."""
        found = self.of_access(token)
        return found[0].script if found else ""

    def is_good(self, token: str) -> bool:
        """Whether the API takes this access token now."""
        login, _generation = self._access.get(token, (None, 0))
        return login is not None and not login.revoked and time.monotonic() < login.access.get(token, 0.0)

    # What tests do from outside.

    def grant(
        self, name: str, *, script: str = "", scope: str = "", expires: float | None = LIFETIME_S
    ) -> JsonObject:
        """A login without a browser: the tokens as the token endpoint would answer them. Raises ScriptError."""
        parse(script)
        login = self._new(name, script=script, scope=scope)
        return self._issue(login, Terms(expires))

    def expire(self, name: str) -> int:
        """Make the access tokens of this name's logins useless, until a refresh. Returns how many logins."""
        found = list(self._named(name))
        for login in found:
            login.access.clear()
        return len(found)

    def revoke(self, name: str) -> int:
        """End this name's logins: access and refresh tokens. Returns how many there were."""
        found = list(self._named(name))
        for login in found:
            login.revoked = True
        return len(found)

    def _named(self, name: str) -> Iterator[Login]:
        return (login for login in self._all if login.name == name)

    # What the endpoints do.

    def authorize(
        self, *, name: str, scope: str, client_id: str, redirect_uri: str, challenge: str
    ) -> tuple[str, Login]:
        """A code for a new login, good once and for a minute. `sim:…` in the scope is its script."""
        scripts = [part.removeprefix(SCRIPT_SCOPE) for part in scope.split() if part.startswith(SCRIPT_SCOPE)]
        login = self._new(
            name or f"login-{len(self._all) + 1}", script=",".join(scripts), scope=scope, client_id=client_id
        )
        code = f"sim-code-{secrets.token_urlsafe(16)}"
        self._codes[code] = _Code(login, redirect_uri, challenge, time.monotonic() + _CODE_SECONDS)
        return code, login

    def note_of_code(self, code: str) -> TokenNote | None:
        """Whose code this is, for the journal."""
        held = self._codes.get(code)
        login = held.login if held else self._spent_codes.get(code)
        return TokenNote("authorization_code", login.name, login.generation) if login else None

    def note_of_refresh(self, token: str) -> TokenNote | None:
        """Whose refresh token this is, for the journal."""
        held = self._refresh.get(token)
        return TokenNote("refresh_token", held.login.name, held.generation) if held else None

    def exchange(
        self, code: str, *, client_id: str, redirect_uri: str, verifier: str, terms: Terms
    ) -> JsonObject:
        """The first tokens. Raises TokenRefused; a code that comes again ends the login it made."""
        held = self._codes.pop(code, None)
        if held is None:
            if login := self._spent_codes.get(code):
                login.revoked = True
                raise TokenRefused("This code was used before; its login is over.", outcome="code_reused")
            raise TokenRefused("This code is not known.")
        self._spent_codes[code] = held.login
        if (client_id, redirect_uri) != (held.login.client_id, held.redirect_uri):
            raise TokenRefused("This code was issued to another client or redirect_uri.")
        if _challenge(verifier) != held.challenge:
            raise TokenRefused("code_verifier does not fit the code_challenge.", outcome="pkce_failed")
        if time.monotonic() > held.until:
            raise TokenRefused("This code has expired.", outcome="code_expired")
        return self._issue(held.login, terms)

    def refresh(self, token: str, *, client_id: str, terms: Terms) -> JsonObject:
        """New tokens. Raises TokenRefused; a used token that comes again ends its login."""
        held = self._refresh.get(token)
        if held is None:
            raise TokenRefused("This refresh token is not known.", outcome="unknown")
        if held.login.client_id and client_id != held.login.client_id:
            raise TokenRefused("This refresh token belongs to another client.", error="unauthorized_client")
        if held.used:
            self.end_reused(token)
        if held.login.revoked:
            raise TokenRefused("This login was revoked.", outcome="revoked")
        self.refreshes[held.login.name] += 1
        if terms.rotate:
            held.used = True
        return self._issue(held.login, terms)

    def end_reused(self, token: str) -> None:
        """Treat the token as one that was used before: always raises TokenRefused."""
        if held := self._refresh.get(token):
            held.login.revoked = True
        raise TokenRefused(
            "This refresh token was used before; its login is over.", code="refresh_token_reused"
        )

    # Steps.

    def _new(self, name: str, *, script: str, scope: str, client_id: str = "") -> Login:
        login = Login(name, script, scope, client_id)
        self._all.append(login)
        return login

    def _issue(self, login: Login, terms: Terms) -> JsonObject:
        login.generation += 1
        access = ACCESS_PREFIX + secrets.token_urlsafe(24)
        if not terms.keep_old:
            login.access.clear()
        life = float("inf") if terms.expires is None else terms.expires
        login.access[access] = time.monotonic() + life
        self._access[access] = (login, login.generation)
        answer: JsonObject = {"access_token": access, "token_type": "Bearer"}
        if terms.expires is not None:
            answer["expires_in"] = round(terms.expires)
        if terms.rotate:
            refresh = REFRESH_PREFIX + secrets.token_urlsafe(24)
            self._refresh[refresh] = _Refresh(login, login.generation)
            answer["refresh_token"] = refresh
        return answer | ({"scope": login.scope} if login.scope else {})


def _challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode("utf-8", "replace")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
