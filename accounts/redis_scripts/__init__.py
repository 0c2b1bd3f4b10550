"""The scripts that decide between processes, run by Redis as one step each. What they take and return is in them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

PREFIX = "patchbay:1"  # 1: the format of what is stored
NEWS = f"{PREFIX}:news"  # with the number of the database: the channel. Redis has one set of them for all databases
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Script:
    """One script with what all share."""

    name: str
    source: bytes = field(init=False, repr=False)
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        source = (_HERE / "common.lua").read_bytes() + b"\n" + (_HERE / f"{self.name}.lua").read_bytes()
        object.__setattr__(self, "source", source)
        object.__setattr__(self, "sha", hashlib.sha1(source, usedforsecurity=False).hexdigest())


TAKE, TELL, BEAT, WHOLE, KEY_TAKE, KEY_TELL = SCRIPTS = tuple(
    Script(name) for name in ("take", "tell", "beat", "whole", "key_take", "key_tell")
)
