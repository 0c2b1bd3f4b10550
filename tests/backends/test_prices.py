"""Which of the operator's prices holds."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.test import Client

from accounts.snapshot import load_snapshot
from backends.models import Backend, ConfigVersion, PriceOverride
from backends.prices import NO_PRICES, Price, PriceBook

DAY = date(2026, 11, 20)


def price(model: str, dollars: int, since: date = date(2026, 1, 1), backend: str = "") -> Price:
    return Price(model, since, input=Decimal(dollars), backend=backend)


def found(
    book: PriceBook, model: str = "llama3:8b", backend: str = "Ollama", day: date = DAY
) -> Decimal | None:
    match = book.find(backend, model, day)
    return match.input if match else None


def test_the_most_particular_price_holds() -> None:
    every, family, exact = price("*", 1), price("llama3*", 2), price("llama3:8b", 3)
    here = price("*", 4, backend="ollama")
    assert found(PriceBook([every])) == 1
    assert found(PriceBook([every, family])) == 2
    assert found(PriceBook([every, exact, family])) == 3
    assert found(PriceBook([exact, here])) == 4
    assert found(PriceBook([exact, here]), backend="other") == 3
    assert found(PriceBook([exact]), model=" LLaMA3:8B ") == 3
    assert found(PriceBook([family]), model="qwen") is None
    assert found(NO_PRICES) is None


def test_the_newest_price_that_has_begun_holds() -> None:
    book = PriceBook([price("*", 1), price("*", 2, date(2026, 11, 1)), price("*", 3, date(2026, 12, 1))])
    assert [
        found(book, day=day) for day in (date(2025, 1, 1), date(2026, 10, 31), DAY, date(2027, 1, 1))
    ] == [
        *(None, 1, 2, 3),
    ]


def test_before_a_particular_price_begins_a_general_one_holds() -> None:
    book = PriceBook([price("*", 1), price("llama3*", 2, date(2026, 12, 1))])
    assert found(book) == 1


@pytest.mark.django_db(databases=["default", "history"])
def test_a_saved_price_is_in_the_next_snapshot() -> None:
    before = ConfigVersion.current()
    backend = Backend.objects.create(name="Ollama", base_url="http://127.0.0.1:11434/v1")
    row = PriceOverride(model=" LLama3* ", since=DAY, input=Decimal("0.5"), backend=backend)
    row.full_clean()
    row.save()
    assert ConfigVersion.current() > before
    prices = load_snapshot().prices
    assert prices.find("ollama", "llama3:8b", DAY) == Price("llama3*", DAY, Decimal("0.5"), backend="ollama")
    with pytest.raises(ValidationError):
        PriceOverride(model="llama3*", since=DAY, output=Decimal(1), backend=backend).full_clean()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "fields",
    [
        {"model": ""},
        {"model": "two words"},
        {"input": None},
        {"input": Decimal(-1)},
    ],
)
def test_prices_that_make_no_sense_are_refused(fields: dict[str, object]) -> None:
    row = PriceOverride(**({"model": "m", "since": DAY, "input": Decimal(1)} | fields))  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        row.full_clean()


@pytest.mark.django_db(databases=["default", "history"])
def test_the_admin_says_that_recorded_requests_keep_their_cost() -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("ann", password=None))
    form = {"model": " Llama3*", "since": "2026-11-01", "input": "0.5", "output": "", "note": "own hardware"}
    saved = client.post("/admin/backends/priceoverride/add/", form, follow=True)
    assert b"recost --since 2026-11-01" in saved.content
    assert PriceOverride.objects.get().model == "llama3*"
    assert b"every backend" in client.get("/admin/backends/priceoverride/").content
    refused = client.post("/admin/backends/priceoverride/add/", form | {"input": ""})
    assert b"Give a price for input or for output." in refused.content
    again = client.post("/admin/backends/priceoverride/add/", form)
    assert again.status_code == 200
    assert PriceOverride.objects.count() == 1
