"""Counts of what happened since the start, for `/metrics`. Plain numbers: a request adds a few microseconds.

Rule: written and read in the event loop's thread only. Names are the operator's own (backends, accounts) or ours;
of models only those that an upstream has answered for, at most 200, the rest is `other`. No client's text is a label.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

from msgspec import Struct

from analytics.drafts import AttemptDraft, Outcome, RecordDraft
from analytics.recorder import recorder

MOST_MODELS = 200
MOST_OUTCOMES = 100
OTHER, NONE = "other", "none"
DURATION_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
TTFT_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0)
OVERHEAD_SECONDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
Labels = tuple[str, ...]


@dataclass(slots=True)
class Histogram:
    """Observations by bucket and their sum. The last count is of what exceeds every bound."""

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def add(self, other: Histogram) -> None:
        """Those of another, unless another version has counted them by other bounds."""
        if other.bounds == self.bounds:
            self.counts = [mine + its for mine, its in zip(self.counts, other.counts, strict=True)]
            self.total += other.total


class Histograms(dict[Labels, Histogram]):
    """One for each combination of labels."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        super().__init__()
        self.bounds = bounds

    def __missing__(self, labels: Labels) -> Histogram:
        found = self[labels] = Histogram(self.bounds)
        return found

    def add(self, others: dict[Labels, Histogram]) -> None:
        """Those of another process."""
        for labels, histogram in others.items():
            self[labels].add(histogram)


class Counts(Struct, frozen=True, array_like=True):
    """The numbers of `Tallies`, as other processes read them."""

    requests: dict[Labels, int]
    attempts: dict[Labels, int]
    tokens: dict[Labels, int]
    dropped: int
    failovers: dict[str, int]
    durations: dict[Labels, Histogram]
    ttfts: dict[Labels, Histogram]
    overheads: dict[Labels, Histogram]


@dataclass
class Tallies:
    """All counts. Labels: `requests` by backend, kind, outcome, class of status; the histograms by backend and kind;
    `attempts` by backend, account, outcome, verdict; `tokens` by backend, model, direction.
    """

    requests: Counter[Labels] = field(default_factory=Counter)
    attempts: Counter[Labels] = field(default_factory=Counter)
    tokens: Counter[Labels] = field(default_factory=Counter)
    dropped: int = 0  # records that the history had no room for
    failovers: Counter[str] = field(default_factory=Counter)
    durations: Histograms = field(default_factory=lambda: Histograms(DURATION_SECONDS))
    ttfts: Histograms = field(default_factory=lambda: Histograms(TTFT_SECONDS))
    overheads: Histograms = field(default_factory=lambda: Histograms(OVERHEAD_SECONDS))
    _models: dict[str, str] = field(default_factory=dict)  # the label of each that has one
    _outcomes: set[str] = field(default_factory=set)

    def count(self, draft: RecordDraft) -> None:
        """One finished record, before the recorder takes it."""
        if recorder.is_full:
            self.dropped += 1
        kind = draft.kind.value if draft.kind else NONE
        where = (draft.backend or NONE, kind)
        outcome = draft.outcome or Outcome.ERROR
        self.requests[(*where, outcome.value, _CLASSES.get((draft.status or 0) // 100, NONE))] += 1
        for attempt in draft.attempts:
            self._count_attempt(attempt)
        if outcome is Outcome.REJECTED:
            return
        if len(draft.attempts) > 1:
            self.failovers[where[0]] += 1
        self.durations[where].observe(draft.duration_ms / 1000)
        if draft.ttft_ms is not None:
            self.ttfts[where].observe(draft.ttft_ms / 1000)
        if draft.overhead_ms is not None:
            self.overheads[where].observe(draft.overhead_ms / 1000)
        self._count_tokens(draft)

    def counts(self) -> Counts:
        """As they are, not a copy."""
        return Counts(
            *(self.requests, self.attempts, self.tokens, self.dropped),
            *(self.failovers, self.durations, self.ttfts, self.overheads),
        )

    def add(self, counts: Counts) -> None:
        """What another process has counted. Its models and outcomes have a label here as well."""
        self.requests.update(counts.requests)
        self.attempts.update(counts.attempts)
        self.tokens.update(counts.tokens)
        self.dropped += counts.dropped
        self.failovers.update(counts.failovers)
        self.durations.add(counts.durations)
        self.ttfts.add(counts.ttfts)
        self.overheads.add(counts.overheads)
        self._models.update((model, model) for _, model, _ in counts.tokens if model != OTHER)
        self._outcomes.update(outcome for _, _, outcome, _ in counts.attempts if outcome != OTHER)

    def _count_attempt(self, attempt: AttemptDraft) -> None:
        outcome = attempt.outcome or NONE
        if outcome not in self._outcomes:
            if len(self._outcomes) < MOST_OUTCOMES:
                self._outcomes.add(outcome)
            else:
                outcome = OTHER
        self.attempts[attempt.backend, attempt.account, outcome, attempt.verdict or NONE] += 1

    def _count_tokens(self, draft: RecordDraft) -> None:
        usage = draft.usage
        if usage is None:
            return
        backend, tokens = draft.backend or NONE, self.tokens
        model = self._model(draft)
        for direction, counted in (
            ("input", usage.fresh_input),
            ("cache_read", usage.cache_read),
            ("cache_write", usage.cache_write),
            ("output", usage.output),
        ):
            if counted:
                tokens[backend, model, direction] += counted

    def _model(self, draft: RecordDraft) -> str:
        """Its name, if it is among the first that an upstream has answered well for."""
        name = draft.model_used
        if name not in self._models:
            if draft.outcome is not Outcome.OK or len(self._models) >= MOST_MODELS:
                return OTHER
            label = name.encode("utf-8", "replace").decode()  # a lone surrogate cannot be written
            self._models[name] = label
        return self._models[name]


_CLASSES = {number: f"{number}xx" for number in range(1, 6)}
tallies = Tallies()
