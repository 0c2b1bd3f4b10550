"""Why a request went where it went, as the history keeps it: small, frozen, JSON. Pure: no database, no clock.

The router and the pool fill these notes in while a request runs; the history's writer makes text of them. They are
msgspec's structs: made in a fifth of the time of a frozen dataclass, and stored as arrays, half as long as objects.
So a field may be added at the end of a note, with a default, and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator

import msgspec

from backends.config import Strategy

MAX_BYTES = 16 * 1024
MAX_CANDIDATES = 20
MAX_CHOICES = 8
# What is cut when a note is too large: (characters of a text, candidates of a choice). The last pair always fits.
_SIZES = ((400, MAX_CANDIDATES), (200, MAX_CANDIDATES), (120, 10), (60, 5), (20, 2))


class CandidateNote(msgspec.Struct, frozen=True, array_like=True):
    """An account that was looked at. `score`: the figure its strategy goes by, the highest first. `headroom`: 0 to 1.

    `excluded` says in words why it could not serve; "" when it could. None: not known.
    """

    alias: str
    score: float | None = None
    headroom: float | None = None
    excluded: str = ""


class ChoiceNote(msgspec.Struct, frozen=True, array_like=True):
    """One look at one pool. `chosen` is an alias, "" when nobody could serve; `others` counts candidates left out.

    `waited_ms`: in the queue, before this choice. `is_bound`: the session stays with the account it had, so the
    order of the candidates did not matter.
    """

    backend: str
    model: str
    strategy: str
    chosen: str
    reason: str
    waited_ms: float = 0.0
    candidates: tuple[CandidateNote, ...] = ()
    others: int = 0
    is_bound: bool = False

    def passed_over(self, tried: Collection[str] = ()) -> CandidateNote | None:
        """The excluded account that would have been chosen, had it not been excluded; None when there is none.

        Those in `tried` do not count: this request had already tried them.
        """
        if self.is_bound:
            return None
        chosen = next((note for note in self.candidates if note.alias == self.chosen), None)
        excluded = [
            note for note in self.candidates if note.excluded and note.alias not in {*tried, self.chosen}
        ]
        better = [note for note in excluded if chosen is None or _beats(note, chosen, self.strategy)]
        return max(better, key=_merit, default=None)


class DecisionNote(msgspec.Struct, frozen=True, array_like=True):
    """The rule that matched, and each choice of an account in the order they were made."""

    rule: str = ""
    reason: str = ""
    choices: tuple[ChoiceNote, ...] = ()

    def as_json(self) -> str:
        """Compact JSON of `bounded()`, at most `MAX_BYTES` of UTF-8. Never raises."""
        return self._fitting()[1].decode()

    @classmethod
    def from_json(cls, text: str) -> DecisionNote:
        """The note that `as_json()` wrote. Raises ValueError for anything else."""
        return _decoder.decode(text)

    def bounded(self) -> DecisionNote:
        """What fits into the history; a note of ordinary size is returned as it is.

        Kept are the first and the last choices, and of each choice's candidates the chosen one and the best.
        """
        return self._fitting()[0]

    def mapped(self, clean: Callable[[str], str]) -> DecisionNote:
        """The same note with every text passed through `clean`."""
        choices = tuple(_mapped(choice, clean) for choice in self.choices)
        return DecisionNote(clean(self.rule), clean(self.reason), choices)

    def words(self) -> Iterator[str]:
        """The texts that were made for people: where a secret could stand, if it stands anywhere."""
        yield self.reason
        for choice in self.choices:
            yield choice.reason
            yield from (note.excluded for note in choice.candidates if note.excluded)

    def passed_over(self) -> tuple[CandidateNote | None, ...]:
        """For each choice: the account that would have been chosen, had it not been excluded."""
        found = []
        for index, choice in enumerate(self.choices):
            tried = {before.chosen for before in self.choices[:index] if before.backend == choice.backend}
            found.append(choice.passed_over(tried))
        return tuple(found)

    def _fitting(self) -> tuple[DecisionNote, bytes]:
        if not self._has_too_many() and (encoded := _try_encode(self)) and len(encoded) <= MAX_BYTES:
            return self, encoded
        cut = (self._cut(characters, candidates) for characters, candidates in _SIZES)
        return next((note, encoded) for note in cut if len(encoded := msgspec.json.encode(note)) <= MAX_BYTES)

    def _has_too_many(self) -> bool:
        return len(self.choices) > MAX_CHOICES or any(
            len(choice.candidates) > MAX_CANDIDATES for choice in self.choices
        )

    def _cut(self, characters: int, candidates: int) -> DecisionNote:
        kept = self.choices
        if len(kept) > MAX_CHOICES:
            kept = kept[: MAX_CHOICES // 2] + kept[-MAX_CHOICES // 2 :]
        fewer = DecisionNote(self.rule, self.reason, tuple(_fewer(choice, candidates) for choice in kept))
        return fewer.mapped(lambda text: _storable(text[:characters]))


_decoder = msgspec.json.Decoder(DecisionNote)


def _try_encode(note: DecisionNote) -> bytes | None:
    """None when a text holds half a surrogate pair, which has no UTF-8."""
    try:
        return msgspec.json.encode(note)
    except UnicodeEncodeError:
        return None


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _mapped(choice: ChoiceNote, clean: Callable[[str], str]) -> ChoiceNote:
    return ChoiceNote(
        clean(choice.backend),
        clean(choice.model),
        clean(choice.strategy),
        clean(choice.chosen),
        clean(choice.reason),
        choice.waited_ms,
        tuple(
            CandidateNote(clean(note.alias), note.score, note.headroom, clean(note.excluded))
            for note in choice.candidates
        ),
        choice.others,
        choice.is_bound,
    )


def _fewer(choice: ChoiceNote, limit: int) -> ChoiceNote:
    """The chosen candidate and the best of the others, in the order they stood in; the rest is counted."""
    if len(choice.candidates) <= limit:
        return choice
    ordered = sorted(
        enumerate(choice.candidates),
        key=lambda item: (item[1].alias == choice.chosen, *_merit(item[1])),
        reverse=True,
    )
    kept = tuple(note for _, note in sorted(ordered[:limit], key=lambda item: item[0]))
    return msgspec.structs.replace(
        choice, candidates=kept, others=choice.others + len(choice.candidates) - limit
    )


def _beats(one: CandidateNote, other: CandidateNote, strategy: str) -> bool:
    """Whether `one` is known to go before `other`. Equal figures say nothing: load and turn decide then."""
    if one.score is not None and other.score is not None:
        return one.score > other.score
    if strategy == Strategy.HEADROOM and one.headroom is not None and other.headroom is not None:
        return one.headroom > other.headroom
    return False


def _merit(note: CandidateNote) -> tuple[float, float]:
    """Sorts the best last; what is not known counts least."""
    score = -math.inf if note.score is None else note.score
    return (score, -math.inf if note.headroom is None else note.headroom)
