"""What the admin's page of an account shows of forecasts."""

from __future__ import annotations

from django import template
from django.utils import timezone

from accounts.models import Account
from analytics.forecasting.stored import foretold
from analytics.forecasting.words import Words, words_of

register = template.Library()


@register.simple_tag
def window_forecasts(account: Account) -> list[Words]:
    """The account's quotas in words."""
    now = timezone.now()
    return [words_of(found, now) for found in foretold(now, account)]
