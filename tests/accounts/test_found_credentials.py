"""What a machine holds, as found in an environment and a home directory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.test import override_settings

from accounts.found_credentials import found_credentials
from accounts.login_services import TokenFile
from backends.models import Backend

KEY = "sk-0123456789abcdefghij"


def backend(preset: str = "anthropic", base_url: str = "https://api.anthropic.com") -> Backend:
    return Backend(name=preset, preset=preset, base_url=base_url)


def keys(tmp_path: Path, environ: dict[str, str], of: Backend | None = None) -> list[object]:
    return [found.credential for found in found_credentials(of or backend(), environ, tmp_path)]


def test_a_key_goes_to_its_own_provider(tmp_path: Path) -> None:
    environ = {"ANTHROPIC_API_KEY": KEY, "OPENAI_API_KEY": f"{KEY}-other"}
    assert keys(tmp_path, environ) == [KEY]
    assert keys(tmp_path, environ, backend("openai", "https://api.openai.com/v1")) == [f"{KEY}-other"]
    assert keys(tmp_path, environ, backend("groq", "https://api.groq.com/openai/v1")) == []
    assert keys(tmp_path, environ, backend("", "https://api.anthropic.com")) == []


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"ANTHROPIC_API_KEY": ""},
        {"ANTHROPIC_API_KEY": "your-api-key"},
        {"ANTHROPIC_API_KEY": "two words and some more of them"},
        {"ANTHROPIC_API_KEY": "patchbay"},
        {"ANTHROPIC_API_KEY": "pb-0123456789abcdefghijklmnop"},
        {"ANTHROPIC_API_KEY": "the-one-key-of-this-patchbay"},
        {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": "http://127.0.0.1:3456"},
        {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": "not an address"},
    ],
)
@override_settings(PATCHBAY_API_KEY="the-one-key-of-this-patchbay")
def test_what_is_no_key_of_the_provider_is_not_offered(tmp_path: Path, environ: dict[str, str]) -> None:
    assert keys(tmp_path, environ) == []


def test_a_key_for_the_same_address_is_offered(tmp_path: Path) -> None:
    assert keys(tmp_path, {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": "https://api.anthropic.com/"}) == [
        KEY
    ]


def test_the_hint_shows_no_more_than_the_end_of_a_key(tmp_path: Path) -> None:
    (found,) = found_credentials(backend(), {"ANTHROPIC_API_KEY": KEY}, tmp_path)
    assert found.what == "the key …ghij in ANTHROPIC_API_KEY"


def test_the_login_of_claude_code(tmp_path: Path) -> None:
    path = tmp_path / ".claude" / ".credentials.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"mcpOAuth": {}}))
    assert keys(tmp_path, {}) == []
    path.write_text(json.dumps({"claudeAiOauth": {"accessToken": "sk-ant-oat01-0123456789"}}))
    assert keys(tmp_path, {}) == [TokenFile(str(path))]
    assert keys(tmp_path, {}, backend("openai", "https://api.openai.com/v1")) == []
    elsewhere = path.parent.rename(tmp_path / "moved")
    assert keys(tmp_path, {}) == []
    assert keys(tmp_path, {"CLAUDE_CONFIG_DIR": str(elsewhere)}) == [
        TokenFile(str(elsewhere / ".credentials.json"))
    ]
