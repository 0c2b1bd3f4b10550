"""Which models a client key may use. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from backends.globs import glob_matches
from backends.routing import Decision, Rule


def may_use(globs: Sequence[str], decision: Decision) -> bool:
    """Whether a key with this list may have this decision: the list names what was asked for, or every model used.

    A name with a backend's prefix is no name of its own: only what is used counts. No list: every model.
    """
    if not globs:
        return True
    used = [target.model.lower() for target in decision.targets]
    asked = [] if decision.rule is Rule.PREFIX else [decision.asked.strip().lower()]
    return any(_named(globs, name) for name in asked) or all(_named(globs, name) for name in used)


def _named(globs: Sequence[str], name: str) -> bool:
    return any(glob_matches(glob, name) for glob in globs)
