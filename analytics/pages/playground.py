"""The playground's page: a form and up to four answers side by side. Its requests go to `/dashboard/playground/run`."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from accounts.snapshot import Snapshot, keeper
from analytics.bodies.store import read_body
from analytics.models import Body, RequestRecord
from analytics.pages.body_view import answer_parts, request_json
from analytics.pages.frame import needs, show, staff_page
from analytics.queries import find_record
from analytics.rows import record_json
from backends.wire.kinds import Kind

KINDS = {
    Kind.CHAT.value: "OpenAI chat",
    Kind.MESSAGES.value: "Anthropic messages",
    Kind.RESPONSES.value: "OpenAI responses",
}
MOST_SIDES = 4


@staff_page
@needs("accounts.change_account")
def playground_page(request: HttpRequest) -> HttpResponseBase:
    """A form; with `?replay=` a past request whose body was kept, beside the answer that it got."""
    snapshot, asked = keeper.current, request.GET.get("replay", "")
    replay = _replay(find_record(asked)) if asked else None
    names = model_names(snapshot)
    context = {
        "kinds": KINDS,
        "models": names,
        "accounts": sorted(account.alias for pool in snapshot.pools.values() for account in pool),
        "is_missing": bool(asked) and replay is None,
        "replay": replay,
        "data": {"replay": replay, "most": MOST_SIDES, "first": names[0] if names else ""},
    }
    return show(request, "dashboard/playground.html", "playground", context)


def model_names(snapshot: Snapshot) -> list[str]:
    """Every name that can be asked for: aliases, and each backend's models behind its name."""
    routing = snapshot.routing
    listed = [
        f"{name}:{entry.model}" for name, found in routing.backends.items() for entry in found.offered()
    ]
    return [*routing.aliases, *listed]


def _replay(row: RequestRecord | None) -> dict[str, Any] | None:
    """The request and its answer as they were kept; None unless the whole body was."""
    if row is None or row.kind not in KINDS:
        return None
    sent, answer = read_body(row.id, Body.REQUEST), read_body(row.id, Body.RESPONSE)
    body = request_json(sent.content) if sent is not None and not sent.is_cut else None
    if body is None:
        return None
    kind, parts = Kind(row.kind), []
    if answer is not None:
        parts = answer_parts(kind, answer.content, is_stream="event-stream" in answer.content_type)
    text = "\n\n".join(part.text for part in parts if part.what == "text")
    return {
        "kind": row.kind,
        "body": body,
        "record": record_json(row),
        "answer": text,
        "isKept": answer is not None,
    }
