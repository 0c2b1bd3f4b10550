"""Simulated accounts of a subscription: what a request costs, when windows reset, what the headers say.

A request is charged when it ends; until then nobody sees it, so several that run at once can pass a limit together,
as at a real provider. An owner also uses the account directly, which the pool learns with the next answer.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from backends.wire.limits import Limits, Reading
from bench.pool.traffic import HOUR, WEEK, Session, Turn, work_of

FIVE_HOURS = 5 * HOUR
CACHE_SECONDS = 300.0
START_CONTEXT, LONGEST_CONTEXT = (
    14.0,
    180.0,
)  # thousands of tokens: system prompt and tools; the model's window
WRITE, READ, OUTPUT = 1.25, 0.1, 5.0  # prices of a token, in fresh input tokens
WEIGHTS = {"opus": 3.0, "sonnet": 1.0, "haiku": 0.3}
OPUS_SHARE = 0.5  # of the week that Opus may use
OWN_USE = 0.06  # of its week that the owner uses directly
PLANS = (0.4, 0.17, 0.17, 0.17, 0.045, 0.045)  # three sizes, as shares of the whole pool's quota
WEEKS = 9.0  # so many times its 5h window may an account use in a week


def family(model: str) -> str:
    """`claude-opus-4-8` → `opus`."""
    return model.split("-")[1]


@dataclass(slots=True)
class Conversation:
    """What a session has said so far, and on which account its prompt is cached."""

    context: float = START_CONTEXT
    account: str = ""
    cached_until: float = 0.0

    def cost(self, uid: str, turn: Turn, model: str, now: float) -> float:
        """Of one more request on this account, in thousands of fresh Sonnet input tokens."""
        is_cached = self.account == uid and now < self.cached_until
        history = self.context * (READ if is_cached else WRITE)
        return (history + turn.fresh * WRITE + turn.output * OUTPUT) * WEIGHTS[family(model)]

    def answered(self, uid: str, turn: Turn, now: float) -> None:
        """The answer is complete."""
        self.context = min(LONGEST_CONTEXT, self.context + turn.fresh + turn.output)
        self.account, self.cached_until = uid, now + CACHE_SECONDS


@dataclass(slots=True)
class Window:
    """One limit, in the unit of costs. One that is rolling begins with its first request, at the full hour."""

    name: str
    model_class: str
    size: float
    seconds: float
    resets_at: float = -math.inf
    used: float = 0.0
    is_rolling: bool = False
    offered: float = 0.0  # at resets so far
    lapsed: float = 0.0  # of that, never used

    def catch_up(self, now: float) -> None:
        """Reset, if it is time."""
        while now >= self.resets_at:
            if self.resets_at > -math.inf:
                self.offered += self.size
                self.lapsed += max(0.0, self.size - self.used)
            self.used = 0.0
            begins = math.floor(now / HOUR) * HOUR if self.is_rolling else self.resets_at
            self.resets_at = begins + self.seconds

    def reading(self) -> Reading:
        """As the headers have it: two digits."""
        share, is_spent = round(self.used / self.size, 2), self.used >= self.size
        return Reading(self.name, self.model_class, share, None, None, self.resets_at, is_spent)


@dataclass(slots=True)
class SimulatedAccount:
    """One account at the provider. `weight` is its size as an operator would set it by hand."""

    windows: tuple[Window, ...]
    own_rate: float  # what its owner uses in an hour of full work
    weight: int
    _until: float = 0.0

    def refusal(self, model: str, now: float) -> Limits | None:
        """What a 429 says, or None: then the request runs."""
        self.live(now)
        spent = [window for window in self._of(model) if window.used >= window.size]
        if not spent:
            return None
        last = max(spent, key=lambda window: window.resets_at)
        return Limits(self._readings(), last.resets_at, last.name, is_rejected=True)

    def headers(self, model: str, now: float) -> Limits:
        """What a good answer says as it begins."""
        self.live(now)
        tightest = max(self._of(model), key=lambda window: window.used / window.size)
        return Limits(self._readings(), None, tightest.name)

    def charge(self, model: str, cost: float, now: float) -> None:
        """A request has ended."""
        self.live(now)
        for window in self._of(model):
            window.used += cost

    def live(self, now: float) -> None:
        """Resets, and what the owner used meanwhile."""
        for window in self.windows:
            window.catch_up(now)
            since = max(self._until, window.resets_at - window.seconds)
            if window.model_class == "":
                window.used += self.own_rate * (work_until(now) - work_until(since))
        self._until = now

    def _readings(self) -> tuple[Reading, ...]:
        return tuple(window.reading() for window in self.windows)

    def _of(self, model: str) -> list[Window]:
        return [window for window in self.windows if window.model_class in ("", family(model))]


_WORKED = [0.0, *accumulate(work_of(hour) for hour in range(2 * 7 * 24))]


def work_until(moment: float) -> float:
    """Hours of full work from the week's beginning until then."""
    hour = min(int(max(0.0, moment) // HOUR), len(_WORKED) - 2)
    part = min(1.0, max(0.0, moment) / HOUR - hour)
    return _WORKED[hour] + part * (_WORKED[hour + 1] - _WORKED[hour])


def provider(seed: int, quota: float) -> dict[str, SimulatedAccount]:
    """The accounts of one pool by uid, which may use `quota` in a week together.

    Their weeks reset at different times; each is used about as far as its week has passed.
    """
    chance = random.Random(f"provider {seed}")
    found = {}
    for number, share in enumerate(chance.sample(PLANS, len(PLANS))):
        week, resets_at = quota * share, chance.uniform(0, WEEK)
        used = week * (1 - resets_at / WEEK) * chance.uniform(0.4, 1.0)
        windows = (
            Window("5h", "", week / WEEKS, FIVE_HOURS, is_rolling=True),
            Window("7d", "", week, WEEK, resets_at, used),
            Window("7d_opus", "opus", week * OPUS_SHARE, WEEK, resets_at, used / 3),
        )
        own_rate = week * OWN_USE / work_until(WEEK)
        found[f"account-{number}"] = SimulatedAccount(windows, own_rate, round(share * 200))
    return found


def cost_of(sessions: Sequence[Session]) -> float:
    """Of a whole week, if every session stays on one account."""
    total = 0.0
    for session in sessions:
        talk, now = Conversation(), session.start
        for turn in session.turns:
            now += turn.pause
            total += talk.cost("one", turn, session.model, now)
            now += turn.seconds
            talk.answered("one", turn, now)
    return total
