"""Token answers and imported token JSON, without a network."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.oauth import read_token_json
from accounts.oauth_answers import (
    Grant,
    OAuthError,
    TokenAnswer,
    provider_refusal,
    read_answer,
)
from accounts.oauth_answers import read_token_json as read_token_json_at
from backends.services import ServiceError

NOW = 1_790_000_000.0
SECRET = "ort-Canary0123456789abcdefghij"


def answered(document: object, status: int = 200, sent: tuple[str, ...] = (SECRET,)) -> Grant:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return read_answer(TokenAnswer(status, body, sent), backend="sim", now=NOW)


def refusal(document: object, status: int) -> OAuthError:
    with pytest.raises(OAuthError) as caught:
        answered(document, status)
    return caught.value


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({}, None),
        ({"expires_in": 60}, 60.0),
        ({"expires_in": "60"}, 60.0),
        ({"expires_in": 60.5}, 60.5),
        ({"expires_in": 0}, None),
        ({"expires_in": -5}, None),
        ({"expires_in": None}, None),
        ({"expires_in": True}, None),
        ({"expires_in": "soon"}, None),
        ({"expires_in": 10**30}, 10 * 365 * 86400.0),
        ({"expires_at": NOW + 90}, 90.0),
        ({"expires_at": (NOW + 90) * 1000}, 90.0),
        ({"expires_at": str(int(NOW + 90))}, 90.0),
        ({"expires_at": NOW - 90}, -90.0),
        ({"expires_at": 0}, -10 * 365 * 86400.0),
        ({"expires_in": 60, "expires_at": NOW + 90}, 60.0),
    ],
)
def test_a_life_is_told_in_seconds_from_now(fields: dict[str, Any], seconds: float | None) -> None:
    assert answered({"access_token": "a", **fields}).expires_in == seconds


@pytest.mark.parametrize(
    "document",
    [
        {"access_token": 7},
        {"access_token": "two words"},
        {"access_token": "line\nbreak"},
        {"access_token": "é"},
        {"access_token": "a" * 20_000},
        {"access_token": "a", "refresh_token": 7},
        {"access_token": "a", "expires_at": "tomorrow"},
        {"access_token": ""},
        {},
        [],
        b"<html>",
        b'{"access_token": "abc"',
        b"[" * 5000,
    ],
)
def test_a_success_that_cannot_be_used_may_have_spent_the_token(document: object) -> None:
    error = refusal(document, 200)
    assert (error.code, error.is_terminal, error.is_ambiguous) == ("bad_answer", False, True)


def test_an_absent_refresh_token_is_none() -> None:
    assert answered({"access_token": "a", "refresh_token": ""}).refresh is None
    assert answered({"access_token": "a", "refresh_token": None}).refresh is None


@pytest.mark.parametrize(
    ("document", "status", "code", "terminal"),
    [
        ({"error": "bad_refresh_token"}, 200, "bad_refresh_token", True),
        ({"error": {"code": "refresh_token_expired", "message": "x"}}, 401, "refresh_token_expired", True),
        ({"error": {"type": "authentication_error", "message": "x"}}, 401, "authentication_error", True),
        ({"error": "invalid_grant", "error_code": "refresh_token_reused"}, 400, "refresh_token_reused", True),
        ({"error": {"type": "rate_limit_error"}}, 403, "rate_limit_error", False),
        ({"error": "invalid_scope"}, 400, "invalid_scope", False),
        ({"error": "no code at all"}, 400, "http_400", False),
        ({"message": "who knows"}, 404, "http_404", False),
        (b"", 401, "http_401", False),
        ({"error": "invalid_grant"}, 429, "invalid_grant", False),
    ],
)
def test_errors_are_read_in_every_known_shape(
    document: object, status: int, code: str, terminal: bool
) -> None:
    error = refusal(document, status)
    assert (error.code, error.is_terminal, error.is_ambiguous) == (code, terminal, False)


def test_advice_follows_from_the_error() -> None:
    assert str(refusal({"error": "invalid_client"}, 401)).endswith(
        "Check the client id of this backend's OAuth provider, then log in again."
    )
    assert str(refusal({"error": "invalid_grant", "error_description": "Too old."}, 400)) == (
        "The token endpoint of sim answered HTTP 400 (invalid_grant: Too old). Log in again."
    )


def test_what_the_provider_says_is_short_and_clean() -> None:
    said = f"Bad {SECRET}!\r\n\x1b[31m Also {SECRET[:9]}… and sk-other-key-0123456789abcdef " + "x" * 500
    error = refusal({"error": SECRET, "error_description": said}, 400)
    assert SECRET[:9] not in str(error)
    assert "0123456789" not in str(error)
    assert str(error).isprintable()
    assert len(str(error)) < 400
    assert error.code == "http_400"


@given(
    secret=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=12, max_size=60),
    around=st.text(max_size=20),
    where=st.sampled_from(["error", "error_description", "code", "message"]),
    status=st.sampled_from([200, 400, 401, 403, 429, 500]),
)
def test_no_error_holds_what_was_sent(secret: str, around: str, where: str, status: int) -> None:
    body = json.dumps({where: f"{around}{secret}{around}"}).encode()
    with pytest.raises(OAuthError) as caught:
        read_answer(TokenAnswer(status, body, (secret,)), backend="sim", now=NOW)
    assert secret not in f"{caught.value} {caught.value.code}"


@given(
    body=st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.dictionaries(
                st.sampled_from(
                    ["access_token", "refresh_token", "expires_in", "expires_at", "error", "scope", "code"]
                ),
                inner,
            )
            | st.lists(inner, max_size=3)
        ),
        max_leaves=10,
    ).map(lambda value: json.dumps(value).encode()),
    status=st.sampled_from([200, 302, 400, 503]),
)
def test_any_answer_is_a_grant_or_an_oauth_error(body: bytes, status: int) -> None:
    with contextlib.suppress(OAuthError):  # any other exception fails the test
        grant = read_answer(TokenAnswer(status, body), backend="sim", now=NOW)
        assert status == 200
        assert grant.access.reveal()
        assert grant.expires_in is None or abs(grant.expires_in) <= 10 * 365 * 86400


# --- import ---------------------------------------------------------------------------------------------------


def test_tokens_are_imported() -> None:
    text = json.dumps(
        {
            "access_token": "a1",
            "refresh_token": "r1",
            "expires_at": 4_000_000_000_000,
            "scope": "x y",
            "more": 1,
        }
    )
    grant = read_token_json(text)
    assert (grant.access.reveal(), grant.scope) == ("a1", "x y")
    assert grant.refresh is not None
    assert grant.refresh.reveal() == "r1"
    assert grant.expires_in is not None
    assert grant.expires_in > 86400


def test_in_an_import_the_point_in_time_wins() -> None:
    given = {"access_token": "a", "expires_in": 3600, "expires_at": NOW - 10}
    assert read_token_json_at(json.dumps(given), now=NOW).expires_in == -10.0
    given["expires_at"] = None
    assert read_token_json_at(json.dumps(given), now=NOW).expires_in == 3600.0
    assert read_token_json_at('{"access_token": "a"}', now=NOW).expires_in is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no JSON object"),
        (SECRET, "no JSON object"),
        (f'["{SECRET}"]', "no JSON object"),
        (f'{{"access_token": "{SECRET}"', "no JSON object"),
        ("\udcff", "no JSON object"),
        ('{"x": "' + "y" * 200_000 + '"}', "no JSON object"),
        (f'{{"accessToken": "{SECRET}"}}', "There is no access_token"),
        (f'{{"access_token": "{SECRET} x"}}', "access_token is not a text"),
        (f'{{"access_token": "a", "refresh_token": ["{SECRET}"]}}', "refresh_token is not a text"),
        ('{"access_token": "a", "expires_in": "soon"}', "expires_in"),
        ('{"access_token": "a", "expires_at": "2026-01-01"}', "expires_at"),
        ('{"access_token": "a", "scope": ["x"]}', "scope"),
    ],
)
def test_what_cannot_be_imported_is_told_without_repeating_it(text: str, message: str) -> None:
    with pytest.raises(ServiceError, match=message) as caught:
        read_token_json(text)
    assert SECRET[:12] not in str(caught.value)


@given(st.text(max_size=100))
def test_any_text_is_read_or_refused(text: str) -> None:
    with pytest.raises(ServiceError):
        read_token_json(text)


def test_a_refusal_through_the_browser_is_shown_clean() -> None:
    error = provider_refusal("access_denied", "No.\n<script>", backend="sim")
    assert (error.code, error.is_terminal) == ("access_denied", True)
    assert "(access_denied: No. <script>)" in str(error)
    assert provider_refusal("<b>", "", backend="sim").code == "bad_answer"


def test_an_answer_is_not_printed() -> None:
    assert SECRET not in repr(TokenAnswer(200, SECRET.encode(), (SECRET,)))
