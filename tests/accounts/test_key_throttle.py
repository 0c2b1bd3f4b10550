"""Who guesses client keys is slowed down; nobody else is."""

from __future__ import annotations

import pytest

from accounts.key_throttle import (
    LOCK_SECONDS,
    MOST_PEERS,
    MOST_WRONG,
    WITHIN_SECONDS,
    KeyThrottle,
    site_of,
)


class Clock:
    at = 100.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


def guess(throttle: KeyThrottle, peer: str = "192.0.2.1", times: int = MOST_WRONG) -> list[int]:
    return [throttle.failed(peer) for _ in range(times)]


def test_fifty_wrong_keys_pass_and_the_next_are_refused_for_a_minute(clock: Clock) -> None:
    throttle = KeyThrottle(clock)
    assert guess(throttle) == [0] * MOST_WRONG
    assert throttle.failed("192.0.2.1") == LOCK_SECONDS
    clock.at += 20
    assert throttle.failed("192.0.2.1") == LOCK_SECONDS - 20
    clock.at += LOCK_SECONDS
    assert throttle.failed("192.0.2.1") == 0


def test_other_addresses_are_not_concerned(clock: Clock) -> None:
    throttle = KeyThrottle(clock)
    guess(throttle, times=MOST_WRONG + 1)
    assert throttle.failed("192.0.2.2") == 0


def test_a_tool_with_an_old_key_that_tries_now_and_then_is_no_guesser(clock: Clock) -> None:
    throttle = KeyThrottle(clock)
    for _ in range(5 * MOST_WRONG):
        assert throttle.failed("192.0.2.1") == 0
        clock.at += WITHIN_SECONDS / MOST_WRONG + 0.01


def test_memory_is_bounded_and_the_longest_silent_go_first(clock: Clock) -> None:
    throttle = KeyThrottle(clock)
    guess(throttle, "192.0.2.1")
    for number in range(MOST_PEERS - 1):
        throttle.failed(f"10.0.{number // 250}.{number % 250}")
        if number % 10 == 0:
            clock.at += 0.001
    assert throttle.failed("192.0.2.1") == LOCK_SECONDS, "still known"
    for number in range(MOST_PEERS):
        throttle.failed(f"10.1.{number // 250}.{number % 250}")
    assert throttle.failed("192.0.2.1") == 0, "forgotten"


@pytest.mark.parametrize(
    ("address", "site"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        ("unix socket", "unknown"),
    ],
)
def test_whoever_has_one_address_of_a_site_has_all_of_it(address: str, site: str) -> None:
    assert site_of(address) == site
