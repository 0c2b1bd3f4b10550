"""Secrets leave no text of ours, in whatever spelling."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.redact import MASK, redact, redact_body, register_secrets

CANARY = "canary/secret+value=1"


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    register_secrets([CANARY])
    yield
    register_secrets([])


@pytest.mark.parametrize(
    "spelling",
    [
        CANARY,
        quote(CANARY, safe=""),
        base64.b64encode(CANARY.encode()).decode(),
        base64.urlsafe_b64encode(CANARY.encode()).decode(),
    ],
)
def test_known_secrets_go_in_every_spelling(spelling: str) -> None:
    text = redact(f'{{"error": "bad key {spelling}!"}}')
    assert spelling.rstrip("=") not in text
    assert MASK in text


@pytest.mark.parametrize(
    "key",
    [
        "sk-ant-api03-AAAAAAAAAAAAAAAAAAAAAAAA",
        "sk-proj-abcdefghijklmnopqrstuvwx",
        "gsk_abcdefghijklmnopqrstuvwx",
        "AIzaSyA-abcdefghijklmnopqrstuvwxyz012345",
        "pb-abcdefghijklmnopqrstuvwxyz",
        "ghp_abcdefghijklmnopqrstuvwx",
        "eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJSMeKKF2QT4",
    ],
)
def test_text_shaped_like_a_key_goes_too(key: str) -> None:
    assert key not in redact(f"header was {key}, sorry")


def test_bearer_tokens_and_key_parameters_go() -> None:
    assert "abcdef123456" not in redact("Authorization: Bearer abcdef123456 and /models?key=abcdef123456")


def test_a_body_without_our_secret_is_the_same_object() -> None:
    body = b'{"error": {"message": "sk-other-key-of-somebody-else-00"}}'
    assert redact_body(body) is body


def test_a_body_with_our_secret_loses_it() -> None:
    assert redact_body(f"you sent {CANARY}".encode()) == f"you sent {MASK}".encode()


@given(
    st.text(alphabet=st.characters(codec="ascii"), max_size=80).filter(
        lambda text: "key" not in text and "earer" not in text
    )
)
def test_harmless_text_without_key_shapes_stays(text: str) -> None:
    if not any(mark in text for mark in ("sk-", "pb-", "AIza", "gsk_", "ya29", "gh", "eyJ", CANARY)):
        assert redact(text) == text
