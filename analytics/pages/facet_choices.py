"""What filters offer: the names that records have in their columns, the ones seen last first."""

from __future__ import annotations

from analytics.models import Facet

COLUMNS = ("backend", "account", "key", "model_asked", "model_used", "client")
MOST = 100  # of one column
MOST_ROWS = 2000


def choices() -> dict[str, list[str]]:
    """By column; `model` has both names of models. One query."""
    found: dict[str, list[str]] = {column: [] for column in COLUMNS}
    rows = Facet.objects.filter(column__in=COLUMNS).order_by("-last_seen").values_list("column", "value")
    for column, value in rows[:MOST_ROWS]:
        if value and len(found[column]) < MOST:
            found[column].append(value)
    models = list(dict.fromkeys([*found["model_asked"], *found["model_used"]]))
    return {column: sorted(values) for column, values in found.items()} | {"model": sorted(models)}
