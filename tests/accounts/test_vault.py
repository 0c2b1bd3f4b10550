"""Stored secrets open for their owner and host only, and fail loudly otherwise."""

from __future__ import annotations

import json
import logging
import pickle

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from accounts.vault import Secret, VaultError, seal, unseal

HOST = "https://api.example.com"


@given(st.text(min_size=1, max_size=200))
def test_what_was_sealed_opens_for_the_same_owner_and_host(text: str) -> None:
    assert unseal(seal(text, owner="a", host=HOST), owner="a", host=HOST).reveal() == text


def test_a_moved_row_does_not_open() -> None:
    sealed = seal("sk-1234567890", owner="a", host=HOST)
    with pytest.raises(VaultError, match="another account"):
        unseal(sealed, owner="b", host=HOST)
    with pytest.raises(VaultError, match=r"stored for https://api\.example\.com"):
        unseal(sealed, owner="a", host="https://evil.example")


def test_a_wrong_master_secret_is_an_error_that_says_what_to_do(settings: Settings) -> None:
    sealed = seal("sk-1234567890", owner="a", host=HOST)
    settings.PATCHBAY_DATA_KEYS = [Fernet.generate_key()]
    with pytest.raises(VaultError, match="backup"):
        unseal(sealed, owner="a", host=HOST)


def test_an_older_master_secret_still_opens_what_it_sealed(settings: Settings) -> None:
    sealed = seal("sk-1234567890", owner="a", host=HOST)
    settings.PATCHBAY_DATA_KEYS = [Fernet.generate_key(), *settings.PATCHBAY_DATA_KEYS]
    assert unseal(sealed, owner="a", host=HOST).reveal() == "sk-1234567890"


def test_a_secret_never_prints_itself() -> None:
    secret = Secret("sk-very-secret-value-f3a9")
    shown = f"{secret} {secret!r} {[secret]} {secret.hint}" + str(
        logging.makeLogRecord({"msg": "%s", "args": (secret,)})
    )
    assert "very-secret" not in shown
    assert secret.hint == "…f3a9"
    with pytest.raises(TypeError):
        json.dumps(secret)
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_a_short_secret_gives_no_hint() -> None:
    assert Secret("abcd").hint == "…"
