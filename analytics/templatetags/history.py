"""What admin pages show of the history."""

from __future__ import annotations

from django import template

from analytics.models import RequestRecord
from analytics.queries import Today, today
from analytics.rows import model_text

register = template.Library()


@register.simple_tag
def history_today() -> Today:
    """Today's numbers and the last failures."""
    return today()


@register.filter
def model_of(row: RequestRecord) -> str:
    """Asked, and used where it differs."""
    return model_text(row)


@register.filter
def percent(share: float | None) -> str:
    """0.034 as 3.4 %; a dash for nothing."""
    return "-" if share is None else f"{share * 100:.1f} %"
