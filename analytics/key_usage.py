"""What each client key has asked for, from the history. Nothing here writes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Count, Max, Q, Sum
from django.db.models.functions import Coalesce

from analytics.drafts import Outcome
from analytics.models import RequestRecord
from analytics.pricing import CostSource

_INPUT = (
    Coalesce("fresh_input_tokens", 0)
    + Coalesce("cache_read_tokens", 0)
    + Coalesce("cache_write_5m_tokens", 0)
    + Coalesce("cache_write_1h_tokens", 0)
)
_IS_REJECTED = Q(outcome=Outcome.REJECTED.value)


@dataclass(frozen=True, slots=True)
class KeyUsage:
    """The sums over one key's records. `refused`: those that never got as far as an upstream; they are no `requests`.

    `input_tokens` includes cache reads and writes; `cost` (US dollars) is None when nothing could be priced.
    """

    requests: int = 0
    refused: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal | None = None
    unpriced: int = 0
    last_used_at: datetime | None = None


NOT_USED = KeyUsage()


def usage_of_keys(names: Iterable[str], since: datetime) -> dict[str, KeyUsage]:
    """By name; keys without a record since then are missing."""
    rows = (
        RequestRecord.objects.filter(started_at__gte=since, key__in=list(names))
        .order_by()
        .values("key")
        .annotate(
            requests=Count("pk", filter=~_IS_REJECTED),
            refused=Count("pk", filter=_IS_REJECTED),
            output=Coalesce(Sum("output_tokens"), 0),
            priced=Sum("cost"),
            unpriced=Count("pk", filter=Q(cost_source=CostSource.UNPRICED.value)),
            last_used_at=Max("started_at"),
            inputs=Coalesce(Sum(_INPUT), 0),
        )
    )
    return {
        row["key"]: KeyUsage(
            row["requests"],
            row["refused"],
            row["inputs"],
            row["output"],
            row["priced"],
            row["unpriced"],
            row["last_used_at"],
        )
        for row in rows
    }
