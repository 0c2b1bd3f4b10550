from __future__ import annotations

import pytest
from django.test import override_settings

from accounts.key_services import key_add
from proxyapp.checks import is_loopback, open_bind_without_key


@pytest.mark.django_db
@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.com"])
def test_an_open_bind_needs_some_key(host: str) -> None:
    with override_settings(PATCHBAY_HOST=host):
        [found] = open_bind_without_key()
        assert found.id == "patchbay.E020"
        assert "keys add" in (found.hint or "")
        with override_settings(PATCHBAY_API_KEY="x" * 32):
            assert open_bind_without_key() == []
        key_add("laptop")
        assert open_bind_without_key() == []


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("localhost", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("", False),
        ("localhost.example.com", False),
    ],
)
def test_what_counts_as_this_machine(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
