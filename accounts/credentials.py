"""What goes upstream as an account's credential, and what is in the way of it: the one place a Secret is opened.

Rule: a caller's credential is forwarded only by an account of kind `caller`, and never one of Patchbay's own keys.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from django.conf import settings

from accounts.client_auth import KEY_PREFIX, digest_of
from accounts.models import Account
from accounts.snapshot import AccountConfig, Snapshot, TokenFacts, keeper
from accounts.token_files import FileToken, TokenFileError, followed
from accounts.token_life import LAST_SECONDS, lives
from accounts.vault import Secret
from backends.wire.kinds import Protocol

Headers = list[tuple[bytes, bytes]]
OAUTH_CAPABILITY = b"oauth-2025-04-20"
OAUTH_MUTATION = "header:anthropic-beta=oauth"
_BETA = b"anthropic-beta"
_BEARERS = (Account.OAUTH, Account.TOKEN_FILE)


class MissingCredential(Exception):
    """There is nothing to send. The text says what to do. `is_callers`: it is the caller who has to send it."""

    def __init__(self, message: str, *, is_callers: bool = False) -> None:
        super().__init__(message)
        self.is_callers = is_callers


@dataclass(frozen=True, slots=True)
class CredentialObstacle:
    """Why an account's credential cannot be used now. `refreshing` is over in seconds, the others need somebody."""

    kind: Literal["needs-login", "expired", "refreshing"]
    reason: str


@dataclass(frozen=True, slots=True)
class HeldToken:
    """A token that this process has and the database does not, because the database could not take it."""

    access: Secret
    facts: TokenFacts


# By uid; kept by accounts/refresh.py.
held_tokens: dict[str, HeldToken] = {}
refresh_failures: dict[str, tuple[int, str]] = {}  # of which generation, and why


def token_in_force(account: AccountConfig) -> tuple[Secret | None, TokenFacts | None]:
    """An OAuth account's access token and what is known of it: the snapshot's, or a newer one that is held."""
    held = held_tokens.get(account.uid)
    if held is None or account.token is None or held.facts.generation <= account.token.generation:
        return account.secret, account.token
    return held.access, held.facts


def token_since_wall(account: AccountConfig) -> float:
    """Since when the token in force is there, in seconds since the epoch; 0 for what never changes by itself."""
    if account.kind == Account.TOKEN_FILE:
        try:
            return _file_token(account).written_at
        except TokenFileError:
            return 0.0
    _, token = token_in_force(account)
    return token.obtained_at if token is not None else 0.0


# --- headers ----------------------------------------------------------------------------------------------------


def credential_headers(
    account: AccountConfig,
    protocol: Protocol,
    client_headers: Mapping[bytes, bytes] | None = None,
    *,
    snapshot: Snapshot | None = None,
) -> Headers:
    """The headers that carry the credential. Raises MissingCredential.

    An Anthropic key goes in `x-api-key`, every other key and all tokens in `Authorization: Bearer`; kind `none`
    sends none. Kind `caller` forwards what is in `client_headers` (names in lower case), less the keys that are
    ours by `snapshot` (by default the one in force).
    """
    if account.kind == Account.NONE:
        return []
    if account.kind == Account.CALLER:
        return _callers_own(account, protocol, client_headers or {}, snapshot)
    secret = _secret_of(account).reveal().encode()
    if account.kind == Account.API_KEY and protocol is Protocol.ANTHROPIC:
        return [(b"x-api-key", secret)]
    return [(b"authorization", b"Bearer " + secret)]


def own_headers(account: AccountConfig, protocol: Protocol) -> Headers:
    """The headers of a request of Patchbay's own, such as for a model list. Raises MissingCredential."""
    return with_oauth_beta(account, protocol, credential_headers(account, protocol))[0]


def with_oauth_beta(
    account: AccountConfig, protocol: Protocol, headers: Headers
) -> tuple[Headers, list[str]]:
    """`headers` with the capability that a token needs on an Anthropic backend, and the mutation if it was absent.

    Source: the Anthropic SDKs send this `anthropic-beta` value with every token that is no API key.
    """
    if protocol is not Protocol.ANTHROPIC or account.kind not in _BEARERS:
        return headers, []
    places = [i for i, (name, _) in enumerate(headers) if name == _BETA]
    if any(OAUTH_CAPABILITY in map(bytes.strip, headers[i][1].split(b",")) for i in places):
        return headers, []
    if not places:
        return [*headers, (_BETA, OAUTH_CAPABILITY)], [OAUTH_MUTATION]
    last = places[-1]
    value = b",".join(part for part in (headers[last][1].strip(), OAUTH_CAPABILITY) if part)
    return [*headers[:last], (_BETA, value), *headers[last + 1 :]], [OAUTH_MUTATION]


def _secret_of(account: AccountConfig) -> Secret:
    if account.kind == Account.TOKEN_FILE:
        try:
            return _file_token(account).secret
        except TokenFileError as exc:
            raise MissingCredential(f"Account {account.alias}: {exc}") from None
    secret, _ = token_in_force(account)
    if secret is None:
        why = account.problem or f"it has no credential. Run `login {account.alias}`."
        raise MissingCredential(f"Account {account.alias}: {why}")
    return secret


def _file_token(account: AccountConfig) -> FileToken:
    return followed(account.token_file, account.token_path)


def _callers_own(
    account: AccountConfig, protocol: Protocol, client: Mapping[bytes, bytes], snapshot: Snapshot | None
) -> Headers:
    names = (b"authorization", b"x-api-key") if protocol is Protocol.ANTHROPIC else (b"authorization",)
    found = [(name, client[name]) for name in names if client.get(name, b"").strip()]
    passing = [(name, value) for name, value in found if not _is_ours(value, snapshot or keeper.current)]
    if not passing:
        asked = " or ".join("x-api-key" if name == b"x-api-key" else "Authorization" for name in names)
        raise MissingCredential(
            f"Account {account.alias} forwards the caller's own credential, and this request has none. Send it as"
            f" {asked}, and Patchbay's key, if one is needed, as x-patchbay-key.",
            is_callers=True,
        )
    return passing


def _is_ours(value: bytes, snapshot: Snapshot) -> bool:
    """Whether a credential header holds a key of Patchbay, also one that expired or was revoked."""
    text = value.decode("latin-1").strip()
    scheme, _, rest = text.partition(" ")
    key = rest.strip() if rest and scheme.lower() == "bearer" else text
    fixed = settings.PATCHBAY_API_KEY
    if fixed is not None and hmac.compare_digest(key.encode(), fixed.encode()):
        return True
    digests = (digest_of(key, pepper=pepper) for pepper in settings.PATCHBAY_KEY_PEPPERS)
    return key.startswith(KEY_PREFIX) or any(digest in snapshot.client_keys for digest in digests)


# --- what is in the way -------------------------------------------------------------------------------------------


def credential_obstacle(account: AccountConfig, now: float) -> CredentialObstacle | None:
    """Why the credential cannot be used for a new request, or None when it can. `now`: seconds since the epoch.

    Looks at the token file, at most once a second, of an account that follows one.
    """
    if account.problem:
        return CredentialObstacle("needs-login", account.problem)
    if account.kind == Account.OAUTH:
        return _login_obstacle(account, now)
    if account.kind == Account.TOKEN_FILE:
        return _file_obstacle(account, now)
    return None


def _login_obstacle(account: AccountConfig, now: float) -> CredentialObstacle | None:
    _, token = token_in_force(account)
    again = f"Run `login {account.alias} --oauth`."
    if token is None:
        return CredentialObstacle("needs-login", f"it is not logged in. {again}")
    if token.needs_login:
        return CredentialObstacle("needs-login", f"the provider no longer accepts its login. {again}")
    if token.expires_at is None:
        return None
    left = lives.seconds_left(account.uid, token.generation, token.expires_at, now)
    if left > lives.last_seconds(account.uid):
        return None
    if token.can_refresh:
        generation, failure = refresh_failures.get(account.uid, (0, ""))
        is_failing = generation == token.generation
        told = f"could not be refreshed yet: {failure}" if is_failing else "is being refreshed"
        return CredentialObstacle("refreshing", f"its token {told}")
    return CredentialObstacle("expired", f"its token has expired and cannot be refreshed. {again}")


def _file_obstacle(account: AccountConfig, now: float) -> CredentialObstacle | None:
    try:
        expires_at = _file_token(account).expires_at
    except TokenFileError as exc:
        return CredentialObstacle("needs-login", str(exc))
    if expires_at is None or expires_at - now > LAST_SECONDS:
        return None
    return CredentialObstacle(
        "expired",
        f"the token in {account.token_file} has expired. Log in with the program that writes the file.",
    )
