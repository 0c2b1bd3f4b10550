"""What each tool is told, where it looks for it, and what of the user's own is left alone."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxyapp.connect import json_text, shell
from proxyapp.connect.parts import ConnectError, Place, Wish
from proxyapp.connect.tools import TOOLS

URL, KEY = "http://127.0.0.1:3456", "pb-0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
KEYLESS = Wish(URL, models=("fast",))
KEYED = Wish(URL, KEY, models=("fast",))
WRITTEN = [name for name in TOOLS if name != "cursor"]


def place(home: Path, **environ: str) -> Place:
    return Place(home, {"SHELL": "/bin/bash", **environ}, home / "patchbay")


def told(name: str, where: Place, wish: Wish, old: dict[str, str] | None = None) -> dict[str, str]:
    """Path below the home → what stands there in the end. `old`: what stood there."""
    for path, text in (old or {}).items():
        (where.home / path).parent.mkdir(parents=True, exist_ok=True)
        (where.home / path).write_text(text)
    return {
        str(edit.path.relative_to(where.home)): edit.rewrite(
            (old or {}).get(str(edit.path.relative_to(where.home)), "")
        )
        for edit in TOOLS[name].edits(where, wish)
    }


def only(files: dict[str, str], path: str) -> str:
    assert list(files) == [path]
    return files[path]


def env_of(files: dict[str, str]) -> Any:
    return json.loads(only(files, ".claude/settings.json"))["env"]


# --- Claude Code ---------------------------------------------------------------------------------------------------


def test_claude_code_asks_for_its_own_models_where_they_are_served(tmp_path: Path) -> None:
    settings = json.loads(only(told("claude-code", place(tmp_path), Wish(URL)), ".claude/settings.json"))
    assert settings == {
        "env": {
            "ANTHROPIC_BASE_URL": URL,
            "ANTHROPIC_AUTH_TOKEN": "patchbay",
            "CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY": "1",
        }
    }


def test_claude_code_asks_for_one_model_where_they_are_not(tmp_path: Path) -> None:
    files = told("claude-code", place(tmp_path), Wish(URL, KEY, models=("fast",), serves_own=False))
    env = env_of(files)
    assert {env[f"ANTHROPIC_DEFAULT_{family}_MODEL"] for family in ("OPUS", "SONNET", "HAIKU")} == {"fast"}
    assert env["ANTHROPIC_AUTH_TOKEN"] == KEY
    assert json.loads(files[".claude/settings.json"])["model"] == "fast"


def test_claude_code_keeps_its_own_login_where_that_is_what_pays(tmp_path: Path) -> None:
    old = {".claude/settings.json": '{"env": {"ANTHROPIC_CUSTOM_HEADERS": "a: b\\nx-patchbay-key: old"}}'}
    env = env_of(told("claude-code", place(tmp_path), Wish(URL, KEY, callers_login=True), old))
    assert env["ANTHROPIC_CUSTOM_HEADERS"] == f"a: b\nx-patchbay-key: {KEY}"
    assert "ANTHROPIC_AUTH_TOKEN" not in env


def test_claude_code_is_warned_of_what_would_lead_elsewhere(tmp_path: Path) -> None:
    where = place(tmp_path, ANTHROPIC_API_KEY="x", CLAUDE_CODE_USE_BEDROCK="1")
    notes = " ".join(TOOLS["claude-code"].notes(where, KEYLESS))
    assert "ANTHROPIC_API_KEY" in notes
    assert "CLAUDE_CODE_USE_BEDROCK" in notes


# --- the others ----------------------------------------------------------------------------------------------------


def test_codex_gets_a_provider_and_the_key_as_a_header(tmp_path: Path) -> None:
    old = {".codex/config.toml": '# mine\nmodel = "o3"\n\n[tui]\ntheme = "x" # keep\n'}
    text = only(told("codex", place(tmp_path), KEYED, old), ".codex/config.toml")
    assert "# mine\n" in text
    assert 'theme = "x" # keep\n' in text
    read = tomllib.loads(text)
    assert (read["model"], read["model_provider"]) == ("fast", "patchbay")
    assert read["model_providers"]["patchbay"] == {
        "name": "Patchbay",
        "base_url": f"{URL}/v1",
        "wire_api": "responses",
        "supports_websockets": False,
        "requires_openai_auth": False,
        "http_headers": {"x-patchbay-key": KEY},
    }


def test_codex_keeps_its_model_where_it_is_served_and_its_login_where_that_pays(tmp_path: Path) -> None:
    read = tomllib.loads(
        only(told("codex", place(tmp_path), Wish(URL, callers_login=True)), ".codex/config.toml")
    )
    assert "model" not in read
    assert read["model_providers"]["patchbay"]["requires_openai_auth"] is True


def test_aider(tmp_path: Path) -> None:
    text = only(
        told("aider", place(tmp_path), KEYED, {".aider.conf.yml": "# c\ndark-mode: true\n"}),
        ".aider.conf.yml",
    )
    assert text.startswith("# c\ndark-mode: true\n")
    assert yaml.safe_load(text) == {
        "dark-mode": True,
        "openai-api-base": f"{URL}/v1",
        "openai-api-key": KEY,
        "model": "openai/fast",
    }


def test_continue_gets_each_model_beside_the_users_own(tmp_path: Path) -> None:
    old = {
        ".continue/config.yaml": "name: Mine\nversion: 1.0.0\nschema: v1\nmodels:\n  - name: Other # keep\n"
    }
    text = only(told("continue", place(tmp_path), Wish(URL, KEY, ("a", "b")), old), ".continue/config.yaml")
    assert text.startswith(old[".continue/config.yaml"])
    models = yaml.safe_load(text)["models"]
    assert [model["name"] for model in models] == ["Other", "Patchbay a", "Patchbay b"]
    assert models[1] | {"roles": [], "capabilities": []} == {
        "name": "Patchbay a",
        "provider": "openai",
        "model": "a",
        "apiBase": f"{URL}/v1",
        "apiKey": KEY,
        "roles": [],
        "capabilities": [],
    }
    assert (
        yaml.safe_load(told("continue", place(tmp_path / "new"), KEYLESS)[".continue/config.yaml"])["schema"]
        == "v1"
    )


@pytest.mark.parametrize(
    ("old", "says"),
    [
        ({".continue/config.yaml": "name: x\nschema: v2\n"}, "its schema is 'v2'"),
        ({".continue/config.json": "{}"}, "older format"),
    ],
)
def test_continues_other_formats_are_left_alone(tmp_path: Path, old: dict[str, str], says: str) -> None:
    with pytest.raises(ConnectError, match=says):
        told("continue", place(tmp_path), KEYLESS, old)


def test_opencode_prefers_the_commented_file_and_knows_public_limits(tmp_path: Path) -> None:
    path = ".config/opencode/opencode.jsonc"
    old = {path: '{\n  // mine\n  "theme": "x",\n  "enabled_providers": ["openai"],\n}\n'}
    text = only(told("opencode", place(tmp_path), Wish(URL, KEY, ("gpt-4o", "fast")), old), path)
    assert text.startswith('{\n  // mine\n  "theme": "x",\n  "enabled_providers": ["openai", "patchbay"],\n')
    provider: Any = json_text.look(text, ["provider", "patchbay"])
    assert provider["npm"] == "@ai-sdk/openai-compatible"
    assert provider["options"] == {"baseURL": f"{URL}/v1", "apiKey": KEY}
    assert provider["models"] == {
        "gpt-4o": {"name": "gpt-4o", "limit": {"context": 128_000, "output": 32_000}},
        "fast": {"name": "fast"},
    }
    assert json_text.look(text, ["model"]) == "patchbay/gpt-4o"
    (tmp_path / path).unlink()
    assert list(told("opencode", place(tmp_path), KEYLESS)) == [".config/opencode/opencode.json"]


def test_zed_gets_no_key_in_its_settings(tmp_path: Path) -> None:
    path = ".config/zed/settings.json"
    old = {path: '// mine\n{\n  "vim_mode": true,\n}\n'}
    text = only(told("zed", place(tmp_path), KEYED, old), path)
    assert text.startswith('// mine\n{\n  "vim_mode": true,\n')
    assert KEY not in text
    provider: Any = json_text.look(text, ["language_models", "openai_compatible", "Local Patchbay"])
    assert provider["api_url"] == f"{URL}/v1"
    assert [model["name"] for model in provider["available_models"]] == ["fast"]
    assert "keys add zed" in TOOLS["zed"].notes(place(tmp_path), KEYED)[0]


def test_llm_keeps_the_key_with_its_others(tmp_path: Path) -> None:
    old = {
        "l/keys.json": '{"// Note": "secret", "openai": "sk-x"}',
        "l/extra-openai-models.yaml": "- model_id: mine\n",
    }
    files = told("llm", place(tmp_path, LLM_USER_PATH=str(tmp_path / "l")), KEYED, old)
    assert json.loads(files["l/keys.json"]) == {"// Note": "secret", "openai": "sk-x", "patchbay": KEY}
    models = yaml.safe_load(files["l/extra-openai-models.yaml"])
    assert models[0] == {"model_id": "mine"}
    assert models[1]["model_id"] == "patchbay/fast" == files["l/default_model.txt"]
    assert models[1]["api_key_name"] == "patchbay"
    assert list(told("llm", place(tmp_path / "new"), KEYLESS)) == [
        ".config/io.datasette.llm/extra-openai-models.yaml",
        ".config/io.datasette.llm/default_model.txt",
    ]


@pytest.mark.parametrize("program", ["bash", "sh"])
def test_the_shells_lines_work_and_read_the_key_from_its_file(tmp_path: Path, program: str) -> None:
    where = Place(tmp_path, {"SHELL": f"/bin/{program}"}, tmp_path / "it's here")
    files = told("shell", where, KEYED)
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    startup = next(path for path in files if "secrets" not in path)
    assert KEY not in files[startup]
    said = subprocess.run(
        [
            program,
            "-c",
            f'. "{tmp_path / startup}"; echo "$ANTHROPIC_BASE_URL $OPENAI_BASE_URL $OPENAI_API_KEY"',
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split() == [URL, f"{URL}/v1", KEY]


def test_the_shells_block_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    old = {".bashrc": "alias a=b\n"}
    first = only(told("shell", place(tmp_path), KEYLESS, old), ".bashrc") + "alias c=d\n"
    again = only(told("shell", place(tmp_path), Wish("http://127.0.0.1:9"), {".bashrc": first}), ".bashrc")
    assert again == first.replace(URL, "http://127.0.0.1:9")


def test_other_shells(tmp_path: Path) -> None:
    assert (
        shell.startup_file(place(tmp_path, SHELL="/usr/bin/zsh", ZDOTDIR=str(tmp_path / "z")))
        == tmp_path / "z/.zshrc"
    )
    fish = place(tmp_path, SHELL="/usr/bin/fish")
    assert shell.startup_file(fish) == tmp_path / ".config/fish/conf.d/patchbay.fish"
    assert f"set -gx OPENAI_API_KEY (cat '{tmp_path}/patchbay/secrets/client-shell')" in shell.exports(
        fish, KEYED
    )
    with pytest.raises(ConnectError, match="nu"):
        shell.startup_file(place(tmp_path, SHELL="/usr/bin/nu"))


# --- all of them ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("wish", [KEYLESS, KEYED], ids=["keyless", "keyed"])
def test_a_second_time_changes_nothing(tmp_path: Path, name: str, wish: Wish) -> None:
    first = told(name, place(tmp_path), wish)
    assert told(name, place(tmp_path), wish, first) == first
    assert KEY not in repr(wish)


@pytest.mark.parametrize(
    ("name", "path", "broken"),
    [
        ("claude-code", ".claude/settings.json", '{"env": {'),
        ("claude-code", ".claude/settings.json", '{"env": "a newer form"}'),
        ("codex", ".codex/config.toml", "model = \n"),
        ("codex", ".codex/config.toml", 'model_providers = "a newer form"\n'),
        ("continue", ".continue/config.yaml", "models: a newer form\n"),
        ("aider", ".aider.conf.yml", "- a list\n"),
        ("opencode", ".config/opencode/opencode.json", '{"provider": []}'),
        ("zed", ".config/zed/settings.json", '{"language_models": {"openai_compatible": 1}}'),
        ("zed", ".config/zed/settings.json", "[]"),
        ("llm", ".config/io.datasette.llm/extra-openai-models.yaml", "models: []\n"),
    ],
)
def test_what_is_broken_or_newer_is_refused_in_one_line(
    tmp_path: Path, name: str, path: str, broken: str
) -> None:
    with pytest.raises(ConnectError) as failure:
        told(name, place(tmp_path), KEYED, {path: broken})
    assert "Nothing was changed" in str(failure.value)
    assert "\n" not in str(failure.value)


def test_cursor_is_told_the_truth(tmp_path: Path) -> None:
    said = " ".join(TOOLS["cursor"].notes(place(tmp_path), KEYLESS))
    assert "cannot be reached" in said
    assert "PATCHBAY_ALLOWED_HOSTS" in said
    assert TOOLS["cursor"].edits(place(tmp_path), KEYLESS) == []
