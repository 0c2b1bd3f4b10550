"""Pages of the history by key: any page costs the same, however far back it lies and whatever is filtered.

Rule: a page reads through the index of one column (the *driver*) and looks at no more than SCAN_ROWS rows in it.
When that did not fill the page, its `next` goes on where the search stopped, and `searched_to` says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Coalesce
from django.db.models.lookups import Exact

from analytics.models import RequestRecord

SCAN_ROWS = 20_000
PREFERRED = ("session", "model_used", "model_asked", "key", "account", "backend", "alarm", "outcome")
Condition = Q | Exact
_Position = tuple[datetime, str]


class BadFilter(ValueError):
    """A filter value that cannot match anything. The text says what it takes."""


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, newest first. `next`: the cursor of what lies behind, "" when that is nothing.

    `searched_to`: the page is short because the search stopped there, not because there is no more.
    """

    rows: list[RequestRecord]
    next: str = ""
    searched_to: datetime | None = None


@dataclass(frozen=True)
class Branch:
    """Rows that one index finds: `driver` are its exact values, empty for the index of all rows by time.

    `narrow`: so few rows that they need no bound.
    """

    driver: Q = field(default_factory=Q)
    rest: Sequence[Condition] = ()
    narrow: bool = False

    @property
    def conditions(self) -> list[Condition]:
        """All of them."""
        return [self.driver, *self.rest]


def drivers() -> list[str]:
    """The columns with an index by time, those that leave the fewest rows first."""
    listed = [index.fields for index in RequestRecord._meta.indexes]
    indexed = {names[0] for names in listed if names[1:] == ["-started_at"]}
    return [column for column in PREFERRED if column in indexed]


def branch(exact: Mapping[str, str], rest: Iterable[Condition]) -> Branch:
    """A branch for these exact values and conditions."""
    chosen = [column for column in drivers() if column in exact][:1]
    others = [passive(column, value) for column, value in exact.items() if column not in chosen]
    return Branch(Q(**{column: exact[column] for column in chosen}), [*others, *rest])


def passive(column: str, value: str | bool) -> Condition:
    """`column = value` that no index serves, so that the database goes by the driver and by nothing else."""
    default: str | bool = "" if isinstance(value, str) else False
    return Exact(Coalesce(F(column), Value(default)), Value(value))


def cursor_of(position: _Position) -> str:
    """A position as text for a URL."""
    moment, id_ = position
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%S.%f}~{id_}"


def position_of(cursor: str) -> _Position:
    """The other way. Raises BadFilter."""
    moment, _, id_ = cursor.partition("~")
    try:
        return datetime.strptime(moment, "%Y%m%dT%H%M%S.%f").replace(tzinfo=UTC), id_
    except ValueError:
        raise BadFilter(f"{cursor!r} is no place in the history. Take it from the page before.") from None


def read_page(branches: Sequence[Branch], within: Q, before: str, limit: int, scan: int = SCAN_ROWS) -> Page:
    """The newest `limit` rows of all branches behind the cursor `before` ("": from the newest). Raises BadFilter.

    `scan`: how many rows it looks at in all.
    """
    base = RequestRecord.objects.filter(within)
    if before:
        base = base.filter(_behind(position_of(before)))
    found: dict[str, RequestRecord] = {}
    stops: list[datetime] = []
    for branch in branches:
        rows, stop = _read(base, branch, limit + 1, max(1, scan // len(branches)))
        found.update((row.id, row) for row in rows)
        stops += [stop] if stop else []
    return _page(list(found.values()), max(stops, default=None), limit)


def _read(
    base: QuerySet[RequestRecord], branch: Branch, count: int, scan: int
) -> tuple[list[RequestRecord], datetime | None]:
    """Its newest rows, and how far back it looked if it neither found enough nor came to the end."""
    driven = base.filter(branch.driver).order_by("-started_at", "-id")
    rows, stop = driven.filter(*branch.rest), None
    if branch.rest and not branch.narrow:
        stop = driven.order_by("-started_at").values_list("started_at", flat=True)[scan : scan + 1].first()
    if stop is not None:
        rows = rows.filter(started_at__gte=stop)
    found = list(rows[:count])
    return found, (stop if len(found) < count else None)


def _page(rows: list[RequestRecord], stop: datetime | None, limit: int) -> Page:
    """Of several branches only what all of them have looked at: the rest comes with a later page."""
    rows.sort(key=_position, reverse=True)
    seen = [row for row in rows if stop is None or row.started_at >= stop]
    if len(seen) > limit:
        return Page(seen[:limit], cursor_of(_position(seen[limit - 1])))
    if stop is not None:
        return Page(seen, cursor_of((stop, "")), stop)
    return Page(seen)


def _position(row: RequestRecord) -> _Position:
    return row.started_at, row.id


def _behind(position: _Position) -> Q:
    """Spelled so that the first part bounds the walk along an index."""
    moment, id_ = position
    return Q(started_at__lte=moment) & (Q(started_at__lt=moment) | Q(id__lt=id_))
