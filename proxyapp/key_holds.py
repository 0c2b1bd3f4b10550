"""A client key's limits on the request path: hold what a request may use, and settle it by what it has used.

Rule: a hold is settled by the answer that was served, else refunded when the record ends: every request ends its record
exactly once, whatever happens to it.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from decimal import Decimal

from accounts.key_limits import Hold, key_limits
from accounts.key_refusals import Limit, LimitReached
from accounts.key_use import KeyLimits
from analytics.pricing import cost_of, estimate_cost
from backends.prices import PriceBook
from backends.routing import Decision, Target
from backends.wire.kinds import Kind
from backends.wire.usage import Usage
from proxyapp.call import ClientCall
from proxyapp.errors import ProxyError
from proxyapp.key_estimates import Estimate, estimate_of

REMAINING = "x-patchbay-budget-remaining"
_CODES = {
    Limit.REQUESTS: "rate_limited_key",
    Limit.TOKENS: "rate_limited_key",
    Limit.BUDGET: "budget_exceeded",
}


@dataclass(slots=True)
class KeyHold:
    """What one request holds of its client key's limits."""

    hold: Hold
    prices: PriceBook  # the operator's own

    def served(self, target: Target, used: Usage | None) -> None:
        """An answer was passed on, and has used this; None where it is not charged."""
        if used is None or not self.hold.limits.needs_estimate:
            self.hold.refund()
            return
        has_budget = self.hold.limits.budget is not None
        cost = self._cost(target, used) if has_budget else None
        self.hold.settle(used.input_tokens + used.output, cost)

    def _cost(self, target: Target, usage: Usage) -> Decimal | None:
        backend = target.backend
        return cost_of(target.model, backend.preset, usage, backend=backend.name, own=self.prices)

    def refund(self) -> None:
        """Nothing was served."""
        self.hold.refund()

    def headers(self) -> dict[str, str]:
        """What is left of the budget."""
        return _told(self.hold.remaining)


async def hold_for(call: ClientCall, decision: Decision) -> None:
    """Give the call its hold, if its key has limits. Raises ProxyError 429."""
    limits = call.caller.limits
    if limits is None:
        return
    is_free = call.kind is Kind.COUNT_TOKENS
    estimate, cost = Estimate(0, 0), None
    if limits.needs_estimate and not is_free:
        estimate = estimate_of(call, decision.targets)
        if limits.budget is not None:
            cost = await _price(decision, estimate, call.snapshot.prices)
    try:
        hold = await key_limits.reserve(limits, estimate.tokens, cost, is_free=is_free)
    except LimitReached as reached:
        raise _refusal(limits, reached) from None
    call.hold = KeyHold(hold, call.snapshot.prices)
    call.draft.on_end = hold.refund


async def _price(decision: Decision, estimate: Estimate, prices: PriceBook) -> Decimal | None:
    """US dollars at the dearest of the targets whose prices are known; None when none is."""
    await _prices.load()
    costs = (
        estimate_cost(
            target.model,
            target.backend.preset,
            estimate.input,
            estimate.output,
            backend=target.backend.name,
            own=prices,
        )
        for target in decision.targets
    )
    return max((cost for cost in costs if cost is not None), default=None)


@dataclass
class _Prices:
    """The price list takes a tenth of a second to load: in a thread, before the first request that needs it."""

    are_loaded: bool = False

    async def load(self) -> None:
        if not self.are_loaded:
            await asyncio.to_thread(estimate_cost, "gpt-4o", "openai", 1, 1)
            self.are_loaded = True


_prices = _Prices()


def _refusal(limits: KeyLimits, reached: LimitReached) -> ProxyError:
    """429, as OpenAI answers when a quota is used up: every SDK knows it, and none tries again where told not to."""
    headers = {"retry-after": str(max(1, math.ceil(reached.shortage.wait_s)))}
    if not reached.is_worth_waiting:
        headers["x-should-retry"] = "false"
    headers |= _told(key_limits.remaining(limits))
    code = _CODES[reached.shortage.limit]
    return ProxyError(429, str(reached), code=code, headers=headers, is_rejection=True)


def _told(remaining: Decimal | None) -> dict[str, str]:
    return {} if remaining is None else {REMAINING: f"{remaining:.6f}"}
