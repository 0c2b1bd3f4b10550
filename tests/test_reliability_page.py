"""Every test that the page about reliability names exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_every_promise_names_tests_that_exist() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    assert re.findall(r"^\| (P\d+) \|", page, re.M) == [f"P{number}" for number in range(1, 32)]
    named = re.findall(r"`(tests/[\w/.]+)::(\w+)`", page)
    assert len(named) > 40
    for path, name in named:
        assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.M), f"{path}::{name}"
