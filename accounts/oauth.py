"""OAuth as a public client with PKCE: discovery, the start of a login, code and refresh grants, stored tokens.

Rule: a token request goes over a connection of its own. A kept one that turns out to be closed is sent again,
and a refresh token that is sent twice can end the login. Redirects are not followed, answers are bounded.
Sources: RFC 6749 (grants), 7636 (PKCE), 8414 (discovery; OpenID Connect Discovery 1.0 as the fallback),
8252 (native apps), 9700 (current practice).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from django.db import transaction
from django.utils import timezone

from accounts.models import Account, OAuthToken
from accounts.oauth_answers import Grant, OAuthError, TokenAnswer, read_answer
from accounts.oauth_answers import read_token_json as _read_token_json
from accounts.providers import ProviderConfig, provider_of
from accounts.vault import Secret, seal
from backends.addresses import BadBaseUrl, BaseUrl, check_base_url
from backends.errors import FirstByteTimeout, IdleTimeout, StreamFailed, UpstreamError
from backends.services import ServiceError
from backends.upstream import Deadlines, Upstream, UpstreamResponse, current_upstream

__all__ = [
    "Grant",
    "GrantSuperseded",
    "OAuthError",
    "PendingLogin",
    "discover",
    "exchange_code",
    "new_login",
    "read_token_json",
    "refresh_grant",
    "store_grant",
]

TOKEN_TIMEOUT_S = 30.0  # for the whole token request; a lease on a refresh lasts longer
DISCOVERY_DEADLINES = Deadlines(connect=5, first_byte=15, idle=15)
MAX_ANSWER_BYTES = 64 * 1024
_HEADERS = ((b"accept", b"application/json"), (b"user-agent", b"patchbay"))
_FORM = (b"content-type", b"application/x-www-form-urlencoded")


class GrantSuperseded(ServiceError):
    """Newer tokens were stored meanwhile; the offered ones were not."""


@dataclass(frozen=True, slots=True)
class PendingLogin:
    """A login that was begun: open `url` in a browser, expect `state` back, keep `verifier` for the code."""

    url: str = field(repr=False)
    state: str = field(repr=False)
    verifier: str = field(repr=False)
    redirect_uri: str


# --- the start of a login -------------------------------------------------------------------------------


def new_login(provider: ProviderConfig, redirect_uri: str) -> PendingLogin:
    """A fresh state and PKCE verifier, and the address that asks for a code. `provider` as `discover` gives it."""
    verifier, state = secrets.token_urlsafe(64), secrets.token_urlsafe(32)
    asked = {
        "response_type": "code",
        "client_id": provider.client_id,
        "redirect_uri": redirect_uri,
        "scope": provider.scopes,
        "state": state,
        "code_challenge": code_challenge(verifier),
        "code_challenge_method": "S256",
    }
    query = urlencode({name: value for name, value in asked.items() if value}, quote_via=quote)
    joint = "&" if "?" in provider.authorize_url else "?"
    return PendingLogin(f"{provider.authorize_url}{joint}{query}", state, verifier, redirect_uri)


def code_challenge(verifier: str) -> str:
    """S256 of RFC 7636 section 4.2."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


# --- discovery ------------------------------------------------------------------------------------------


async def discover(provider: ProviderConfig) -> ProviderConfig:
    """The same provider with both URLs; those that are configured stay. Raises OAuthError `discovery_failed`."""
    if provider.authorize_url and provider.token_url:
        return provider
    document = await _metadata(provider)
    methods = document.get("code_challenge_methods_supported")
    if isinstance(methods, list) and "S256" not in methods:
        raise _undiscovered(provider, "it does not take PKCE with S256, which a login here needs")
    return replace(
        provider,
        authorize_url=provider.authorize_url or _endpoint(provider, document, "authorization_endpoint"),
        token_url=provider.token_url or _endpoint(provider, document, "token_endpoint"),
    )


async def _metadata(provider: ProviderConfig) -> dict[str, Any]:
    try:
        issuer = check_base_url(provider.issuer)
        root = BaseUrl(issuer.scheme, issuer.host, issuer.port, "")
        for path in _well_known(issuer):
            document = await _fetch_document(root, path)
            if document is not None:
                return _of_issuer(provider, document)
    except (BadBaseUrl, UpstreamError) as exc:
        raise _undiscovered(provider, str(exc).rstrip(".")) from exc
    raise _undiscovered(provider, "it has no discovery document (RFC 8414, OpenID Connect)")


def _well_known(issuer: BaseUrl) -> tuple[str, str]:
    """RFC 8414 puts its path between host and path; OpenID Connect appends it."""
    return (
        f"/.well-known/oauth-authorization-server{issuer.path}",
        f"{issuer.path}/.well-known/openid-configuration",
    )


async def _fetch_document(base: BaseUrl, path: str) -> dict[str, Any] | None:
    """A JSON object, or None for anything else: many servers answer an unknown path with a page."""
    response = await current_upstream().send(
        method="GET",
        base=base,
        path=path,
        query=b"",
        headers=_HEADERS,
        body=b"",
        deadlines=DISCOVERY_DEADLINES,
    )
    try:
        body = await response.read(MAX_ANSWER_BYTES) if response.status == 200 else b""
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    finally:
        response.close()
    return document if isinstance(document, dict) else None


def _of_issuer(provider: ProviderConfig, document: dict[str, Any]) -> dict[str, Any]:
    """RFC 8414 section 3.3: a document that names another issuer must not be used."""
    if document.get("issuer") != provider.issuer:
        named = str(document.get("issuer"))[:200]
        raise _undiscovered(provider, f"its document names another issuer, {named!r}; set exactly that one")
    return document


def _endpoint(provider: ProviderConfig, document: dict[str, Any], name: str) -> str:
    """An address of the document that may be used. Only the one for the browser may have a query (RFC 6749)."""
    url = document.get(name)
    if not isinstance(url, str):
        raise _undiscovered(provider, f"its document has no {name}; set that URL yourself")
    try:
        address = url.partition("?")[0] if name == "authorization_endpoint" else url
        scheme = check_base_url(address).scheme
    except BadBaseUrl as exc:
        raise _undiscovered(provider, f"its {name} is refused: {exc}".rstrip(".")) from exc
    if scheme != "https" and provider.issuer.lower().startswith("https:"):
        raise _undiscovered(provider, f"its {name} is not https, though the issuer is")
    return url


def _undiscovered(provider: ProviderConfig, why: str) -> OAuthError:
    return OAuthError(
        f"The OAuth issuer of {provider.backend} cannot be used: {why}. Check the issuer, or set the authorize"
        " URL and the token URL.",
        code="discovery_failed",
    )


# --- grants ---------------------------------------------------------------------------------------------


async def exchange_code(
    provider: ProviderConfig, pending: PendingLogin, code: str, *, timeout_s: float = TOKEN_TIMEOUT_S
) -> Grant:
    """The tokens for the code that came back. Raises OAuthError."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": pending.redirect_uri,
        "client_id": provider.client_id,
        "code_verifier": pending.verifier,
    }
    grant = await _request_tokens(provider, form, (code, pending.verifier, pending.state), timeout_s)
    return grant if grant.scope else replace(grant, scope=provider.scopes)  # RFC 6749 section 5.1


async def refresh_grant(
    provider: ProviderConfig, refresh: Secret, *, timeout_s: float = TOKEN_TIMEOUT_S
) -> Grant:
    """New tokens for a refresh token. Raises OAuthError: see its `is_terminal` and `is_ambiguous`.

    One request, never repeated here. An empty `scope` means that it did not change.
    """
    text = refresh.reveal()
    form = {"grant_type": "refresh_token", "refresh_token": text, "client_id": provider.client_id}
    return await _request_tokens(provider, form, (text,), timeout_s)


async def _request_tokens(
    provider: ProviderConfig, form: dict[str, str], sent: Sequence[str], timeout_s: float
) -> Grant:
    token_url = provider.token_url or (await discover(provider)).token_url
    try:
        async with asyncio.timeout(timeout_s):
            answer = await _post(token_url, urlencode(form).encode("ascii"), tuple(sent), timeout_s)
    except TimeoutError:
        raise _unanswered(provider, "timeout", f"no answer within {timeout_s:g} s") from None
    except BadBaseUrl as exc:
        raise OAuthError(f"The token URL of {provider.backend} is refused: {exc}", code="network") from exc
    except UpstreamError as exc:
        raise _failed(provider, exc) from exc
    return read_answer(answer, backend=provider.backend, now=time.time())


async def _post(token_url: str, form: bytes, sent: tuple[str, ...], timeout_s: float) -> TokenAnswer:
    base = check_base_url(token_url)
    upstream = Upstream()
    try:
        response = await upstream.send(
            method="POST",
            base=base,
            path="/" if token_url.strip(" ").endswith("/") or not base.path else "",
            query=b"",
            headers=(*_HEADERS, _FORM),
            body=form,
            deadlines=Deadlines(connect=timeout_s / 3, first_byte=timeout_s, idle=timeout_s),
        )
        return TokenAnswer(response.status, await _body(response), sent, _retry_after(response))
    finally:
        await upstream.aclose()


async def _body(response: UpstreamResponse) -> bytes:
    """A refusal is one whatever becomes of its text; a success that is cut is not."""
    try:
        return await response.read(MAX_ANSWER_BYTES)
    except StreamFailed:
        if response.status < 300:
            raise
        return b""
    finally:
        response.close()


def _retry_after(response: UpstreamResponse) -> str:
    found = (value for name, value in response.headers if name == b"retry-after")
    return next(found, b"").decode("latin-1").strip()


def _failed(provider: ProviderConfig, exc: UpstreamError) -> OAuthError:
    if exc.request_sent != "fully":
        return OAuthError(
            f"The token endpoint of {provider.backend} was not reached. {exc} It is tried again.",
            code="network",
        )
    timed_out = isinstance(exc, FirstByteTimeout | IdleTimeout)
    return _unanswered(provider, "timeout" if timed_out else "network", str(exc).rstrip("."))


def _unanswered(provider: ProviderConfig, code: str, why: str) -> OAuthError:
    return OAuthError(
        f"The token endpoint of {provider.backend} took the request and did not answer it: {why}."
        " If it acted all the same, a new login is needed.",
        code=code,
        is_ambiguous=True,
    )


# --- stored and imported tokens -------------------------------------------------------------------------


def read_token_json(text: str) -> Grant:
    """What `accounts add --oauth-json-stdin` takes. Raises ServiceError, which never repeats the text."""
    return replace(_read_token_json(text, now=time.time()), is_new=False)


@transaction.atomic
def store_grant(
    account: Account, grant: Grant, *, keep_refresh: bool = True, seen_generation: int | None = None
) -> OAuthToken:
    """Make these the tokens of the account, as a new generation, with every earlier problem forgotten.

    Without a new refresh token the stored one stays, or goes (`keep_refresh=False`, for a new login).
    `seen_generation`: store only over this one, else raise GrantSuperseded. The account's row stays as it is, and
    so does a lease. Raises ServiceError when a refresh token comes and no provider says where it may travel.
    """
    row = OAuthToken.objects.select_for_update().filter(account_id=account.pk).first()
    _check_wanted(account, row, seen_generation)
    row = row or OAuthToken(account=account, generation=0)
    row.sealed_access = seal(grant.access.reveal(), owner=account.uid, host=account.host)
    if grant.refresh is not None:
        row.sealed_refresh = seal(
            grant.refresh.reveal(), owner=account.uid, host=_refresh_host(account.backend.name)
        )
    elif not keep_refresh:
        row.sealed_refresh = ""
    _note_times(row, grant)
    row.scope = grant.scope or row.scope
    row.generation += 1
    row.needs_login, row.problem, row.intent, row.retry_at, row.failures = False, "", None, None, 0
    row.save(update_fields=None if row.pk is None else _STORED_FIELDS)
    return row


_STORED_FIELDS = (
    *("sealed_access", "sealed_refresh", "scope", "expires_at", "lifetime_s", "obtained_at", "generation"),
    *("needs_login", "problem", "intent", "retry_at", "failures"),
)


def _check_wanted(account: Account, row: OAuthToken | None, seen_generation: int | None) -> None:
    if not Account.objects.filter(pk=account.pk).exists():
        raise GrantSuperseded(f"Account {account.alias} is gone. Add it again to log it in.")
    if seen_generation is not None and (row is None or row.generation != seen_generation):
        raise GrantSuperseded(f"Account {account.alias} got newer tokens meanwhile. Nothing is left to do.")


def _note_times(row: OAuthToken, grant: Grant) -> None:
    row.obtained_at = timezone.now()
    row.lifetime_s = grant.expires_in if grant.is_new else None
    row.expires_at = (
        None if grant.expires_in is None else row.obtained_at + timedelta(seconds=grant.expires_in)
    )


def _refresh_host(backend_name: str) -> str:
    """Where the refresh tokens of a backend may travel, and nowhere else."""
    provider = provider_of(backend_name)
    if provider is None or not provider.refresh_host:
        raise ServiceError(
            f"Backend {backend_name} has no OAuth provider, so nothing could use the refresh token. Configure the"
            " provider first (PATCHBAY_OAUTH_… or the admin), or leave the refresh token out."
        )
    return provider.refresh_host
