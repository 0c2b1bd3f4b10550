"""Sessions: which there were, and what became of one, turn by turn."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase

from analytics.bodies.store import read_body
from analytics.models import Body, SessionRow
from analytics.pages.cache_busters import Change, first_change
from analytics.pages.cache_losses import CacheLoss, cache_losses
from analytics.pages.frame import show, staff_page
from analytics.pages.session_queries import known_keys, sessions_page_of, turns_of
from analytics.pages.session_timeline import timeline
from analytics.pages.session_tree import Node, tree_of
from analytics.usage_sums import session_sums

LOOKED_AT = 2  # losses whose bodies are compared: each takes four queries
SHOWN_LOSSES = 20


@staff_page
def sessions_page(request: HttpRequest) -> HttpResponseBase:
    """The list, the one that was active last first."""
    text, key = request.GET.get("q", "").strip(), request.GET.get("key", "")
    found = sessions_page_of(text, key, request.GET.get("before", ""))
    context = {"found": found, "q": text, "key": key, "keys": known_keys()}
    return show(request, "dashboard/sessions.html", "sessions", context)


@staff_page
def session_page(request: HttpRequest, id: str) -> HttpResponseBase:
    """One session."""
    turns, older = turns_of(id, request.GET.get("before", ""))
    row = SessionRow.objects.filter(pk=id).first()
    if row is None and not turns:
        raise Http404
    root = tree_of(turns)
    context = {
        "id": id,
        "row": row,
        "sums": session_sums(row) if row else root.all,
        "root": root,
        "nodes": [node for node in root.walk() if node.turns],
        "timeline": timeline(root),
        "losses": told_losses(root),
        "older": older,
        "shown": len(turns),
    }
    return show(request, "dashboard/session.html", "sessions", context)


@dataclass(frozen=True, slots=True)
class ToldLoss:
    """A loss with what the bodies say about it. `has_bodies`: None when they were not looked at."""

    loss: CacheLoss
    agent: str
    change: Change | None = None
    has_bodies: bool | None = None


def told_losses(root: Node) -> list[ToldLoss]:
    """The turns that missed the cache, those that lost most first; of the dearest unexplained ones what had changed."""
    found = [(loss, node.name) for node in root.walk() for loss in cache_losses(node.turns)]
    found.sort(key=lambda pair: -pair[0].lost)
    unexplained = [loss for loss, _ in found if not loss.cause][:LOOKED_AT]
    return [_told(loss, agent, loss in unexplained) for loss, agent in found[:SHOWN_LOSSES]]


def _told(loss: CacheLoss, agent: str, is_looked_at: bool) -> ToldLoss:
    if not is_looked_at:
        return ToldLoss(loss, agent)
    bodies = [read_body(turn.id, Body.REQUEST) for turn in (loss.before, loss.turn)]
    before, after = bodies
    if before is None or after is None or before.is_cut or after.is_cut:
        return ToldLoss(loss, agent, has_bodies=False)
    return ToldLoss(loss, agent, first_change(before.content, after.content), has_bodies=True)
