"""The documentation names every setting, command and error code, and the pins keep their floors."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from django.core.management import get_commands

ROOT = Path(__file__).resolve().parent.parent
OUR_APPS = {"router_site", "proxyapp", "analytics", "accounts", "backends"}


def read(name: str) -> str:
    return (ROOT / name).read_text()


def python_files() -> list[Path]:
    return sorted(
        path for app in OUR_APPS for path in (ROOT / app).rglob("*.py") if "migrations" not in path.parts
    )


def test_every_setting_is_documented() -> None:
    source = read("router_site/settings.py") + read("router_site/flags.py")
    settings = set(re.findall(r'"((?:PATCHBAY|DATABASE|HISTORY_DATABASE)_[A-Z_]+)"', source))
    assert len(settings) > 10
    documented = set(re.findall(r"`([A-Z_]+)(?:<BACKEND>_[A-Z]+)?`", read("docs/settings.md")))
    assert settings - documented == set()


def test_every_documented_setting_exists() -> None:
    source = read("router_site/settings.py")
    for name in re.findall(r"^\| `([A-Z_]+)`", read("docs/settings.md"), re.M):
        assert f'"{name}"' in source, name


def test_every_command_is_documented() -> None:
    commands = {name for name, app in get_commands().items() if app in OUR_APPS}
    assert "runproxy" in commands
    documented = set(re.findall(r"^## `([a-z]+)", read("docs/commands.md"), re.M))
    assert commands - {"backends"} == documented


def test_links_in_the_documentation_lead_somewhere() -> None:
    pages = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")] + list(
        (ROOT / "docs").rglob("*.md")
    )
    for page in pages:
        for link in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_paths_named_in_the_documentation_exist() -> None:
    pages = [ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for path in re.findall(
            r"`((?:router_site|proxyapp|analytics|accounts|backends|tests|bench|deploy)/[\w/.-]+)`",
            page.read_text(),
        ):
            assert (ROOT / path).exists() or (ROOT / f"{path}.py").exists(), f"{page.name} names {path}"


def test_pins_keep_their_floors() -> None:
    floors = dict(
        re.findall(
            r"^\| (Django|daphne|Twisted|asgiref|redis) \| ([\d.]+) \|",
            read("docs/decisions/006-dependencies.md"),
            re.M,
        )
    )
    assert set(floors) == {"Django", "daphne", "Twisted", "asgiref", "redis"}
    pins = dict(re.findall(r"^([\w-]+)==([\d.]+)$", read("requirements.txt"), re.M))
    for package, floor in floors.items():
        assert tuple(map(int, pins[package].split("."))) >= tuple(map(int, floor.split("."))), package


@pytest.mark.parametrize("path", python_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_short_and_say_what_they_are_for(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 400
    assert not text.strip() or text.startswith(('"""', 'r"""')), "a module starts with what it is for"


def test_functions_stay_short() -> None:
    import ast

    long = []
    for path in python_files():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > 40:
                    long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name} ({lines})")
    assert long == []


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="each Python words its help a little differently")
def test_the_commands_page_is_what_the_commands_say() -> None:
    from tests.command_docs import PAGE, render

    assert PAGE.read_text() == render(), "run: python -m tests.command_docs"
