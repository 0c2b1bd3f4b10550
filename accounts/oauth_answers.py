"""What a token endpoint answers, and token JSON that a person brings along: read, judged, never shown.

Rule: no text made here holds a token. What a provider says is shortened, and cleaned of what we sent and of
everything that looks like a token.
Sources: RFC 6749 sections 5.1 and 5.2; the names beyond it are those that OpenAI and GitHub answer with.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from accounts.redact import redact
from accounts.vault import Secret
from backends.services import ServiceError

# The login is over: the same request will never succeed.
TERMINAL_CODES = frozenset(
    (
        *("invalid_grant", "invalid_client", "unauthorized_client", "bad_verification_code"),
        *("refresh_token_reused", "refresh_token_expired", "refresh_token_invalidated", "bad_refresh_token"),
    )
)
# More exact than the `invalid_grant` that comes with them.
_EXACT_CODES = ("refresh_token_reused", "refresh_token_expired", "refresh_token_invalidated")
_PASSING_CODES = frozenset(["server_error", "temporarily_unavailable", "slow_down", "rate_limit_error"])
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")
_LIKE_A_TOKEN = re.compile(r"(?=[A-Za-z_.~+/=-]*[0-9])[A-Za-z0-9_.~+/=-]{16,}")
_LONGEST_DESCRIPTION = 200
_SHORTEST_PART = 6  # of a secret, that is taken out of what the provider says
_LONGEST_SCOPE = 1000
_LONGEST_JSON = 1 << 17
_MILLISECONDS_FROM = 1e12  # as seconds, that would be the year 33658
_LONGEST_LIFE_S = 10 * 365 * 86400.0
_TOKEN_JSON = '{"access_token": "…", "refresh_token": "…", "expires_at": 1790000000, "scope": "…"}'


class OAuthError(ServiceError):
    """A login or a refresh did not succeed. The text is for people and holds no token.

    `code`: the provider's (RFC 6749), else `network`, `timeout`, `bad_answer`, `redirected`, `http_<status>`,
    `discovery_failed` or `cancelled`. `is_terminal`: the same request will never succeed, only a new login will.
    `is_ambiguous`: the provider may have acted, so a single-use token may be spent. `retry_after_s`: as it asked.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        is_terminal: bool = False,
        is_ambiguous: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.is_terminal = is_terminal
        self.is_ambiguous = is_ambiguous
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Grant:
    """Tokens that a provider issued. `expires_in` is seconds from now, None when it was not told.

    `refresh` is None when no new refresh token came: the one at hand stays valid (RFC 6749 section 6). `is_new`: issued
    just now, so that `expires_in` is the access token's whole life.
    """

    access: Secret
    refresh: Secret | None = None
    expires_in: float | None = None
    scope: str = ""
    is_new: bool = True


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """The answer of a token endpoint. `sent` are the secrets of the request, so that no error repeats them."""

    status: int
    body: bytes
    sent: tuple[str, ...] = ()
    retry_after: str = ""

    def __repr__(self) -> str:
        return f"<TokenAnswer {self.status}>"


def read_answer(answer: TokenAnswer, *, backend: str, now: float) -> Grant:
    """The tokens in it. `now` is seconds since the epoch. Raises OAuthError, classified."""
    document = _document(answer.body)
    is_success = 200 <= answer.status < 300
    if is_success and document and not _is_absent(document.get("access_token")):
        try:
            return _grant(document, now)
        except ServiceError as exc:
            raise _unreadable(backend, str(exc)) from None
    codes = _codes(document, answer.sent)
    if is_success and not codes:
        raise _unreadable(backend, "there is no access_token in it")
    raise _refusal(answer, backend, codes, _description(document, answer.sent))


def read_token_json(text: str, *, now: float) -> Grant:
    """Tokens that a person imports. Unlike in an answer, `expires_at` wins: `expires_in` counts from a moment long ago.

    Raises ServiceError, which never repeats the text.
    """
    document = _document(text.encode(errors="surrogatepass")) if len(text) <= _LONGEST_JSON else None
    if document is None:
        raise ServiceError(f"That is no JSON object. Give {_TOKEN_JSON}.")
    if _is_absent(document.get("access_token")):
        raise ServiceError(f"There is no access_token in the JSON. Give {_TOKEN_JSON}.")
    if not _is_absent(document.get("expires_at")):
        document.pop("expires_in", None)
    elif "expires_in" in document and _seconds(document["expires_in"]) is None:
        raise ServiceError("expires_in in the JSON is not a number of seconds. Correct it, or leave it out.")
    if "scope" in document and not isinstance(document["scope"], str | None):
        raise ServiceError("scope in the JSON is not a text. Write the scopes with spaces between them.")
    return _grant(document, now)


def provider_refusal(code: str, description: str, *, backend: str) -> OAuthError:
    """An error that the provider sent back through the browser (RFC 6749 section 4.1.2.1)."""
    name = code if _CODE.fullmatch(code) else "bad_answer"
    said = ": ".join(part for part in (name, _cleaned(description, ())) if part)
    text = f"The provider of {backend} ended the login ({said}). Log in again, or ask the provider why."
    return OAuthError(text, code=name, is_terminal=True)


def _document(body: bytes) -> dict[str, Any] | None:
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _is_absent(value: object) -> bool:
    return value is None or value == ""


# --- tokens ---------------------------------------------------------------------------------------------


def _grant(document: dict[str, Any], now: float) -> Grant:
    refresh = document.get("refresh_token")
    scope = document.get("scope")
    return Grant(
        access=_token("access_token", document["access_token"]),
        refresh=None if _is_absent(refresh) else _token("refresh_token", refresh),
        expires_in=_lifetime(document, now),
        scope=scope[:_LONGEST_SCOPE] if isinstance(scope, str) else "",
    )


def _token(name: str, value: object) -> Secret:
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise ServiceError(
            f"{name} is not a text of printable ASCII without spaces, as a header needs it. Copy it again."
        )
    return Secret(value)


def _lifetime(document: dict[str, Any], now: float) -> float | None:
    """Seconds from now. In a provider's answer `expires_in` wins: it needs no agreement about the time of day."""
    told = _seconds(document.get("expires_in"))
    if told is not None and told > 0:
        return min(told, _LONGEST_LIFE_S)
    moment = document.get("expires_at")
    if _is_absent(moment):
        return None
    at = _seconds(moment)
    if at is None:
        raise ServiceError("expires_at is not a time in seconds or milliseconds since 1970. Correct it.")
    seconds = at / 1000 if at >= _MILLISECONDS_FROM else at
    return max(-_LONGEST_LIFE_S, min(seconds - now, _LONGEST_LIFE_S))


def _seconds(value: object) -> float | None:
    """A finite number, also one that is written as a text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


# --- errors ---------------------------------------------------------------------------------------------


def _unreadable(backend: str, why: str) -> OAuthError:
    """A success that we cannot use: whatever we sent may be spent."""
    return OAuthError(
        f"The token endpoint of {backend} gave an answer that cannot be used: {why}. Check the token URL.",
        code="bad_answer",
        is_ambiguous=True,
    )


def _refusal(answer: TokenAnswer, backend: str, codes: Sequence[str], description: str) -> OAuthError:
    code = next((one for one in _EXACT_CODES if one in codes), "") or next(iter(codes), "")
    said = ": ".join(part for part in (code, description) if part)
    terminal = _is_terminal(answer.status, codes)
    text = f"The token endpoint of {backend} answered HTTP {answer.status}{f' ({said})' if said else ''}."
    return OAuthError(
        f"{text} {_advice(answer.status, codes, terminal)}",
        code="redirected" if 300 <= answer.status < 400 else code or f"http_{answer.status}",
        is_terminal=terminal,
        retry_after_s=float(answer.retry_after) if re.fullmatch(r"\d{1,6}", answer.retry_after) else None,
    )


def _is_terminal(status: int, codes: Sequence[str]) -> bool:
    """A login that is over, as far as the provider itself says so. A bare 403 may come from a firewall."""
    if status == 429 or status >= 500:
        return False
    if any(code in TERMINAL_CODES for code in codes):
        return True
    return status in (401, 403) and bool(codes) and not any(code in _PASSING_CODES for code in codes)


def _advice(status: int, codes: Sequence[str], terminal: bool) -> str:
    if "invalid_client" in codes or "unauthorized_client" in codes:
        return "Check the client id of this backend's OAuth provider, then log in again."
    if terminal:
        return "Log in again."
    if status == 429 or status >= 500:
        return "Try again later."
    if 300 <= status < 400:
        return "A redirect is not followed. Set the token URL to the address that answers."
    return "Check the token URL and the client id of this backend's OAuth provider."


def _codes(document: dict[str, Any] | None, sent: Iterable[str]) -> list[str]:
    """Every name that the answer gives the error, cleaned; the RFC's own first."""
    hidden = tuple(sent)
    cleaned = (_cleaned(text, hidden) for text in _raw_codes(document or {}) if isinstance(text, str))
    return [text for text in cleaned if _CODE.fullmatch(text)]


def _raw_codes(document: dict[str, Any]) -> Iterator[object]:
    error = document.get("error")
    yield from (error, document.get("code"), document.get("error_code"))
    if isinstance(error, dict):
        yield from (error.get("code"), error.get("type"))


def _description(document: dict[str, Any] | None, sent: Iterable[str]) -> str:
    found = document or {}
    error = found.get("error")
    inner = error.get("message") if isinstance(error, dict) else None
    text = found.get("error_description") or inner or found.get("message")
    return _cleaned(text, sent) if isinstance(text, str) else ""


def _cleaned(text: str, sent: Iterable[str]) -> str:
    """One short line for people, without anything secret, whole or in part."""
    hidden = tuple(sent)
    for secret in hidden:
        text = text.replace(secret, "***")
    printable = "".join(one if one.isprintable() else " " for one in text)
    line = " ".join("***" if _is_part(word, hidden) else word for word in printable.split())
    return redact(_LIKE_A_TOKEN.sub("***", line))[:_LONGEST_DESCRIPTION].rstrip(".")


def _is_part(word: str, secrets: Iterable[str]) -> bool:
    core = word.strip(".,;:!?()[]{}<>\"'`*…")
    return len(core) >= _SHORTEST_PART and any(core in secret for secret in secrets)
