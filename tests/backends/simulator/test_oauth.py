"""The OAuth provider inside the simulator."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from backends.simulator import ScriptError, Simulator, TokenNote
from tests.backends.simulator.raw import ask, exchange, post
from tests.servers import SimulatorThread

CLIENT = "tests"
REDIRECT = "http://127.0.0.1:9/callback"
VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


@dataclass(frozen=True)
class Said:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def answer(self) -> dict[str, str]:
        """The parameters of the redirect."""
        query = parse_qs(urlsplit(self.headers["location"]).query)
        return {name: values[0] for name, values in query.items()}


def call(url: str, method: str, path: str, body: str | None = None, **headers: str) -> Said:
    where = urlsplit(url)
    assert where.hostname is not None
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=10)
    try:
        connection.request(
            method, path, body, {name.replace("_", "-"): value for name, value in headers.items()}
        )
        response = connection.getresponse()
        return Said(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def token(upstream: SimulatorThread, **form: str) -> Said:
    fields = {"client_id": CLIENT, **form}
    kind = "application/x-www-form-urlencoded"
    return call(upstream.url, "POST", "/oauth/token", urlencode(fields), content_type=kind)


def refresh(upstream: SimulatorThread, tokens: dict[str, Any]) -> Said:
    return token(upstream, grant_type="refresh_token", refresh_token=tokens["refresh_token"])


def authorize(upstream: SimulatorThread, **changed: str) -> Said:
    asked = {
        "response_type": "code",
        "client_id": CLIENT,
        "redirect_uri": REDIRECT,
        "state": "s1",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        **changed,
    }
    return call(upstream.url, "GET", f"/oauth/authorize?{urlencode(asked)}")


def exchange_code(upstream: SimulatorThread, code: str, **changed: str) -> Said:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT}
    return token(upstream, **{**form, "code_verifier": VERIFIER, **changed})


def api_status(upstream: SimulatorThread, tokens: dict[str, Any], kind: str = "chat") -> int:
    return ask(upstream.url, kind, key=tokens["access_token"], stream=False).status


# --- discovery and codes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "issuer"),
    [
        ("/.well-known/oauth-authorization-server", ""),
        ("/.well-known/oauth-authorization-server/tenant/one", "/tenant/one"),
        ("/.well-known/openid-configuration", ""),
        ("/tenant/.well-known/openid-configuration", "/tenant"),
    ],
)
def test_metadata_names_the_issuer_that_was_asked(upstream: SimulatorThread, path: str, issuer: str) -> None:
    document = call(upstream.url, "GET", path).json
    assert document["issuer"] == upstream.url + issuer
    assert document["token_endpoint"] == upstream.url + "/oauth/token"
    assert document["code_challenge_methods_supported"] == ["S256"]


def test_a_code_is_exchanged_once_and_its_second_use_ends_the_login(upstream: SimulatorThread) -> None:
    redirect = authorize(upstream, login_hint="ann", scope="inference")
    assert (redirect.status, redirect.answer["state"]) == (302, "s1")
    first = exchange_code(upstream, redirect.answer["code"])
    assert (first.status, first.headers["cache-control"]) == (200, "no-store")
    assert {"token_type": "Bearer", "expires_in": 3600, "scope": "inference"}.items() <= first.json.items()
    assert api_status(upstream, first.json) == 200
    assert exchange_code(upstream, redirect.answer["code"]).json["error"] == "invalid_grant"
    assert api_status(upstream, first.json) == 401
    assert refresh(upstream, first.json).status == 400
    assert upstream.token_requests == [
        TokenNote("authorization_code", "ann", 0, "rotated"),
        TokenNote("authorization_code", "ann", 1, "code_reused"),
        TokenNote("refresh_token", "ann", 1, "revoked"),
    ]


@pytest.mark.parametrize(
    ("changed", "outcome"),
    [
        ({"code_verifier": "w" * 64}, "pkce_failed"),
        ({"redirect_uri": "http://127.0.0.1:10/callback"}, "invalid_grant"),
        ({"client_id": "another"}, "invalid_grant"),
        ({"code": "sim-code-none"}, "invalid_grant"),
        ({"client_id": ""}, "invalid_client"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
def test_a_code_fits_its_client_its_redirect_and_its_verifier(
    upstream: SimulatorThread, changed: dict[str, str], outcome: str
) -> None:
    code = authorize(upstream).answer["code"]
    said = exchange_code(upstream, **{"code": code, **changed})
    assert said.status in (400, 401)
    assert "access_token" not in said.json
    assert upstream.token_requests[0].outcome == outcome


@pytest.mark.parametrize(
    "changed",
    [
        {"code_challenge_method": "plain"},
        {"code_challenge": "short"},
        {"redirect_uri": "javascript:alert(1)"},
        {"response_type": "token"},
        {"client_id": ""},
    ],
)
def test_an_unsafe_authorization_is_not_redirected(
    upstream: SimulatorThread, changed: dict[str, str]
) -> None:
    said = authorize(upstream, **changed)
    assert (said.status, said.json["error"]) == (400, "invalid_request")
    assert "location" not in said.headers


def test_the_user_can_say_no(upstream: SimulatorThread) -> None:
    upstream.script(["deny,msg=Not%20today"], path="/oauth/authorize")
    said = authorize(upstream, redirect_uri=REDIRECT + "?a=b")
    assert said.answer == {
        "a": "b",
        "error": "access_denied",
        "error_description": "Not today",
        "state": "s1",
    }


# --- tokens at the API ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["chat", "messages"])
def test_the_api_takes_the_newest_token_of_a_login_and_no_other(upstream: SimulatorThread, kind: str) -> None:
    first = upstream.login("ann")
    assert api_status(upstream, first, kind) == 200
    second = refresh(upstream, first).json
    assert api_status(upstream, second, kind) == 200
    refused = ask(upstream.url, kind, key=first["access_token"])
    assert refused.status == 401
    assert refused.json["error"]["type"] in ("authentication_error", "invalid_request_error")
    assert ask(upstream.url, kind, key="sim-oat-made-up").status == 401
    assert ask(upstream.url, kind, key="sk-any-other").status == 200


def test_tokens_are_good_beside_the_accepted_keys() -> None:
    with SimulatorThread(keys=["sk-only"]) as upstream:
        tokens = upstream.login("ann")
        assert [ask(upstream.url, key=key).status for key in (tokens["access_token"], "sk-only", "sk-x")] == [
            200,
            200,
            401,
        ]


def test_an_expired_token_is_refused_until_the_login_refreshes(upstream: SimulatorThread) -> None:
    tokens = upstream.login("ann")
    upstream.expire("ann")
    assert api_status(upstream, tokens) == 401
    assert api_status(upstream, refresh(upstream, tokens).json) == 200
    short = upstream.login("bob", expires=0.0)
    assert short["expires_in"] == 0
    assert api_status(upstream, short) == 401


def test_a_revoked_login_is_over(upstream: SimulatorThread) -> None:
    tokens = upstream.login("cay")
    upstream.revoke("cay")
    assert api_status(upstream, tokens) == 401
    assert refresh(upstream, tokens).json["error"] == "invalid_grant"
    with pytest.raises(AssertionError, match="nobody"):
        upstream.revoke("nobody-at-all")


def test_a_login_carries_a_script_for_its_api_requests(upstream: SimulatorThread) -> None:
    tokens = upstream.login("limited", script="status=429,ra=3")
    assert api_status(upstream, tokens) == 429
    assert api_status(upstream, refresh(upstream, tokens).json) == 429
    code = authorize(upstream, scope="inference sim:status=418").answer["code"]
    assert api_status(upstream, exchange_code(upstream, code).json) == 418
    with pytest.raises(ScriptError, match="unknown-word"):
        upstream.login("bad", script="unknown-word")


def test_a_script_can_wait_for_a_login(upstream: SimulatorThread) -> None:
    ann, bob = upstream.login("ann"), upstream.login("bob")
    upstream.script(["status=503"], key="bob")
    assert [api_status(upstream, tokens) for tokens in (ann, bob, bob)] == [200, 503, 200]
    assert [entry.login for entry in upstream.journal.entries] == ["ann", "bob", "bob"]
    upstream.script(["status=500"], key="bob", path="/oauth/token")
    assert [refresh(upstream, tokens).status for tokens in (ann, bob)] == [200, 500]


# --- refreshes ----------------------------------------------------------------------------------------------


def test_a_refresh_token_works_once_and_its_second_use_ends_the_login(upstream: SimulatorThread) -> None:
    first = upstream.login("ann")
    second = refresh(upstream, first)
    assert second.json["refresh_token"] != first["refresh_token"]
    again = refresh(upstream, first)
    assert again.status == 400
    assert (again.json["error"], again.json["code"]) == ("invalid_grant", "refresh_token_reused")
    assert api_status(upstream, second.json) == 401
    assert refresh(upstream, second.json).status == 400
    assert [(note.generation, note.outcome) for note in upstream.refreshes] == [
        (1, "rotated"),
        (1, "refresh_token_reused"),
        (2, "revoked"),
    ]


def test_without_rotation_the_refresh_token_stays(upstream: SimulatorThread) -> None:
    upstream.script(["no-rotate,expires=none", "no-rotate,keep-old", "rotate"], path="/oauth/token")
    tokens = upstream.login("ann")
    first = refresh(upstream, tokens).json
    assert "refresh_token" not in first
    assert "expires_in" not in first
    second = refresh(upstream, tokens).json
    assert [api_status(upstream, one) for one in (tokens, first, second)] == [401, 200, 200]
    assert "refresh_token" in refresh(upstream, tokens).json
    assert [note.outcome for note in upstream.refreshes] == ["kept", "kept", "rotated"]


@pytest.mark.parametrize(
    ("script", "status", "error"),
    [
        ("status=500", 500, "server_error"),
        ("status=429,ra=7", 429, "temporarily_unavailable"),
        ("status=400,code=invalid_client", 400, "invalid_client"),
        ("html502", 502, None),
        ("wrong-type", 200, None),
        ("empty200", 200, None),
        ("redirect=307:/elsewhere", 307, None),
        ("echo-secret", 400, "invalid_request"),
    ],
)
def test_a_scripted_failure_spends_nothing(
    upstream: SimulatorThread, script: str, status: int, error: str | None
) -> None:
    tokens = upstream.login("ann")
    upstream.script([script], path="/oauth/token")
    said = refresh(upstream, tokens)
    assert said.status == status
    if error:
        assert said.json["error"] == error
    if "ra=7" in script:
        assert said.headers["retry-after"] == "7"
    assert (tokens["refresh_token"].encode() in said.body) == (script == "echo-secret")
    assert refresh(upstream, tokens).status == 200
    assert [note.outcome for note in upstream.refreshes] == ["failed", "rotated"]


def test_reused_can_be_asked_for(upstream: SimulatorThread) -> None:
    upstream.script(["reused"], path="/oauth/token")
    tokens = upstream.login("ann")
    assert refresh(upstream, tokens).json["code"] == "refresh_token_reused"
    assert refresh(upstream, tokens).status == 400


@pytest.mark.parametrize(
    ("script", "ended", "outcome"),
    [
        ("commit-then-drop", "eof", "rotated"),
        ("commit-then-drop,rst", "reset", "rotated"),
        ("commit-then-hang", "open", "rotated"),
        ("eof-after-request", "eof", "unanswered"),
        ("hang", "open", "unanswered"),
    ],
)
def test_a_dropped_refresh_is_committed_or_not_as_the_script_says(
    upstream: SimulatorThread, script: str, ended: str, outcome: str
) -> None:
    tokens = upstream.login("ann")
    form = {
        "grant_type": "refresh_token",
        "client_id": CLIENT,
        "refresh_token": tokens["refresh_token"],
    }
    kind = b"content-type: application/x-www-form-urlencoded"
    sent = post("/oauth/token", urlencode(form).encode()).replace(b"content-type: application/json", kind)
    upstream.script([script], path="/oauth/token")
    received = exchange(upstream.url, sent, quiet=0.2 if ended == "open" else 10)
    assert (received.raw, received.ended) == (b"", ended)
    upstream.wait_for(lambda entry: entry.token and entry.closed_at)
    assert upstream.refreshes[0].outcome == outcome
    assert refresh(upstream, tokens).status == (400 if outcome == "rotated" else 200)


def test_only_forms_are_taken(upstream: SimulatorThread) -> None:
    tokens = upstream.login("ann")
    body = json.dumps({"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]})
    assert call(upstream.url, "POST", "/oauth/token", body, content_type="application/json").status == 400
    assert call(upstream.url, "GET", "/oauth/token").status == 405
    assert call(upstream.url, "POST", "/oauth/authorize", "").status == 405


def test_scripts_for_the_api_do_not_befall_a_refresh(upstream: SimulatorThread) -> None:
    upstream.script(["status=500"])
    tokens = upstream.login("ann")
    new = refresh(upstream, tokens)
    assert new.status == 200
    assert api_status(upstream, new.json) == 500


# --- the journal and the control endpoint ------------------------------------------------------------------


def test_the_journal_holds_no_token_of_a_token_request(upstream: SimulatorThread) -> None:
    tokens = upstream.login("ann")
    code = authorize(upstream).answer["code"]
    said = refresh(upstream, tokens)
    exchange_code(upstream, code)
    shown = b"\n".join(entry.as_json() for entry in upstream.journal.entries).decode()
    secrets = [tokens["refresh_token"], tokens["access_token"], code, VERIFIER, said.json["refresh_token"]]
    assert [secret for secret in secrets if secret in shown] == []
    assert '"outcome":"rotated"' in shown
    assert "refresh_token=***" in shown


def test_logins_are_steered_over_the_control_port(upstream: SimulatorThread) -> None:
    def order(**fields: Any) -> Said:
        return call(upstream.url, "POST", "/_sim/oauth", json.dumps(fields))

    tokens = order(do="grant", login="dan", script="events=2", expires=60).json
    assert tokens["expires_in"] == 60
    assert api_status(upstream, tokens) == 200
    assert order(do="expire", login="dan").status == 200
    assert api_status(upstream, tokens) == 401
    assert order(do="revoke", login="dan").status == 200
    assert refresh(upstream, tokens).status == 400
    assert order(do="expire", login="who").status == 404
    assert order(do="dance", login="dan").status == 400
    assert order(do="grant", login="dan", script="nonsense").status == 400


def test_the_demo_is_no_provider() -> None:
    with SimulatorThread(demo=True) as upstream:
        assert call(upstream.url, "GET", "/.well-known/oauth-authorization-server").status == 404
        assert call(upstream.url, "POST", "/oauth/token", "").status == 404


def test_a_reset_keeps_the_logins() -> None:
    simulator = Simulator()
    tokens = simulator.logins.grant("ann")
    simulator.reset()
    assert simulator.logins.is_good(tokens["access_token"])
