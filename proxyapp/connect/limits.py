"""How much a model can read, where that is publicly known."""

from __future__ import annotations

from functools import cache


@cache
def context_window(model: str) -> int | None:
    """Tokens, by the public tables of genai-prices; None for a model that is not in them.

    A `backend:model` name counts as the model. Of an alias nothing is known.
    """
    from genai_prices.data_snapshot import get_snapshot  # takes a moment; only some tools need it

    for name in dict.fromkeys((model, model.partition(":")[2])):
        try:
            return get_snapshot().find_provider_model(name, None, None, None)[1].context_window
        except (LookupError, ValueError):
            continue
    return None
