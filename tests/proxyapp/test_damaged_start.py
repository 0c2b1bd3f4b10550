"""A start on a damaged database: refused in one line that says what to do, and nothing is made over it."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.patchbay import Patchbay

PAGE = 4096


def without_its_head(data: bytearray) -> None:
    data[:100] = os.urandom(100)


def with_a_page_of_noise(data: bytearray) -> None:
    data[PAGE : 3 * PAGE] = os.urandom(2 * PAGE)


def cut_short(data: bytearray) -> None:
    del data[len(data) // 2 :]


@pytest.mark.sqlite("damages the file")
@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("history", without_its_head),
        ("config", without_its_head),
        ("config", with_a_page_of_noise),
        ("config", cut_short),
    ],
)
def test_a_damaged_database_refuses_the_start(name: str, damage: Callable[[bytearray], None]) -> None:
    patchbay = Patchbay()
    patchbay.furnish()
    path = patchbay.home / f"{name}.sqlite3"
    data = bytearray(path.read_bytes())
    damage(data)
    path.write_bytes(data)
    with pytest.raises(AssertionError, match="runproxy ended with 1") as ended:
        patchbay.start()
    told = str(ended.value)
    assert "Traceback" not in told
    assert f"The database {path} cannot be used" in told
    assert "restore a backup" in told
    assert path.read_bytes() == bytes(data)
