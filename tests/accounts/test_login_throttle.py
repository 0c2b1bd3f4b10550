from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from accounts.login_throttle import MAX_ENTRIES, MAX_FAILURES, LoginThrottle, throttle

WHO = ("ann", "127.0.0.1")


@pytest.fixture(autouse=True)
def _fresh_throttle(settings: Any) -> Iterator[None]:
    """Passwords are hashed the cheap way: how often they may be tried is what counts here."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    throttle.clear()
    yield
    throttle.clear()


def log_in(name: str, password: str, **meta: str) -> tuple[int, str]:
    answer = Client().post("/admin/login/", {"username": name, "password": password}, **meta)  # type: ignore[arg-type]
    return answer.status_code, answer.content.decode()


@pytest.mark.django_db
def test_five_wrong_passwords_close_the_door_for_the_right_one() -> None:
    User.objects.create_superuser("ann", password="correct-horse-9")
    for _ in range(MAX_FAILURES):
        assert "Too many" not in log_in("ann", "wrong")[1]
    status, page = log_in("ann", "correct-horse-9")
    assert status == 200
    assert "Too many failed logins" in page
    assert "createadmin" in page


@pytest.mark.django_db
def test_the_others_at_the_same_address_can_still_log_in() -> None:
    User.objects.create_superuser("bob", password="correct-horse-9")
    for _ in range(MAX_FAILURES + 1):
        log_in("ann", "wrong")
    assert log_in("bob", "correct-horse-9")[0] == 302


@pytest.mark.django_db
def test_another_spelling_or_a_forwarding_header_does_not_help() -> None:
    for number in range(MAX_FAILURES):
        log_in("Ann" if number % 2 else "ann", "wrong", HTTP_X_FORWARDED_FOR=f"10.0.0.{number}")
    assert "Too many" in log_in("ANN", "wrong", HTTP_X_FORWARDED_FOR="10.0.0.99")[1]


@pytest.mark.django_db
def test_a_good_login_forgets_the_failures() -> None:
    User.objects.create_superuser("ann", password="correct-horse-9")
    for _ in range(3):
        for _ in range(MAX_FAILURES - 1):
            log_in("ann", "wrong")
        assert log_in("ann", "correct-horse-9")[0] == 302


def test_the_wait_is_a_quarter_of_an_hour_at_most() -> None:
    closed = LoginThrottle()
    for _ in range(MAX_FAILURES * 3):
        closed.failed(WHO)
    assert 0 < closed.seconds_left(WHO) <= 15 * 60


def test_names_that_are_made_up_cannot_fill_the_memory() -> None:
    closed = LoginThrottle()
    for number in range(MAX_ENTRIES + 10):
        closed.failed((f"user-{number}", "127.0.0.1"))
    assert len(closed._failures) == MAX_ENTRIES
