"""Which target may have room for a prompt that another one found too long. Pure."""

from __future__ import annotations

from backends.conditions import Facts
from backends.routing import Target


def has_more_room(target: Target, than: Target, facts: Facts) -> bool:
    """Whether its model is known to take more tokens than the other's, or nobody knows what it takes.

    Where only its own room is known, the prompt has to fit by estimate.
    """
    if (target.backend.name, target.model.lower()) == (than.backend.name, than.model.lower()):
        return False
    own = target.backend.capabilities(target.model).context
    other = than.backend.capabilities(than.model).context
    if own is None:
        return True
    return own > other if other is not None else not facts.exceeds(own)
