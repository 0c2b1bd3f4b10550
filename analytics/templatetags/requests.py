"""Filters of the pages about requests."""

from __future__ import annotations

import json

from django import template

register = template.Library()


@register.filter
def cause(error: str) -> str:
    """What an error says: of a provider's JSON its message, all else as it is."""
    if not error.startswith("{"):
        return error
    try:
        found = json.loads(error)
    except (ValueError, RecursionError):  # its beginning only was kept, or it only looks like JSON
        return error
    inner = found.get("error", found)
    message = inner.get("message") if isinstance(inner, dict) else inner
    return message if isinstance(message, str) and message else error
