"""What a request costs: at the operator's own prices, else at the provider's, which the genai-prices package carries.

Rule: what cannot be priced is None, never 0. The package is imported at the first question (some 15 MB and a tenth
of a second), so ask from the history's writer or from a command; nothing here uses the network. Its data are looked
up once a model; the sum is ours, since the package's own takes twenty times as long.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import msgspec

from backends.prices import NO_PRICES, Price, PriceBook
from backends.wire.usage import Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, Provider, TieredPrices

    Prices = Mapping[str, Decimal | TieredPrices | None]

logger = logging.getLogger("patchbay.prices")

# our preset → the package's provider. Servers on the own machine have no price list, so they are not here.
PROVIDERS = {
    "anthropic": "anthropic",
    "openai": "openai",
    "groq": "groq",
    "openrouter": "openrouter",
    "mistral": "mistral",
    "deepseek": "deepseek",
    "together": "together",
    "fireworks": "fireworks",
    "xai": "x-ai",
    "cerebras": "cerebras",
    "gemini": "google",
}
MAX_NAME = 200
MOST = Decimal(99_999_999)  # what the column holds; anything above is a count that cannot be one
_STEP = Decimal("0.00000001")
_MILLION, _THOUSAND = Decimal(1_000_000), Decimal(1_000)


class CostSource(StrEnum):
    """How far a cost can be relied on. A request that nobody served has none of these."""

    PRICED = "priced"
    ESTIMATED = "estimated"  # the tokens are a lower bound or an estimate
    UNPRICED = "unpriced"


def cost_source(cost: Decimal | None, *, is_final: bool) -> CostSource:
    """How far the cost of a usage can be relied on. `is_final`: it was reported of the whole answer."""
    if cost is None:
        return CostSource.UNPRICED
    return CostSource.PRICED if is_final else CostSource.ESTIMATED


def cost_of(
    model: str,
    provider: str,
    usage: Usage,
    at: datetime | None = None,
    *,
    backend: str = "",
    own: PriceBook = NO_PRICES,
) -> Decimal | None:
    """US dollars for `usage` of `model` at `provider` (a backend's preset) by the prices of `at` (default: now).

    `own`: the operator's prices, which go before the list's; `backend`: for those of one backend. None when the model,
    the provider or a part of the usage has no known price. Counted beside the tokens: searches on the web and the
    fast mode of Anthropic models, both as the provider's usage object names them.
    """
    when = at or datetime.now(UTC)
    info = _model(provider, model)
    if (price := own.find(backend, model, when.astimezone(UTC).date())) is not None:
        return _at_own_price(price, info, usage, when)
    if info is None:
        return None
    extras = _extras(usage.raw)
    if extras.has_audio:
        return None  # audio has prices of its own, and the reports do not say how much of it was cached
    context = {"speed": extras.speed} if extras.speed else None
    prices = vars(info.get_prices(when, context))
    return _within(_tokens(prices, usage), _searches(prices, extras.searches))


def estimate_cost(
    model: str,
    provider: str,
    input_tokens: int,
    max_output_tokens: int,
    *,
    backend: str = "",
    own: PriceBook = NO_PRICES,
) -> Decimal | None:
    """US dollars if all of `max_output_tokens` are used and nothing comes from a cache; None when unpriced.

    For a guard on spending before a request. The first call loads the price data: not in the event loop's thread.
    """
    usage = Usage(input_tokens, 0, 0, 0, max_output_tokens, 0, b"")
    return cost_of(model, provider, usage, backend=backend, own=own)


def _at_own_price(price: Price, info: ModelInfo | None, usage: Usage, when: datetime) -> Decimal | None:
    """The tokens as the operator set it; searches as the list has them, since nobody sets those."""
    searches = _extras(usage.raw).searches
    listed: Prices = vars(info.get_prices(when)) if searches and info is not None else {}
    return _within(_tokens(_as_listed(price), usage), _searches(listed, searches))


def _as_listed(price: Price) -> dict[str, Decimal]:
    """A price under the list's names. What is not set is left out, except where the input's price stands in."""
    named = {
        "input_mtok": price.input,
        "cache_read_mtok": price.cache_read,
        "cache_write_5m_mtok": price.cache_write_5m if price.cache_write_5m is not None else price.input,
        "cache_write_1h_mtok": price.cache_write_1h if price.cache_write_1h is not None else price.input,
        "output_mtok": price.output,
    }
    return {name: dollars for name, dollars in named.items() if dollars is not None}


# --- the price list -----------------------------------------------------------------------------------------


@cache
def _providers() -> Mapping[str, Provider]:
    """The package's providers by id; empty, with one line in the log, when it cannot be imported."""
    try:
        from genai_prices.data import providers
    except Exception:  # somebody else's module: whatever is wrong with it, history must go on
        logger.exception(
            "The price list cannot be loaded, so costs stay unpriced. Install requirements.txt anew."
        )
        return {}
    return {provider.id: provider for provider in providers}


@lru_cache(maxsize=1024)
def _model(provider: str, model: str) -> ModelInfo | None:
    """The package's entry for a model at one of our providers."""
    if provider not in PROVIDERS or not model or len(model) > MAX_NAME:
        return None
    found = _providers().get(PROVIDERS[provider])
    if found is None:
        return None
    name = model.strip().removeprefix("models/")  # the long form of a name at Google
    info = found.find_model(name, all_providers=list(_providers().values()))
    return info if info is not None and info.prices != [] else None


def _rate(prices: Prices, names: Sequence[str], input_tokens: int) -> Decimal | None:
    """The first of these prices that the list names, in the tier that the whole input reaches."""
    price = next((found for name in names if (found := prices.get(name)) is not None), None)
    if price is None or isinstance(price, Decimal):
        return price
    reached = [
        tier.price for tier in price.tiers if input_tokens > tier.start
    ]  # tiers stand in ascending order
    return reached[-1] if reached else price.base


# --- the sum ------------------------------------------------------------------------------------------------


def _tokens(prices: Prices, usage: Usage) -> Decimal | None:
    """The price of all tokens; None when there are none, or a price is missing."""
    lines = (
        (usage.fresh_input, ("input_mtok",)),
        (usage.cache_read, ("cache_read_mtok", "input_mtok")),
        (usage.cache_write_5m, ("cache_write_5m_mtok", "cache_write_mtok", "input_mtok")),
        (usage.cache_write_1h, _hour_names(prices)),
        (usage.output - usage.reasoning, ("output_mtok",)),
        (usage.reasoning, ("output_reasoning_mtok", "output_mtok")),
    )
    total, size = None, usage.input_tokens
    for tokens, names in lines:
        if not tokens:
            continue
        rate = _rate(prices, names, size)
        if rate is None:
            return None
        total = rate * tokens if total is None else total + rate * tokens
    return None if total is None else total / _MILLION


def _hour_names(prices: Prices) -> tuple[str, ...]:
    """A write for an hour costs more than one for five minutes, so that price must not stand in for it."""
    writes_are_priced = "cache_write_mtok" in prices or "cache_write_5m_mtok" in prices
    return ("cache_write_1h_mtok",) if writes_are_priced else ("cache_write_1h_mtok", "input_mtok")


def _searches(prices: Prices, searches: int) -> Decimal | None:
    if not searches:
        return Decimal(0)
    rate = _rate(prices, ("web_searches_kcount",), 0)
    return None if rate is None else rate * searches / _THOUSAND


def _within(tokens: Decimal | None, searches: Decimal | None) -> Decimal | None:
    """The sum to the eighth decimal, if both parts are known and it is a sum that somebody could owe."""
    if tokens is None or searches is None or tokens + searches > MOST:
        return None
    return (tokens + searches).quantize(_STEP)


# --- what the usage object says beside the tokens -----------------------------------------------------------


class _Tools(msgspec.Struct):
    web_search_requests: int | None = None


class _Details(msgspec.Struct):
    audio_tokens: int | None = None


class _Extras(msgspec.Struct):
    speed: str | None = None
    server_tool_use: _Tools | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None

    @property
    def searches(self) -> int:
        """Searches on the web, billed one by one."""
        found = self.server_tool_use.web_search_requests if self.server_tool_use else 0
        return max(0, found or 0)

    @property
    def has_audio(self) -> bool:
        """Whether some of the tokens are sound."""
        parts = (self.prompt_tokens_details, self.completion_tokens_details)
        return any(part is not None and part.audio_tokens for part in parts)


_extras_decoder = msgspec.json.Decoder(_Extras)


def _extras(raw: bytes) -> _Extras:
    """What an odd usage object does not say is absent."""
    try:
        return _extras_decoder.decode(raw) if raw else _Extras()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Extras()
