"""Who may call: every header form goes through one function."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import pytest
from pytest_django import Settings

from accounts.client_auth import ANYBODY, Caller, authenticate, digest_of, presents_credential
from accounts.key_use import KeyLimits
from accounts.snapshot import ClientKeyConfig, Snapshot
from backends.config import Routing

KEY = "pb-" + "k" * 43


def snapshot(
    key: str | None = KEY, *, expires: datetime | None = None, globs: tuple[str, ...] = ()
) -> Snapshot:
    keys = {digest_of(key): ClientKeyConfig("laptop", globs, expires)} if key else {}
    return Snapshot(1, Routing({}), {}, MappingProxyType(keys), has_client_keys=True)


OPEN = Snapshot(1, Routing({}), {}, {}, has_client_keys=False)


def test_without_any_key_only_this_machine_may_pass() -> None:
    assert authenticate({}, OPEN, is_loopback=True) is ANYBODY
    assert authenticate({}, OPEN, is_loopback=False) is None


@pytest.mark.parametrize(
    "headers",
    [
        {b"x-patchbay-key": KEY.encode()},
        {b"x-api-key": KEY.encode()},
        {b"authorization": b"Bearer " + KEY.encode()},
        {b"authorization": b"bearer " + KEY.encode()},
        {b"x-api-key": b"sk-something-else", b"authorization": b"Bearer " + KEY.encode()},
    ],
)
def test_each_header_form_names_the_caller_with_its_restrictions(headers: dict[bytes, bytes]) -> None:
    found = authenticate(headers, snapshot(globs=("gpt-*",)), is_loopback=True)
    assert found == Caller("laptop", ("gpt-*",))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"x",
        KEY[:-1].encode(),
        KEY.encode() + b"x",
        KEY.encode() + b" ",
        b"' OR 1=1--",
        b"\xff\xfe",
        b"k" * 8192,
        b"\x00",
    ],
)
def test_wrong_keys_are_nobody(value: bytes) -> None:
    headers = {b"x-api-key": value, b"authorization": b"Bearer " + value, b"x-patchbay-key": value}
    assert authenticate(headers, snapshot(), is_loopback=True) is None


@pytest.mark.parametrize("value", [b"Bearer", b"Bearer ", KEY.encode(), b"Basic " + KEY.encode()])
def test_malformed_authorization_is_nobody(value: bytes) -> None:
    assert authenticate({b"authorization": value}, snapshot(), is_loopback=True) is None


def test_an_expired_key_is_nobody() -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    assert authenticate({b"x-api-key": KEY.encode()}, snapshot(expires=past), is_loopback=True) is None


def test_the_fixed_key_of_the_settings_passes_without_a_name(settings: Settings) -> None:
    settings.PATCHBAY_API_KEY = "fixed"
    assert authenticate({b"x-api-key": b"fixed"}, OPEN, is_loopback=False) is ANYBODY
    assert authenticate({}, OPEN, is_loopback=True) is None


def test_a_key_made_with_an_older_master_secret_still_works(settings: Settings) -> None:
    table = snapshot()
    settings.PATCHBAY_KEY_PEPPERS = [b"new" * 11, *settings.PATCHBAY_KEY_PEPPERS]
    assert authenticate({b"x-api-key": KEY.encode()}, table, is_loopback=True) == Caller("laptop")


def test_the_caller_brings_the_limits_of_its_key() -> None:
    limits = KeyLimits(1, "laptop", requests=5)
    keys = {digest_of(KEY): ClientKeyConfig("laptop", (), None, limits)}
    table = Snapshot(1, Routing({}), {}, MappingProxyType(keys), has_client_keys=True)
    assert authenticate({b"x-api-key": KEY.encode()}, table, is_loopback=True) == Caller("laptop", (), limits)


@pytest.mark.parametrize("name", [b"x-patchbay-key", b"x-api-key", b"authorization"])
def test_only_who_sends_something_can_send_something_wrong(name: bytes) -> None:
    assert presents_credential({name: b"x"})
    assert not presents_credential({name: b""})
    assert not presents_credential({b"accept": b"*/*"})
