"""Which credential goes upstream for which kind of account, and what is said when there is none."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from accounts.client_auth import digest_of, new_client_key
from accounts.credentials import (
    OAUTH_CAPABILITY,
    OAUTH_MUTATION,
    CredentialObstacle,
    HeldToken,
    MissingCredential,
    credential_headers,
    credential_obstacle,
    held_tokens,
    own_headers,
    refresh_failures,
    with_oauth_beta,
)
from accounts.models import Account
from accounts.snapshot import AccountConfig, ClientKeyConfig, Snapshot, TokenFacts
from accounts.token_life import LAST_SECONDS
from accounts.vault import Secret
from backends.config import Routing
from backends.wire.kinds import Protocol

ANTHROPIC, OPENAI = Protocol.ANTHROPIC, Protocol.OPENAI
NOW = 1_790_000_000.0
BEARER = [(b"authorization", b"Bearer sk-0123456789")]


def account(
    kind: str = Account.API_KEY, *, secret: str | None = "sk-0123456789", **fields: object
) -> AccountConfig:
    opened = Secret(secret) if secret else None
    return AccountConfig("u1", "work", "sim", kind, opened, **fields)  # type: ignore[arg-type]


def login(left: float | None = 3600.0, **facts: object) -> AccountConfig:
    known = {
        "generation": 1,
        "expires_at": None if left is None else NOW + left,
        "can_refresh": True,
        **facts,
    }
    return account(Account.OAUTH, token=TokenFacts(**known))  # type: ignore[arg-type]


@pytest.fixture
def keys() -> Snapshot:
    """A configuration with one client key, the one in `KEY`."""
    known = MappingProxyType({digest_of(KEY): ClientKeyConfig("laptop", (), None)})
    return Snapshot(1, Routing(MappingProxyType({})), MappingProxyType({}), known, True)


KEY = new_client_key()


@pytest.fixture(autouse=True)
def nothing_held() -> Iterator[None]:
    yield
    held_tokens.clear()
    refresh_failures.clear()


# --- headers ----------------------------------------------------------------------------------------------------------


def test_a_key_goes_where_its_protocol_looks_for_it() -> None:
    assert credential_headers(account(), ANTHROPIC) == [(b"x-api-key", b"sk-0123456789")]
    assert credential_headers(account(), OPENAI) == BEARER


@pytest.mark.parametrize("protocol", list(Protocol))
def test_a_token_is_a_bearer_token_for_every_protocol(protocol: Protocol, tmp_path: Path) -> None:
    assert credential_headers(login(), protocol) == BEARER
    file = tmp_path / "token"
    file.write_text("sk-0123456789")
    follower = account(Account.TOKEN_FILE, secret=None, token_file=str(file))
    assert credential_headers(follower, protocol) == BEARER


def test_no_credential_is_sent_for_a_server_that_needs_none() -> None:
    assert (
        credential_headers(account(Account.NONE, secret=None), OPENAI, {b"authorization": b"Bearer x"}) == []
    )


def test_nobody_but_a_caller_account_forwards_what_the_caller_sent() -> None:
    theirs = {b"authorization": b"Bearer sk-theirs", b"x-api-key": b"sk-theirs"}
    for ours in (account(), login()):
        for protocol in Protocol:
            headers = credential_headers(ours, protocol, theirs)
            assert not any(b"theirs" in value for _, value in headers)


def test_an_account_without_its_credential_says_so(tmp_path: Path) -> None:
    with pytest.raises(MissingCredential, match="work: the vault is shut"):
        credential_headers(account(secret=None, problem="the vault is shut"), OPENAI)
    with pytest.raises(MissingCredential, match="`login work`"):
        credential_headers(account(Account.OAUTH, secret=None), OPENAI)
    missing = account(Account.TOKEN_FILE, secret=None, token_file=str(tmp_path / "none"))
    with pytest.raises(MissingCredential, match="no token file") as caught:
        credential_headers(missing, OPENAI)
    assert not caught.value.is_callers


# --- the caller's own -------------------------------------------------------------------------------------------------


def callers(protocol: Protocol, headers: dict[bytes, bytes], snapshot: Snapshot) -> list[tuple[bytes, bytes]]:
    return credential_headers(account(Account.CALLER, secret=None), protocol, headers, snapshot=snapshot)


def test_the_callers_credential_is_forwarded_as_it_came(keys: Snapshot) -> None:
    sent = {
        b"authorization": b"Basic  dXNlcjpwYXNz",
        b"x-api-key": b"sk-ant-theirs",
        b"x-patchbay-key": KEY.encode(),
    }
    assert callers(OPENAI, sent, keys) == [(b"authorization", sent[b"authorization"])]
    assert callers(ANTHROPIC, sent, keys) == [(name, sent[name]) for name in (b"authorization", b"x-api-key")]


@pytest.mark.parametrize("scheme", [b"Bearer ", b"bearer  ", b"BEARER "])
def test_a_client_key_is_never_forwarded(keys: Snapshot, scheme: bytes) -> None:
    sent = {b"authorization": scheme + KEY.encode(), b"x-api-key": b"sk-ant-theirs"}
    assert callers(ANTHROPIC, sent, keys) == [(b"x-api-key", b"sk-ant-theirs")]
    sent = {b"authorization": b"Bearer sk-theirs", b"x-api-key": b" " + KEY.encode()}
    assert callers(ANTHROPIC, sent, keys) == [(b"authorization", b"Bearer sk-theirs")]


def test_neither_is_a_revoked_one_nor_the_fixed_one_nor_one_whose_look_changed(
    keys: Snapshot, settings: Settings
) -> None:
    settings.PATCHBAY_API_KEY = "the fixed key of this server"
    old = "older-than-the-prefix"
    known = MappingProxyType({digest_of(old): ClientKeyConfig("old", (), None)})
    snapshot = Snapshot(1, Routing(MappingProxyType({})), MappingProxyType({}), known, True)
    for ours in (new_client_key(), settings.PATCHBAY_API_KEY, old):
        for header in ({b"authorization": f"Bearer {ours}".encode()}, {b"x-api-key": ours.encode()}):
            with pytest.raises(MissingCredential):
                callers(ANTHROPIC, header, snapshot)


def test_a_caller_that_sends_nothing_is_told_how(keys: Snapshot) -> None:
    for sent in ({}, {b"authorization": b" "}, {b"x-api-key": b"sk-theirs"}):
        with pytest.raises(MissingCredential, match="x-patchbay-key") as caught:
            callers(OPENAI, sent, keys)
        assert caught.value.is_callers
        assert "theirs" not in str(caught.value)


@given(st.binary(max_size=60))
def test_any_authorization_is_judged_without_an_error(value: bytes) -> None:
    snapshot = Snapshot(1, Routing(MappingProxyType({})), MappingProxyType({}), MappingProxyType({}), False)
    if value.strip():
        assert callers(OPENAI, {b"authorization": value}, snapshot) in ([(b"authorization", value)],)


# --- the capability ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "beta"),
    [
        ([], b"oauth-2025-04-20"),
        ([(b"anthropic-beta", b"")], b"oauth-2025-04-20"),
        ([(b"anthropic-beta", b"context-1m")], b"context-1m,oauth-2025-04-20"),
        ([(b"anthropic-beta", b"oauth-2025-04-20b")], b"oauth-2025-04-20b,oauth-2025-04-20"),
    ],
)
def test_a_token_asks_an_anthropic_backend_for_the_capability(
    headers: list[tuple[bytes, bytes]], beta: bytes
) -> None:
    before = [(b"accept", b"*/*"), *headers]
    given_headers = list(before)
    after, mutations = with_oauth_beta(login(), ANTHROPIC, given_headers)
    assert (given_headers, mutations) == (before, [OAUTH_MUTATION])
    assert after == [(b"accept", b"*/*"), (b"anthropic-beta", beta)]


@pytest.mark.parametrize("value", [b"oauth-2025-04-20", b"a, oauth-2025-04-20 ,b"])
def test_it_is_not_asked_for_twice(value: bytes) -> None:
    headers = [(b"anthropic-beta", b"other"), (b"anthropic-beta", value)]
    assert with_oauth_beta(login(), ANTHROPIC, headers) == (headers, [])


def test_nobody_else_is_changed() -> None:
    kinds = (Account.API_KEY, Account.CALLER, Account.NONE)
    for one, protocol in [(login(), OPENAI), *((account(kind), ANTHROPIC) for kind in kinds)]:
        assert with_oauth_beta(one, protocol, [(b"a", b"b")]) == ([(b"a", b"b")], [])


@given(
    st.lists(st.tuples(st.sampled_from([b"anthropic-beta", b"accept"]), st.binary(max_size=30)), max_size=5)
)
def test_the_capability_is_there_once_and_nothing_is_lost(headers: list[tuple[bytes, bytes]]) -> None:
    after, mutations = with_oauth_beta(login(), ANTHROPIC, headers)
    betas = [part.strip() for name, value in after if name == b"anthropic-beta" for part in value.split(b",")]
    assert OAUTH_CAPABILITY in betas
    assert with_oauth_beta(login(), ANTHROPIC, after) == (after, [])
    for name, value in headers:
        assert any(name == other and value.strip() in found for other, found in after)
    assert mutations == ([] if after == headers else [OAUTH_MUTATION])


def test_a_request_of_our_own_carries_both() -> None:
    assert own_headers(login(), ANTHROPIC) == [*BEARER, (b"anthropic-beta", OAUTH_CAPABILITY)]
    assert own_headers(account(), ANTHROPIC) == [(b"x-api-key", b"sk-0123456789")]


# --- what is in the way -----------------------------------------------------------------------------------------


def kind_of(found: CredentialObstacle | None) -> str:
    return found.kind if found is not None else ""


@pytest.mark.parametrize(
    ("left", "facts", "kind"),
    [
        (3600.0, {}, ""),
        (LAST_SECONDS + 1, {}, ""),
        (LAST_SECONDS - 1, {}, "refreshing"),
        (-3600.0, {}, "refreshing"),
        (LAST_SECONDS - 1, {"can_refresh": False}, "expired"),
        (None, {"can_refresh": False}, ""),
        (3600.0, {"needs_login": True}, "needs-login"),
    ],
)
def test_a_login_serves_until_half_a_minute_before_its_end(
    left: float | None, facts: dict[str, object], kind: str
) -> None:
    assert kind_of(credential_obstacle(login(left, **facts), NOW)) == kind


def test_what_needs_a_person_says_which_command() -> None:
    for one in (login(needs_login=True), login(-1, can_refresh=False), account(Account.OAUTH, secret=None)):
        found = credential_obstacle(one, NOW)
        assert found is not None
        assert "`login work --oauth`" in found.reason


def test_a_problem_of_the_vault_is_told_as_it_is() -> None:
    assert credential_obstacle(account(problem="shut"), NOW) == CredentialObstacle("needs-login", "shut")


def test_a_refresh_that_fails_says_why() -> None:
    refresh_failures["u1"] = (1, "HTTP 500")
    found = credential_obstacle(login(-1), NOW)
    assert found is not None
    assert "HTTP 500" in found.reason
    newer = credential_obstacle(login(-1, generation=2), NOW)
    assert newer is not None
    assert "HTTP 500" not in newer.reason


def test_a_held_token_counts_until_the_row_has_one_as_new() -> None:
    held_tokens["u1"] = HeldToken(Secret("sk-held-0123456789"), TokenFacts(2, NOW + 3600, True))
    old = login(-1)
    assert credential_obstacle(old, NOW) is None
    assert credential_headers(old, OPENAI) == [(b"authorization", b"Bearer sk-held-0123456789")]
    stored = login(3600, generation=2)
    assert credential_headers(stored, OPENAI) == BEARER
    logged_out = account(Account.OAUTH, secret=None)
    assert kind_of(credential_obstacle(logged_out, NOW)) == "needs-login"


def test_a_token_file_serves_until_its_token_ends(tmp_path: Path) -> None:
    file, now = tmp_path / "token.json", time.time()
    for name, left, kind in (("a", 3600, ""), ("b", 10, "expired"), ("c", -10, "expired")):
        file = tmp_path / name
        file.write_text(f'{{"access_token": "sk-0123456789", "expires_at": {now + left}}}')
        follower = account(Account.TOKEN_FILE, secret=None, token_file=str(file))
        assert kind_of(credential_obstacle(follower, now)) == kind
    absent = account(Account.TOKEN_FILE, secret=None, token_file=str(tmp_path / "none"))
    found = credential_obstacle(absent, now)
    assert kind_of(found) == "needs-login"
    assert found is not None
    assert "no token file" in found.reason


@pytest.mark.parametrize("kind", [Account.API_KEY, Account.CALLER, Account.NONE])
def test_what_has_no_end_has_no_obstacle(kind: str) -> None:
    assert credential_obstacle(account(kind), NOW) is None
