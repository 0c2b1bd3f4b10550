"""What a model behind the Messages protocol takes, told from its name.

Rule: a Claude name whose version cannot be read is taken for the newest; a name that is no Claude's gets what every
server of this protocol understands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

_VERSION = re.compile(r"claude\D*?(\d{1,2})(?!\d)(?:[-.](\d{1,2})(?!\d))?")
_NEWEST = (99, 0)


@dataclass(frozen=True, slots=True)
class Traits:
    """One model. `thinking`: how it is asked to think; `max_output`: what is safe to ask for."""

    thinking: Literal["none", "budget", "adaptive"]
    can_stop_thinking: bool  # takes thinking "disabled"
    forced_choice: bool  # takes a tool_choice that forces a call
    sampling: bool  # takes temperature, top_p, top_k
    system_turns: bool  # takes role "system" after a user turn
    prefill: bool  # continues a final assistant turn
    schemas: bool  # takes `strict` tools and output_config.format
    efforts: tuple[str, ...]
    max_output: int


@lru_cache(maxsize=256)
def traits_of(model: str) -> Traits:
    """What the model of this name takes."""
    name = model.lower()
    is_claude = "claude" in name
    found = _VERSION.search(name)
    version = (int(found[1]), int(found[2] or 0)) if found else _NEWEST
    is_bound = found is not None and _always_thinks(name, version)
    efforts = ("low", "medium", "high", "xhigh", "max")
    return Traits(
        thinking="adaptive" if version >= (4, 6) else "budget" if version >= (3, 7) else "none",
        can_stop_thinking=version >= (3, 7) and not is_bound,
        forced_choice=not is_bound,
        sampling=not is_claude or version < (4, 7),
        system_turns=is_claude and version >= (4, 8),
        prefill=not is_claude or version < (4, 6),
        schemas=version >= (4, 1),
        efforts=efforts if version >= (4, 7) else ("low", "medium", "high", "max"),
        max_output=_max_output(is_claude, version),
    )


def _always_thinks(name: str, version: tuple[int, int]) -> bool:
    """Whether thinking cannot be switched off; such models refuse a forced tool choice as well."""
    return version >= (
        (5, 1) if "fable" in name or "mythos" in name else (5, 5) if "opus" in name else _NEWEST
    )


def _max_output(is_claude: bool, version: tuple[int, int]) -> int:
    """Agents that never name a limit (Codex) write long turns; every current Claude model can write this much."""
    if is_claude and version >= (3, 7):
        return 32_000
    return 8192 if version >= (3, 5) else 4096
