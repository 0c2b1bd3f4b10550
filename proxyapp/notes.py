"""The pool's choices in the words of the history, and in one header."""

from __future__ import annotations

from accounts.pool import Choice
from analytics.decision import CandidateNote, ChoiceNote

MAX_HEADER = 400


def choice_note(choice: Choice, queued_s: float = 0.0) -> ChoiceNote:
    """One look at one pool, for the record."""
    return ChoiceNote(
        backend=choice.backend,
        model=choice.model,
        strategy=choice.strategy,
        chosen=choice.chosen,
        reason=choice.reason,
        waited_ms=round(queued_s * 1000, 1),
        candidates=tuple(
            CandidateNote(found.alias, found.score, found.headroom, found.excluded)
            for found in choice.considered
        ),
        others=choice.others,
        is_bound=choice.is_bound,
    )


def decision_header(choice: ChoiceNote, route_note: str = "") -> str:
    """`headroom: work (best by headroom), home 12%, old: 5h spent`: one choice in a line, and the router's note."""
    others = [note for note in choice.candidates if note.alias != choice.chosen]
    parts = [f"{choice.chosen or 'none'} ({choice.reason})", *(_briefly(note) for note in others[:8])]
    if hidden := len(others) - 8 + choice.others:
        parts += [f"{hidden} more"] if hidden > 0 else []
    line = f"{choice.strategy}: {', '.join(parts)}"
    return (f"{line}; {route_note}" if route_note else line)[:MAX_HEADER]


def _briefly(note: CandidateNote) -> str:
    if note.excluded:
        return f"{note.alias}: {note.excluded}"
    return f"{note.alias} {note.headroom:.0%}" if note.headroom is not None else f"{note.alias} unknown"
