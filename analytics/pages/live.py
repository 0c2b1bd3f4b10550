"""The live page, and stopping what it shows. The page's data come over `/ws/live`."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_POST

from analytics.drafts import Outcome
from analytics.live.hub import hub
from analytics.pages.facet_choices import choices
from analytics.pages.frame import needs, show, staff_page


@staff_page
def live_page(request: HttpRequest) -> HttpResponseBase:
    """An empty frame: the page's script fills it."""
    outcomes = [outcome.value for outcome in Outcome]
    return show(request, "dashboard/live.html", "live", {"choices": choices(), "outcomes": outcomes})


@require_POST
@staff_page
@needs("accounts.change_account")
def live_stop(request: HttpRequest, id: str) -> HttpResponseBase:
    """End a running request. `stopped` is false when it is not running any more, or where nobody can reach it."""
    try:
        is_stopped = hub.stop_from_thread(id)
    except TimeoutError:
        is_stopped = False
    if is_stopped:
        return JsonResponse({"stopped": True})
    message = "It was not stopped: it has just ended, or it runs in another process that does not answer over Redis."
    return JsonResponse({"stopped": False, "message": message}, status=409)
