"""The operator's prices between the rows and those who ask for them."""

from __future__ import annotations

from backends.price_models import PriceOverride
from backends.prices import Price, PriceBook


def load_prices() -> PriceBook:
    """Every stored price. One query."""
    rows = PriceOverride.objects.select_related("backend")
    return PriceBook([price_of(row) for row in rows])


def price_of(row: PriceOverride) -> Price:
    """One row as it is asked for."""
    return Price(
        model=row.model,
        since=row.since,
        input=row.input,
        cache_read=row.cache_read,
        cache_write_5m=row.cache_write_5m,
        cache_write_1h=row.cache_write_1h,
        output=row.output,
        backend=row.backend.name.lower() if row.backend else "",
    )
