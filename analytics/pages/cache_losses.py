"""The turns of a session that should have been read from the prompt cache and were not, and what explains it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

from analytics.models import RequestRecord
from backends.durations import span

LEAST_TOKENS = 1024  # providers cache nothing shorter
COLLAPSED = 0.5  # less than this part of what was cached was read again
SHORT_LIFE, LONG_LIFE = timedelta(minutes=5), timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class CacheLoss:
    """A turn that read far less from the cache than the turn before it had left there.

    `expected`, `read`: tokens. `cause`: what explains it without a look at the bodies; "" when nothing does.
    """

    before: RequestRecord
    turn: RequestRecord
    expected: int
    read: int
    cause: str

    @property
    def lost(self) -> int:
        """Tokens that had to be processed anew."""
        return self.expected - self.read


def cache_losses(turns: Iterable[RequestRecord]) -> list[CacheLoss]:
    """Of one conversation (one agent of a session), its turns in order of time. Turns without usage do not count."""
    told = [turn for turn in turns if turn.cache_read_tokens is not None]
    return [loss for before, turn in pairwise(told) if (loss := _loss(before, turn)) is not None]


def _loss(before: RequestRecord, turn: RequestRecord) -> CacheLoss | None:
    expected, read = _left(before), turn.cache_read_tokens or 0
    if expected < LEAST_TOKENS or read >= COLLAPSED * expected:
        return None
    return CacheLoss(before, turn, expected, read, _cause(before, turn))


def _cause(before: RequestRecord, turn: RequestRecord) -> str:
    """Caches belong to a model and to an account, and live for five minutes or an hour after they were last read."""
    if turn.model_used != before.model_used:
        return f"another model: {before.model_used or 'unknown'}, then {turn.model_used or 'unknown'}"
    if (turn.backend, turn.account) != (before.backend, before.account):
        return f"another account: {before.account or 'none'}, then {turn.account or 'none'}"
    pause = turn.started_at - before.started_at - timedelta(milliseconds=before.duration_ms)
    life = LONG_LIFE if before.cache_write_1h_tokens else SHORT_LIFE
    if pause >= life:
        return f"a pause of {span(pause.total_seconds())}; a cache lives {span(life.total_seconds())}"
    if (turn.input_tokens or 0) < COLLAPSED * _left(before):
        return "a much shorter prompt: the client compacted the conversation, or began another"
    return ""


def _left(turn: RequestRecord) -> int:
    """Tokens that a turn leaves in the cache."""
    return (turn.cache_read_tokens or 0) + (turn.cache_write_tokens or 0)
