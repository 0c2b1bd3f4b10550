from __future__ import annotations

import sqlite3

import pytest
from django.test import override_settings

from backends.checks import FIXED_SQLITE, base_urls_are_allowed, debug_is_off, sqlite_version
from backends.models import Backend


@pytest.mark.sqlite("the warning about its library")
def test_the_sqlite_warning_follows_the_library() -> None:
    expected = [] if sqlite3.sqlite_version_info >= FIXED_SQLITE else ["patchbay.W001"]
    assert [message.id for message in sqlite_version()] == expected


def test_debug_is_an_error() -> None:
    assert debug_is_off() == []
    with override_settings(DEBUG=True):
        assert [message.id for message in debug_is_off()] == ["patchbay.E001"]


@pytest.mark.django_db
def test_a_refused_address_in_a_restored_database_is_named() -> None:
    Backend.objects.create(name="good", base_url="https://api.example.com/v1")
    Backend.objects.create(name="bad", base_url="http://169.254.169.254/v1")
    [found] = base_urls_are_allowed(databases=["default"])
    assert found.id == "patchbay.W002"
    assert "bad" in found.msg
    assert base_urls_are_allowed(databases=None) == []
