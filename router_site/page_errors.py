"""What a page says when its request failed. The API has errors of its own."""

from __future__ import annotations

import sys

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.views.defaults import server_error

from analytics.refusal import is_unavailable


def failed(request: HttpRequest) -> HttpResponse:
    """503 and the reason when a database cannot be used, else Django's page: a row that it does not take is our fault.

    Called while the exception is handled.
    """
    exc = sys.exc_info()[1]
    if not isinstance(exc, DatabaseError) or not is_unavailable(exc):
        return server_error(request)
    why = str(exc).strip().partition("\n")[0]
    return HttpResponse(render_to_string("database_refused.html", {"why": why}), status=503)
