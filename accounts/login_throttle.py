"""Slowing down password guessing at the admin: five failures of one name from one address, then a quarter of an hour.

Rule: by name and address together. By address alone one guesser would lock out everybody behind the same
proxy; by name alone anybody could lock the operator out. The peer's own address counts, never a header.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest

MAX_FAILURES = 5
LOCK_SECONDS = 15 * 60
MAX_ENTRIES = 10_000

Who = tuple[str, str]


@dataclass
class LoginThrottle:
    """Failures by (name, address), in this process. Bounded: the oldest entry makes room for a new one."""

    _failures: dict[Who, list[float]] = field(default_factory=dict)

    def seconds_left(self, who: Who) -> int:
        """How long this one has to wait; 0 if not at all."""
        recent = self._recent(who)
        if len(recent) < MAX_FAILURES:
            return 0
        return max(1, round(recent[-1] + LOCK_SECONDS - time.monotonic()))

    def failed(self, who: Who) -> None:
        """Count a failure."""
        recent = self._recent(who)
        self._failures.pop(who, None)
        while len(self._failures) >= MAX_ENTRIES:
            del self._failures[next(iter(self._failures))]
        self._failures[who] = [*recent, time.monotonic()][-MAX_FAILURES:]

    def succeeded(self, who: Who) -> None:
        """Forget the failures."""
        self._failures.pop(who, None)

    def clear(self) -> None:
        """Forget everything."""
        self._failures.clear()

    def _recent(self, who: Who) -> list[float]:
        since = time.monotonic() - LOCK_SECONDS
        return [moment for moment in self._failures.get(who, ()) if moment > since]


throttle = LoginThrottle()


class ThrottledLoginForm(AdminAuthenticationForm):
    """The admin's login form behind the throttle: while it is closed, not even the right password helps."""

    def clean(self) -> dict[str, Any]:
        """Check the throttle, then the password."""
        who = (str(self.cleaned_data.get("username", "")).lower(), peer_of(self.request))
        if wait := throttle.seconds_left(who):
            minutes = -(-wait // 60)
            raise ValidationError(
                f"Too many failed logins. Wait {minutes} minute{'s' if minutes > 1 else ''}, or use a one-time"
                " link: python manage.py createadmin",
                code="throttled",
            )
        try:
            data = super().clean()
        except ValidationError:
            throttle.failed(who)
            raise
        throttle.succeeded(who)
        return data


def peer_of(request: HttpRequest | None) -> str:
    """The address of the TCP peer."""
    return str(request.META.get("REMOTE_ADDR", "")) if request else ""
