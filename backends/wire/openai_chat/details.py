"""OpenRouter's `reasoning_details`: pieces of reasoning, some of them signed or encrypted.

Rule: where any piece is signed or encrypted, the whole list goes back as it came, so it is kept as JSON text in
`Thinking.encrypted` of origin "chat".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

_OPAQUE = ("signature", "data")
_GROWING = ("text", "summary")


@dataclass(frozen=True, slots=True)
class Details:
    """`text`: what can be read; `json`: the list to send back, None if nothing in it is signed or encrypted."""

    text: str = ""
    json: str | None = None


@dataclass(slots=True)
class DetailsSoFar:
    """Pieces of a stream: those of one type and index continue each other."""

    parts: list[dict[str, Any]] = field(default_factory=list)

    def add(self, value: object) -> int:
        """Take one delta; return about how many characters of it have to be kept."""
        size = 0
        for piece in _pieces(value):
            self._add(piece)
            size += 100 + sum(len(part) for part in piece.values() if isinstance(part, str))
        return size

    def _add(self, piece: dict[str, Any]) -> None:
        last = self.parts[-1] if self.parts else {}
        same = last and all(last.get(name) == piece.get(name) for name in ("type", "index"))
        if not same or "data" in piece:
            self.parts.append(dict(piece))
            return
        for name, value in piece.items():
            grows = name in _GROWING and isinstance(last.get(name), str) and isinstance(value, str)
            if grows:
                last[name] += value
            elif value is not None:
                last[name] = value

    def json(self) -> str | None:
        """The list to send back, if anything in it is signed or encrypted."""
        return msgspec.json.encode(self.parts).decode() if is_opaque(self.parts) else None


def read_details(value: object) -> Details:
    """A whole `reasoning_details`."""
    so_far = DetailsSoFar()
    so_far.add(value)
    return Details(text_of(value), so_far.json())


def is_opaque(value: object) -> bool:
    """Whether anything in it is signed or encrypted."""
    return any(piece.get(name) for piece in _pieces(value) for name in _OPAQUE)


def text_of(value: object) -> str:
    """What can be read of a `reasoning_details`, whole or a delta."""
    return "".join(_text_of(piece) for piece in _pieces(value))


def _pieces(value: object) -> list[dict[str, Any]]:
    return [piece for piece in value if isinstance(piece, dict)] if isinstance(value, list) else []


def write_details(encrypted: str) -> list[Any] | None:
    """The list again; None if this is not one."""
    try:
        value = msgspec.json.decode(encrypted)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) else None


def _text_of(piece: dict[str, Any]) -> str:
    for name in _GROWING:
        value = piece.get(name)
        if isinstance(value, str):
            return value
    return ""
