"""Changing client keys: the one function behind command, admin button and endpoint."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.utils import timezone

from accounts.client_auth import KEY_PREFIX, digest_of, new_client_key
from accounts.key_use import Period
from accounts.models import ClientKey
from backends.durations import parse_duration
from backends.services import ServiceError, save_checked

_BUDGET = re.compile(r"\$?\s*([0-9]{1,8}(?:\.[0-9]{1,4})?|\.[0-9]{1,4})\s*(?:/\s*(day|week|month))?")
_NUMBER = re.compile(r"[0-9]{1,9}")
NONE = "none"  # takes a limit away


@transaction.atomic
def key_add(
    name: str,
    model_globs: tuple[str, ...] = (),
    expires: str = "",
    *,
    rpm: str = "",
    tpm: str = "",
    budget: str = "",
) -> tuple[ClientKey, str]:
    """Create a client key; the second value is the key itself, which is not kept. Raises ServiceError.

    `expires`: `90d`; `rpm`, `tpm`: requests and tokens a minute; `budget`: `20/month`. Empty: no limit.
    """
    if ClientKey.objects.filter(name=name).exists():
        raise ServiceError(f"Client key {name} exists. Revoke it, or choose another name.")
    row = ClientKey(name=name, model_globs=list(model_globs))
    _change(row, expires, rpm, tpm, budget)
    return row, key_issue(row)


@transaction.atomic
def key_set(
    name: str,
    *,
    model_globs: tuple[str, ...] | None = None,
    expires: str = "",
    rpm: str = "",
    tpm: str = "",
    budget: str = "",
) -> ClientKey:
    """Change what a client key may do; what is empty (`model_globs`: None) stays, `none` takes a limit away.

    Applies to the next request; what runs ends under the limits it began with. Raises ServiceError.
    """
    row = get_key(name)
    if row.revoked_at is not None:
        raise ServiceError(f"Client key {name} is revoked, and stays so. Make a new one: keys add NAME.")
    if model_globs is not None:
        row.model_globs = [] if model_globs == (NONE,) else list(model_globs)
    _change(row, expires, rpm, tpm, budget)
    save_checked(row)
    return row


def _change(row: ClientKey, expires: str, rpm: str, tpm: str, budget: str) -> None:
    if expires:
        row.expires_at = None if expires == NONE else parse_expiry(expires)
    if rpm:
        row.requests_per_minute = _number(rpm, "requests a minute")
    if tpm:
        row.tokens_per_minute = _number(tpm, "tokens a minute")
    if budget:
        row.budget, row.budget_period = (None, row.budget_period) if budget == NONE else parse_budget(budget)


def get_key(name: str) -> ClientKey:
    """The client key of this name. Raises ServiceError if there is none."""
    row = ClientKey.objects.filter(name=name).first()
    if row is None:
        names = ", ".join(ClientKey.objects.values_list("name", flat=True)) or "none yet"
        raise ServiceError(f"There is no client key {name!r}. Keys: {names}.")
    return row


def key_issue(row: ClientKey) -> str:
    """Give an unsaved row its key and save it. The key is returned once and not kept. Raises ServiceError."""
    key = new_client_key()
    row.prefix, row.digest = key[: len(KEY_PREFIX) + 4], digest_of(key)
    save_checked(row)
    return key


def key_revoke(name: str) -> ClientKey:
    """Make a key useless from the next request on; what runs goes on. Raises ServiceError if there is none."""
    row = get_key(name)
    if row.revoked_at is None:
        row.revoked_at = timezone.now()
        row.save(update_fields=["revoked_at"])
    return row


def key_status(row: ClientKey, moment: datetime) -> str:
    """`revoked`, `expired` or `active`."""
    if row.revoked_at is not None:
        return "revoked"
    return "active" if row.is_valid_at(moment) else "expired"


def parse_expiry(text: str) -> datetime:
    """`90d`, `12h`, `30m`, `2w` from now. Raises ServiceError."""
    duration = parse_duration(text)
    if duration is None:
        raise ServiceError(f"{text!r} is not a duration. Write 90d, 12h, 30m or 2w.")
    return timezone.now() + duration


def parse_budget(text: str) -> tuple[Decimal, str]:
    """`20/month`, `5/week`, `0.50/day` as US dollars and their period; `20` is a month's. Raises ServiceError."""
    match = _BUDGET.fullmatch(text.strip().lower())
    amount = Decimal(match[1]) if match else Decimal(0)
    if match is None or not amount:
        raise ServiceError(f"{text!r} is not a budget in US dollars. Write 20/month, 5/week or 0.50/day.")
    return amount, match[2] or Period.MONTH.value


def _number(text: str, what: str) -> int | None:
    """A limit; None for `none`."""
    if text == NONE:
        return None
    if not _NUMBER.fullmatch(text) or not int(text):
        raise ServiceError(f"{text!r} is not a number of {what}. Write a whole number above 0, or none.")
    return int(text)
