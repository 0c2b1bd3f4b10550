from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from accounts.key_listing import limits_line, list_keys
from accounts.key_services import key_add, key_revoke, key_set, key_status, parse_budget
from accounts.key_use import KeyLimits, Period
from accounts.models import ClientKey, KeySpend
from accounts.snapshot import load_snapshot
from backends.services import ServiceError

pytestmark = pytest.mark.django_db


def test_a_client_key_is_shown_once_and_stored_as_a_hash() -> None:
    row, key = key_add("laptop", ("gpt-*",), "90d")
    assert key.startswith("pb-")
    assert key not in " ".join(str(value) for value in ClientKey.objects.values_list()[0])
    assert row.expires_at is not None
    assert timedelta(days=89) < row.expires_at - timezone.now() <= timedelta(days=90)


def test_client_keys_end_by_revocation_and_by_time() -> None:
    row, _ = key_add("laptop", expires="1h")
    now = timezone.now()
    assert key_status(row, now) == "active"
    assert key_status(row, now + timedelta(hours=2)) == "expired"
    assert key_status(key_revoke("laptop"), now) == "revoked"
    with pytest.raises(ServiceError, match="laptop"):
        key_revoke("nobody")


@pytest.mark.parametrize(("name", "expires"), [("a b", ""), ("x", "soon"), ("x", "0d")])
def test_a_refused_client_key_leaves_no_row(name: str, expires: str) -> None:
    with pytest.raises(ServiceError):
        key_add(name, (), expires)
    assert not ClientKey.objects.exists()


# --- limits --------------------------------------------------------------------------------------------------


def test_limits_arrive_in_the_snapshot() -> None:
    row, _ = key_add("ci", rpm="60", tpm="100000", budget="0.50/day")
    key_add("free")
    found = {config.name: config.limits for config in load_snapshot().client_keys.values()}
    assert found == {"ci": KeyLimits(row.pk, "ci", 60, 100_000, Decimal("0.50"), Period.DAY), "free": None}


def test_a_change_touches_only_what_it_names() -> None:
    key_add("ci", ("gpt-*",), "90d", rpm="60", budget="20/month")
    row = key_set("ci", tpm="1000")
    assert limits_line(row) == "60 requests/min, 1,000 tokens/min, $20.00/month"
    assert (row.model_globs, row.expires_at is None) == (["gpt-*"], False)
    row = key_set("ci", model_globs=("none",), expires="none", rpm="none", tpm="none", budget="none")
    assert limits_line(row) == ""
    assert (row.model_globs, row.expires_at) == ([], None)


def test_a_revoked_key_is_not_changed() -> None:
    key_add("ci")
    key_revoke("ci")
    with pytest.raises(ServiceError, match="revoked"):
        key_set("ci", rpm="5")


@pytest.mark.parametrize(
    ("text", "amount", "period"),
    [
        ("20", "20", "month"),
        ("$20/month", "20", "month"),
        (" 5 / week ", "5", "week"),
        (".5/DAY", "0.5", "day"),
        ("0.0001/day", "0.0001", "day"),
    ],
)
def test_budgets_are_read(text: str, amount: str, period: str) -> None:
    assert parse_budget(text) == (Decimal(amount), period)


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "20/year", "1e9", "nan", "0.00001/day", "20 EUR", "999999999", "\u0663"]
)
def test_what_is_no_budget_is_refused_with_the_way_to_write_one(text: str) -> None:
    with pytest.raises(ServiceError, match=r"Write 20/month, 5/week or 0\.50/day"):
        parse_budget(text)


@pytest.mark.parametrize(
    "limits", [{"rpm": "0"}, {"rpm": "many"}, {"tpm": "-1"}, {"tpm": "1.5"}, {"budget": "x"}]
)
def test_refused_limits_change_nothing(limits: dict[str, str]) -> None:
    key_add("ci", rpm="60")
    with pytest.raises(ServiceError):
        key_set("ci", **limits)
    with pytest.raises(ServiceError):
        key_add("other", **limits)
    assert limits_line(ClientKey.objects.get()) == "60 requests/min"


@pytest.mark.parametrize("amount", ["0", "-1"])
def test_a_budget_of_nothing_is_refused_wherever_it_comes_from(amount: str) -> None:
    row, _ = key_add("ci")
    row.budget = Decimal(amount)
    with pytest.raises(ValidationError, match="revoke"):
        row.full_clean()


def test_a_listing_tells_what_was_spent_in_the_period() -> None:
    row, _ = key_add("ci", budget="5/week")
    now = timezone.now().replace(year=2026, month=11, day=22, hour=12)
    for day, amount in (("2026-11-15", "4"), ("2026-11-16", "1.25"), ("2026-11-22", "0.75")):
        KeySpend.objects.create(key=row, period=day, amount=Decimal(amount))
    [listed] = list_keys([row], now)
    assert listed.budget_line == "$2.00 of $5.00 this week"
    assert (listed.left, f"{listed.since:%m-%d}", f"{listed.until:%m-%d}") == (Decimal(3), "11-16", "11-23")
    KeySpend.objects.create(key=row, period="2026-11-20", amount=Decimal(9))
    assert list_keys([row], now)[0].left == 0
