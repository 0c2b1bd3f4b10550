"""OAuth over TCP: discovery, code and refresh grants against the simulated provider."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import parse_qs, urlsplit

import pytest

from accounts.oauth import (
    OAuthError,
    PendingLogin,
    code_challenge,
    discover,
    exchange_code,
    new_login,
    refresh_grant,
)
from accounts.providers import ProviderConfig
from accounts.vault import Secret
from backends.simulator import Simulator
from tests.patchbay import free_port
from tests.raw_server import RawConnection, RawRequest, RawServer, Script, repeated, says

REDIRECT = "http://127.0.0.1:9/callback"


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    running = Simulator()
    await running.start()
    yield running
    await running.stop()


def provider_at(url: str, **changed: str) -> ProviderConfig:
    """With both URLs, so that nothing is discovered."""
    urls = {"authorize_url": f"{url}/oauth/authorize", "token_url": f"{url}/oauth/token"}
    return ProviderConfig("sim", **{"client_id": "tests", "scopes": "inference", **urls, **changed})


def secret_of(simulator: Simulator, name: str = "ann") -> Secret:
    return Secret(simulator.logins.grant(name)["refresh_token"])


def approve(simulator: Simulator, pending: PendingLogin) -> str:
    """What the browser would bring back."""
    asked = {name: values[0] for name, values in parse_qs(urlsplit(pending.url).query).items()}
    code, _ = simulator.logins.authorize(
        name="ann",
        scope=asked["scope"],
        client_id=asked["client_id"],
        redirect_uri=asked["redirect_uri"],
        challenge=asked["code_challenge"],
    )
    return code


async def refused(provider: ProviderConfig, refresh: Secret, timeout_s: float = 5.0) -> OAuthError:
    with pytest.raises(OAuthError) as caught:
        await refresh_grant(provider, refresh, timeout_s=timeout_s)
    return caught.value


# --- the start of a login -----------------------------------------------------------------------------------


def test_the_challenge_is_that_of_the_rfc() -> None:
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636, appendix B
    assert code_challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_a_login_asks_for_a_code_with_fresh_secrets() -> None:
    provider = provider_at("https://login.example.com", scopes="user:inference offline_access")
    first, second = new_login(provider, REDIRECT), new_login(provider, REDIRECT)
    assert first.url.startswith("https://login.example.com/oauth/authorize?response_type=code&")
    asked = parse_qs(urlsplit(first.url).query)
    assert asked == {
        "response_type": ["code"],
        "client_id": ["tests"],
        "redirect_uri": [REDIRECT],
        "scope": ["user:inference offline_access"],
        "state": [first.state],
        "code_challenge": [code_challenge(first.verifier)],
        "code_challenge_method": ["S256"],
    }
    assert {first.state, first.verifier}.isdisjoint({second.state, second.verifier})
    assert 43 <= len(first.verifier) <= 128
    assert first.state not in repr(first)
    assert first.verifier not in repr(first)


def test_a_query_of_the_authorize_url_stays() -> None:
    provider = provider_at("https://login.example.com", authorize_url="https://login.example.com/a?x=1")
    assert new_login(provider, REDIRECT).url.startswith("https://login.example.com/a?x=1&response_type=code&")


# --- discovery ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "/tenant/one"])
async def test_the_issuer_gives_both_urls(simulator: Simulator, path: str) -> None:
    provider = ProviderConfig("sim", "tests", issuer=simulator.url + path)
    found = await discover(provider)
    assert found.authorize_url == f"{simulator.url}/oauth/authorize"
    assert found.token_url == f"{simulator.url}/oauth/token"
    assert simulator.journal[0].path == f"/.well-known/oauth-authorization-server{path}"
    assert len(simulator.journal) == 1


@pytest.mark.parametrize("script", ["status=404", "wrong-type", "redirect=302:/elsewhere"])
async def test_openid_discovery_is_the_fallback(simulator: Simulator, script: str) -> None:
    simulator.script([script], path="/.well-known/oauth-authorization-server/tenant")
    provider = ProviderConfig("sim", "tests", issuer=f"{simulator.url}/tenant")
    assert (await discover(provider)).token_url == f"{simulator.url}/oauth/token"
    assert [entry.path for entry in simulator.journal] == [
        "/.well-known/oauth-authorization-server/tenant",
        "/tenant/.well-known/openid-configuration",
    ]


async def test_configured_urls_win_over_discovered_ones(simulator: Simulator) -> None:
    given = ProviderConfig("sim", "tests", issuer=simulator.url, token_url="https://mine.example.com/t")
    found = await discover(given)
    assert found.token_url == "https://mine.example.com/t"
    assert found.authorize_url == f"{simulator.url}/oauth/authorize"
    complete = provider_at("http://127.0.0.1:1")
    assert await discover(complete) is complete


GOOD = {"authorization_endpoint": "https://l.example.com/a?x=1", "token_endpoint": "https://l.example.com/t"}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({**GOOD, "issuer": "https://another.example.com"}, "another issuer"),
        (GOOD, "another issuer, 'None'"),
        ({"issuer": None, "token_endpoint": "https://l.example.com/t"}, "no authorization_endpoint"),
        ({**GOOD, "issuer": None, "token_endpoint": 7}, "no token_endpoint"),
        ({**GOOD, "issuer": None, "token_endpoint": "http://l.example.com/t"}, "token_endpoint is refused"),
        (
            {**GOOD, "issuer": None, "token_endpoint": "https://l.example.com/t?x"},
            "token_endpoint is refused",
        ),
        (
            {**GOOD, "issuer": None, "authorization_endpoint": "javascript:1"},
            "authorization_endpoint is refused",
        ),
        ({**GOOD, "issuer": None, "code_challenge_methods_supported": ["plain"]}, "PKCE with S256"),
        (["no", "object"], "no discovery document"),
        ("x" * 70000, "larger than"),
    ],
)
async def test_a_document_that_cannot_be_trusted_is_refused(document: object, message: str) -> None:
    async def answer(connection: RawConnection, request: RawRequest) -> None:
        told = document
        if isinstance(told, dict) and "issuer" in told and told["issuer"] is None:
            told = {**told, "issuer": f"{server.base}"}
        await connection.answer(json.dumps(told).encode(), b"content-type: application/json")

    async with RawServer(repeated(answer)) as server:
        with pytest.raises(OAuthError, match=message) as caught:
            await discover(ProviderConfig("sim", "tests", issuer=str(server.base)))
    assert (caught.value.code, caught.value.is_terminal, caught.value.is_ambiguous) == (
        "discovery_failed",
        False,
        False,
    )


async def test_a_good_document_may_give_the_browser_a_query() -> None:
    async def answer(connection: RawConnection, request: RawRequest) -> None:
        await connection.answer(json.dumps({**GOOD, "issuer": str(server.base)}).encode())

    async with RawServer(repeated(answer)) as server:
        found = await discover(ProviderConfig("sim", "tests", issuer=str(server.base)))
    assert found.authorize_url == "https://l.example.com/a?x=1"


@pytest.mark.parametrize("issuer", ["http://login.example.com", "not a url", "http://127.0.0.1:{port}"])
async def test_an_issuer_out_of_reach_is_no_lost_token(issuer: str) -> None:
    with pytest.raises(OAuthError, match="The OAuth issuer of sim cannot be used") as caught:
        await refresh_grant(
            ProviderConfig("sim", "tests", issuer=issuer.format(port=free_port())), Secret("r" * 20)
        )
    assert not caught.value.is_ambiguous
    assert not caught.value.is_terminal


# --- grants -------------------------------------------------------------------------------------------------


async def test_a_code_becomes_tokens(simulator: Simulator) -> None:
    provider = provider_at(simulator.url)
    pending = new_login(provider, REDIRECT)
    grant = await exchange_code(provider, pending, approve(simulator, pending))
    assert simulator.logins.is_good(grant.access.reveal())
    assert grant.refresh is not None
    assert (grant.expires_in, grant.scope) == (3600.0, "inference")
    assert grant.access.reveal() not in repr(grant)
    entry = simulator.journal[-1]
    assert entry.header("content-type") == "application/x-www-form-urlencoded"
    assert entry.header("accept") == "application/json"
    assert entry.header("user-agent") == "patchbay"
    assert entry.header("authorization") is None


async def test_a_code_needs_its_verifier(simulator: Simulator) -> None:
    provider = provider_at(simulator.url)
    pending, other = new_login(provider, REDIRECT), new_login(provider, REDIRECT)
    with pytest.raises(OAuthError, match="invalid_grant") as caught:
        await exchange_code(provider, other, approve(simulator, pending))
    assert caught.value.is_terminal
    assert simulator.journal[-1].token is not None
    assert simulator.journal[-1].token.outcome == "pkce_failed"


async def test_a_scope_that_is_not_told_is_the_one_that_was_asked() -> None:
    async with RawServer(repeated(_answering(b'{"access_token": "abc"}'))) as server:
        provider = provider_at(str(server.base))
        grant = await exchange_code(provider, new_login(provider, REDIRECT), "code")
        assert grant.scope == "inference"
        assert (await refresh_grant(provider, Secret("r"))).scope == ""


def _answering(body: bytes) -> Callable[[RawConnection, RawRequest], Awaitable[None]]:
    async def answer(connection: RawConnection, request: RawRequest) -> None:
        await connection.answer(body)

    return answer


async def test_a_refresh_brings_a_new_pair(simulator: Simulator) -> None:
    refresh = secret_of(simulator)
    grant = await refresh_grant(provider_at(simulator.url), refresh)
    assert simulator.logins.is_good(grant.access.reveal())
    assert grant.refresh is not None
    assert grant.refresh != refresh
    assert simulator.logins.refreshes == {"ann": 1}


async def test_a_refresh_may_keep_the_refresh_token(simulator: Simulator) -> None:
    simulator.script(["no-rotate,expires=none"], path="/oauth/token")
    grant = await refresh_grant(provider_at(simulator.url), secret_of(simulator))
    assert grant.refresh is None
    assert grant.expires_in is None


async def test_a_refresh_finds_the_token_url_of_the_issuer(simulator: Simulator) -> None:
    provider = ProviderConfig("sim", "tests", issuer=simulator.url)
    assert (await refresh_grant(provider, secret_of(simulator))).refresh is not None


@pytest.mark.parametrize(
    ("token_url", "line"),
    [
        ("{base}/o/token/", b"POST /o/token/ HTTP/1.1"),
        ("{base}/o/token", b"POST /o/token HTTP/1.1"),
        ("{base}", b"POST / HTTP/1.1"),
        ("{base}/", b"POST / HTTP/1.1"),
    ],
)
async def test_the_token_url_is_asked_as_it_is_written(token_url: str, line: bytes) -> None:
    async with RawServer(repeated(_answering(b'{"access_token": "abc"}'))) as server:
        provider = provider_at("https://x.example.com", token_url=token_url.format(base=server.base))
        await refresh_grant(provider, Secret("r"))
        assert server.requests[0].line == line


async def test_every_token_request_has_a_connection_of_its_own(simulator: Simulator) -> None:
    """A kept connection that turned out closed would be sent the single-use token twice."""
    provider = ProviderConfig("sim", "tests", issuer=simulator.url)
    grant = await refresh_grant(await discover(provider), secret_of(simulator))
    assert grant.refresh is not None
    simulator.script(["commit-then-drop"], path="/oauth/token")
    assert (await refused(await discover(provider), grant.refresh)).is_ambiguous
    seen = [(entry.method, entry.reused) for entry in simulator.journal]
    assert seen == [("GET", False), ("POST", False), ("GET", True), ("POST", False)]
    assert [entry.token.outcome for entry in simulator.journal if entry.token] == ["rotated", "rotated"]


# --- what a failed refresh says -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "code", "terminal", "ambiguous"),
    [
        ("reused", "refresh_token_reused", True, False),
        ("status=400,code=invalid_grant", "invalid_grant", True, False),
        ("status=401,code=invalid_client", "invalid_client", True, False),
        ("status=403,code=unauthorized_client", "unauthorized_client", True, False),
        ("status=401,code=access_denied", "access_denied", True, False),
        ("status=400,code=invalid_request", "invalid_request", False, False),
        ("status=403,code=temporarily_unavailable", "temporarily_unavailable", False, False),
        ("status=429", "temporarily_unavailable", False, False),
        ("status=500", "server_error", False, False),
        ("status=503,code=invalid_grant", "invalid_grant", False, False),
        ("html502", "http_502", False, False),
        ("status=403,html502", "http_403", False, False),
        ("redirect=307:/oauth/token", "redirected", False, False),
        ("wrong-type", "bad_answer", False, True),
        ("empty200", "bad_answer", False, True),
        ("cut", "network", False, True),
        ("commit-then-drop", "network", False, True),
        ("commit-then-drop,rst", "network", False, True),
        ("eof-after-request", "network", False, True),
        ("status=500,cut", "http_500", False, False),
    ],
)
async def test_failures_are_told_apart(
    simulator: Simulator, script: str, code: str, terminal: bool, ambiguous: bool
) -> None:
    refresh = secret_of(simulator)
    simulator.script([script], path="/oauth/token")
    error = await refused(provider_at(simulator.url), refresh)
    assert (error.code, error.is_terminal, error.is_ambiguous) == (code, terminal, ambiguous)
    assert refresh.reveal() not in str(error)
    assert len(simulator.journal) == 1
    assert ("sim" in str(error), str(error)[-1]) == (True, ".")


@pytest.mark.parametrize("script", ["hang", "commit-then-hang", "ttfb=30", "stall", "drip=1:1"])
async def test_silence_is_ambiguous(simulator: Simulator, script: str) -> None:
    refresh = secret_of(simulator)
    simulator.script([script], path="/oauth/token")
    began = time.monotonic()
    error = await refused(provider_at(simulator.url), refresh, timeout_s=0.3)
    assert (error.code, error.is_terminal, error.is_ambiguous) == ("timeout", False, True)
    assert time.monotonic() - began < 5
    await simulator.journal.wait_idle()


async def test_a_request_that_was_not_sent_is_no_lost_token() -> None:
    error = await refused(provider_at(f"http://127.0.0.1:{free_port()}"), Secret("r"))
    assert (error.code, error.is_terminal, error.is_ambiguous) == ("network", False, False)
    error = await refused(provider_at("https://x.test", token_url="http://example.com/t"), Secret("r"))
    assert (error.code, error.is_ambiguous) == ("network", False)


async def test_a_retry_time_is_passed_on(simulator: Simulator) -> None:
    refresh = secret_of(simulator)
    simulator.script(["status=429,ra=7", "status=429,ra=junk"], path="/oauth/token")
    assert (await refused(provider_at(simulator.url), refresh)).retry_after_s == 7.0
    assert (await refused(provider_at(simulator.url), refresh)).retry_after_s is None


async def test_a_provider_that_repeats_the_token_is_not_repeated(simulator: Simulator) -> None:
    refresh = secret_of(simulator)
    simulator.script(["echo-secret"], path="/oauth/token")
    error = await refused(provider_at(simulator.url), refresh)
    assert refresh.reveal() not in str(error) + repr(error.__cause__)
    assert "***" in str(error)


@pytest.mark.parametrize("status", [b"200 OK", b"400 Bad Request"])
async def test_an_answer_without_end_is_cut(status: bytes) -> None:
    head = b"HTTP/1.1 " + status + b"\r\ncontent-length: 9000000\r\n\r\n"
    flood: Script = says(head, *[b" " * 60_000] * 4)
    async with RawServer(flood) as server:
        error = await refused(provider_at(str(server.base)), Secret("r"))
    assert error.is_ambiguous == status.startswith(b"200")
    assert not error.is_terminal
