"""Tags and filters of the dashboard's templates: the navigation, and figures as people read them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlencode

from django import template
from django.urls import reverse
from django.utils import timezone

from accounts.pool_view import AccountView
from analytics import figures
from analytics.drafts import Outcome
from analytics.models import RequestRecord
from analytics.pages.live_state import live_state
from analytics.pages.queries import Ranked, Spent, spent
from analytics.rows import cost_text
from backends.durations import how_long_ago, span

register = template.Library()

register.filter("money", figures.money)
register.filter("count", figures.count)
register.filter("duration", figures.duration)
register.filter("share", figures.percent)
register.filter("cost_of", figures.cost_of)
register.filter("unpriced_note", figures.unpriced_note)

_TONES = {
    Outcome.OK.value: "ok",
    Outcome.CANCELLED.value: "",
    Outcome.REJECTED.value: "warn",
    Outcome.TRUNCATED.value: "bad",
    Outcome.SHUTDOWN.value: "bad",
    Outcome.ERROR.value: "bad",
}


class Page(NamedTuple):
    """A place of the navigation. `page` is its URL's name; `icon` the path of an SVG of 16 by 16."""

    page: str
    label: str
    icon: str
    url: str = ""


PAGES = (
    Page("overview", "Overview", "M2 14V8.5h3V14zM6.5 14V2h3v12zM11 14V5.5h3V14z"),
    Page("live", "Live", "M1.5 8.5H4l2-5.5 3.5 10 2-4.5h3"),
    Page("requests", "Requests", "M2 3.5h12M2 8h12M2 12.5h7"),
    Page("sessions", "Sessions", "M2 2.5v11M2 5h4.5M2 11.5h4.5M8.5 3H14v4H8.5zM8.5 9.5H14v4H8.5z"),
    Page("accounts", "Accounts", "M2 12.5a6 6 0 1 1 12 0M8 12.5l3-4.5"),
    Page("routes", "Routes", "M2 8h3c3 0 2-4.5 5-4.5h4M5 8c3 0 2 4.5 5 4.5h4M12 1.5l2 2-2 2M12 10.5l2 2-2 2"),
    Page("playground", "Playground", "M4.5 2.5v11l9-5.5z"),
)


@register.simple_tag
def navigation() -> list[Page]:
    """The pages, in order."""
    return [page._replace(url=reverse(page.page)) for page in PAGES]


@register.filter
def tone(outcome: str) -> str:
    """The class of a tag that shows an outcome."""
    return _TONES.get(outcome, "bad")


@register.filter
def ago(moment: datetime | None) -> str:
    """`3 minutes ago`; a dash for None."""
    return figures.NOTHING if moment is None else how_long_ago(moment, timezone.now())


@register.filter
def ahead(moment: datetime | None) -> str:
    """`in 2h 5m`; a dash for None, `now` for what has passed."""
    if moment is None:
        return figures.NOTHING
    seconds = (moment - timezone.now()).total_seconds()
    return f"in {span(seconds)}" if seconds > 0 else "now"


@register.filter
def cost_word(row: RequestRecord) -> str:
    """What one request cost: `$0.0207`, `~$0.02` for an estimate, `unpriced`; a dash when nothing was served."""
    if row.cost is None:
        return cost_text(row) or figures.NOTHING
    about = "~" if row.cost_source == "estimated" else ""
    return about + figures.money(row.cost)


_STATUS_TONES = {"ready": "ok", "limited": "warn", "cooling": "warn", "paused": "", "expired": "bad"}


@register.filter
def status_tone(status: str) -> str:
    """The class of a tag that shows an account's status."""
    return _STATUS_TONES.get(status, "bad")


@register.filter
def plain(number: float) -> str:
    """A number for an attribute: no grouping, a point whatever the language."""
    return f"{number:g}"


@register.filter
def request_url(row: RequestRecord) -> str:
    """The page of one request."""
    return reverse("request", args=[row.pk])


@register.filter
def ranked_url(row: Ranked, column: str) -> str:
    """Where a line of a list leads: the requests that are counted in it, or the session."""
    if column == "session":
        return reverse("session", args=[row.name])
    return f"{reverse('requests')}?{urlencode({column: row.name})}"


@register.filter
def requests_url(value: str, column: str) -> str:
    """The list of requests that have a value in a column."""
    return f"{reverse('requests')}?{urlencode({column: value})}"


@register.filter
def hundred(share: float | None) -> str:
    """A share of 0..1 as 0..100 for an attribute."""
    return plain(round(100 * (share or 0.0), 1))


@register.filter
def cache_share(turn: RequestRecord) -> float | None:
    """The part of a request's input that was read from a cache; None without input."""
    total = turn.input_tokens
    return (turn.cache_read_tokens or 0) / total if total else None


@register.filter
def timedelta_words(time: timedelta) -> str:
    """`2h 5m`."""
    return span(time.total_seconds())


@register.simple_tag
def spent_so_far() -> Spent:
    """Money of this UTC day and month."""
    return spent(timezone.now())


@register.simple_tag
def account_views() -> list[AccountView]:
    """Every account as the pool sees it now."""
    return live_state().accounts
