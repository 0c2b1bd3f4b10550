"""What a check of the doctor says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from django.core.checks import ERROR, CheckMessage


class Level(StrEnum):
    """How bad it is. Only FAIL makes the command fail."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the examination. `cure` says what to do; "" when nothing is to be done."""

    check: str
    level: Level
    text: str
    cure: str = ""

    def line(self) -> str:
        """For a terminal."""
        cure = f" {self.cure}" if self.cure else ""
        return f"{self.level.value:4}  {self.check:10}  {self.text}{cure}"

    def as_dict(self) -> dict[str, object]:
        """For --json."""
        return {
            "check": self.check,
            "status": self.level.value.lower(),
            "text": self.text,
            "cure": self.cure or None,
        }


def ok(check: str, text: str) -> Finding:
    """All is well."""
    return Finding(check, Level.OK, text)


def warn(check: str, text: str, cure: str) -> Finding:
    """It works, but may not for long, or not as meant."""
    return Finding(check, Level.WARN, text, cure)


def fail(check: str, text: str, cure: str) -> Finding:
    """It does not work."""
    return Finding(check, Level.FAIL, text, cure)


def from_messages(check: str, messages: Sequence[CheckMessage], fine: str) -> list[Finding]:
    """What the system checks said; `fine` when they said nothing."""
    if not messages:
        return [ok(check, fine)]
    return [
        Finding(check, Level.FAIL if message.level >= ERROR else Level.WARN, message.msg, message.hint or "")
        for message in messages
    ]


def or_fine(check: str, found: Iterable[Finding], fine: str) -> list[Finding]:
    """What was found; `fine` when nothing was."""
    return list(found) or [ok(check, fine)]
