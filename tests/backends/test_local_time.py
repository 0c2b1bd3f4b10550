"""Which zone the conditions on the time of day are in."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from backends.local_time import zone_of
from tests.patchbay import PROJECT, Patchbay

ZONE = """
from datetime import datetime
from backends.local_time import machine_zone
print(datetime(2026, 1, 5, tzinfo=machine_zone()).utcoffset())
"""


def offset(**environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", ZONE],
        cwd=PROJECT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_a_zone_is_known_by_its_name() -> None:
    winter = datetime(2026, 1, 5, tzinfo=UTC).astimezone(zone_of("Europe/Berlin"))
    assert winter.hour == 1


@pytest.mark.parametrize("name", ["Mars/Base", "../etc/passwd", ""])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        zone_of(name)


def test_the_machine_s_zone_is_that_of_tz_and_else_that_of_the_system() -> None:
    assert offset(TZ="Asia/Tokyo") == "9:00:00"
    assert offset(TZ=":Asia/Tokyo") == "9:00:00"
    assert offset(TZ="no zone at all") == offset(TZ="")


def test_a_zone_that_does_not_exist_refuses_the_start_in_one_line(tmp_path: Path) -> None:
    done = Patchbay({"PATCHBAY_TIME_ZONE": "Mars/Base"}, home=tmp_path / "home").manage(
        "runproxy", check=False
    )
    assert done.returncode == 2
    assert "PATCHBAY_TIME_ZONE: 'Mars/Base' is no time zone" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
