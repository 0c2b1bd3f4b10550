from __future__ import annotations

from pathlib import Path

import pytest
from django.test import override_settings

from accounts.checks import api_key_is_no_sample, home_is_private, stored_secrets_open
from accounts.setup import backend_add_with_account
from backends.services import NewBackend


def ids(found: list[object]) -> list[str]:
    return [str(message.id) for message in found]  # type: ignore[attr-defined]


@pytest.mark.django_db
def test_a_master_secret_that_opens_nothing_is_an_error_that_names_the_accounts() -> None:
    backend_add_with_account(NewBackend("openai"), "sk-canary-0123456789abcdef")
    backend_add_with_account(NewBackend("ollama"), None)
    assert stored_secrets_open() == []
    with override_settings(PATCHBAY_DATA_KEYS=[b"k" * 43 + b"="]):
        [found] = stored_secrets_open()
    assert found.id == "patchbay.E010"
    assert "openai" in found.msg
    assert "ollama" not in found.msg
    assert "canary" not in found.msg + (found.hint or "")


@pytest.mark.django_db
def test_a_key_for_another_host_does_not_stop_the_server() -> None:
    account = backend_add_with_account(NewBackend("openai"), "sk-canary-0123456789abcdef")
    account.backend.base_url = "https://elsewhere.example.com/v1"
    account.backend.save()
    assert stored_secrets_open() == []


@pytest.mark.parametrize(
    ("key", "expected"),
    [(None, []), ("changeme", ["patchbay.E011"]), ("short", ["patchbay.W012"]), ("x" * 32, [])],
)
def test_sample_and_short_api_keys(key: str | None, expected: list[str]) -> None:
    with override_settings(PATCHBAY_API_KEY=key):
        assert ids(list(api_key_is_no_sample())) == expected


def test_files_that_others_can_read_are_named(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o700)
    tmp_path.chmod(0o700)
    for name in ("secret_key", "other"):
        (secrets / name).write_text("x")
        (secrets / name).chmod(0o600)
    with override_settings(PATCHBAY_HOME=tmp_path):
        assert home_is_private() == []
        (secrets / "secret_key").chmod(0o640)
        tmp_path.chmod(0o755)
        found = home_is_private()
    assert ids(list(found)) == ["patchbay.E012", "patchbay.E012"]
    assert "chmod 700" in (found[0].hint or "")
    assert "chmod 600" in (found[1].hint or "")
