"""The operator's prices: in new records, and in old ones once they are asked for."""

from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.snapshot import keeper
from analytics.drafts import Outcome
from analytics.models import RequestRecord, SessionRow, UsageDay, UsageHour
from analytics.pricing import cost_of, estimate_cost
from analytics.recorder import Recorder
from backends.models import Backend, PriceOverride
from backends.price_services import load_prices
from backends.prices import Price, PriceBook
from backends.wire.usage import Usage
from tests.analytics.ledgers import AT, USAGE, draft, kept_sums, session_sums, slow_sums

database = pytest.mark.django_db(databases=["default", "history"], transaction=True)
SINCE = date(2026, 1, 1)


def book(**prices: str) -> PriceBook:
    return PriceBook([Price("*", SINCE, **{name: Decimal(value) for name, value in prices.items()})])  # type: ignore[arg-type]


def own(usage: Usage, **prices: str) -> Decimal | None:
    return cost_of("llama3", "ollama", usage, AT, backend="ollama", own=book(**prices))


def test_own_prices_by_hand() -> None:
    # 1000 fresh at 1, 100 read at 0.1, 20 and 10 written at 2 and 4, 200 out at 5
    full = {"input": "1", "cache_read": "0.1", "cache_write_5m": "2", "cache_write_1h": "4", "output": "5"}
    assert own(USAGE, **full) == Decimal("0.00209")
    # all 1130 input tokens at 1
    assert own(USAGE, input="1", output="5") == Decimal("0.00213")
    assert own(USAGE, input="0", output="0") == Decimal(0)
    assert own(USAGE, input="1") is None
    assert own(USAGE, output="1") is None
    assert own(Usage(5, 0, 0, 0, 0, 0, b""), input="1") == Decimal("0.000005")


def test_own_prices_go_before_the_list_and_searches_stay_the_lists() -> None:
    prices = book(input="1", output="1")
    assert cost_of("gpt-4o", "openai", USAGE, AT, backend="openai", own=prices) == Decimal("0.00133")
    assert estimate_cost("gpt-4o", "openai", 1000, 1000, own=prices) == Decimal("0.002")
    searched = Usage(1000, 0, 0, 0, 0, 0, b'{"server_tool_use":{"web_search_requests":3}}')
    assert cost_of("claude-haiku-4-5", "anthropic", searched, AT, own=prices) == Decimal("0.031")
    assert cost_of("llama3", "ollama", searched, AT, own=prices) is None


def run(*words: str) -> Any:
    out = StringIO()
    call_command("recost", *words, "--json", stdout=out)
    return json.loads(out.getvalue())


def write_unpriced() -> None:
    recorder = Recorder()
    for days in range(3):
        at = AT + timedelta(days=days)
        recorder.record(draft(provider="", backend="mine", model_used="llama3", at=at))
        recorder.record(draft(at=at, session=f"own{days}"))
        recorder.record(draft(Outcome.CANCELLED, provider="", backend="mine", usage_is_final=False, at=at))
        recorder.record(draft(Outcome.ERROR, usage=None, at=at))
    assert recorder.flush()


@database
def test_new_records_have_the_operators_price() -> None:
    PriceOverride.objects.create(model="llama3", since=SINCE, input=Decimal(1), output=Decimal(5))
    recorder = Recorder(prices=lambda: keeper.reload().prices)
    recorder.record(draft(provider="", backend="mine", model_used="llama3"))
    assert recorder.flush()
    row = RequestRecord.objects.get()
    assert (row.cost, row.cost_source) == (Decimal("0.00213"), "priced")


@database
def test_old_records_get_it_when_asked_and_the_sums_follow() -> None:
    write_unpriced()
    listed = RequestRecord.objects.get(session="own0").cost
    PriceOverride.objects.create(model="llama3", since=SINCE, input=Decimal(1), output=Decimal(5))
    told = run("--since", "2026-11-21", "--dry-run")
    assert (told["dryRun"], told["changed"], told["nowPriced"]) == (True, 2, 2)
    assert not RequestRecord.objects.filter(model_used="llama3", cost__isnull=False).exists()
    assert run("--since", "2026-11-21") == told | {"dryRun": False}
    assert RequestRecord.objects.filter(cost=Decimal("0.00213"), cost_source="priced").count() == 2
    assert kept_sums() == kept_sums(UsageHour) == slow_sums()
    assert SessionRow.objects.get(pk="s1").cost == Decimal("0.00426")
    assert RequestRecord.objects.get(session="own0").cost == listed
    assert run("--since", "2026-11-21")["changed"] == 0


@database
def test_a_backend_made_from_a_known_provider_later_counts_as_that() -> None:
    write_unpriced()
    Backend.objects.create(name="mine", base_url="https://api.openai.com/v1", preset="openai")
    told = run("--model", "GPT-4*")
    assert (told["changed"], told["models"]) == (3, {"gpt-4o": 3})
    row = RequestRecord.objects.filter(outcome="cancelled").first()
    assert row is not None
    assert row.cost_source == "estimated"
    assert kept_sums() == slow_sums()


@database
def test_a_price_that_is_taken_back_leaves_records_unpriced() -> None:
    PriceOverride.objects.create(model="llama3", since=SINCE, input=Decimal(1), output=Decimal(5))
    recorder = Recorder(prices=load_prices)
    recorder.record(draft(provider="", backend="mine", model_used="llama3"))
    assert recorder.flush()
    PriceOverride.objects.all().delete()
    told = run()
    assert (told["nowUnpriced"], told["costAfter"]) == (1, 0)
    row = RequestRecord.objects.get()
    assert (row.cost, row.cost_source) == (None, "unpriced")
    assert kept_sums() == slow_sums()
    assert session_sums()["s1"]["unpriced"] == 1


@database
def test_sums_that_were_deleted_stay_deleted() -> None:
    write_unpriced()
    UsageHour.objects.all().delete()
    PriceOverride.objects.create(model="*", since=SINCE, input=Decimal(1), output=Decimal(5))
    assert run()["changed"] == 9
    assert not UsageHour.objects.exists()
    assert kept_sums() == slow_sums()
    assert UsageDay.objects.filter(unpriced__gt=0).count() == 0


@database
def test_more_records_than_fit_a_batch() -> None:
    recorder = Recorder()
    for _ in range(1203):
        recorder.record(draft(provider="", backend="mine", model_used="llama3"))
    while recorder.waiting:
        assert recorder.flush()
    PriceOverride.objects.create(model="*", since=SINCE, input=Decimal(1), output=Decimal(5))
    assert (run()["requests"], run()["changed"]) == (1203, 0)
    assert kept_sums()["priced"] == 1203


@database
@pytest.mark.parametrize(
    "words", [("--since", "yesterday"), ("--since", "2026-11-02", "--until", "2026-11-01")]
)
def test_wrong_use_exits_2(words: tuple[str, ...]) -> None:
    with pytest.raises(CommandError) as caught:
        run(*words)
    assert caught.value.returncode == 2


@database
def test_people_read_what_changed() -> None:
    write_unpriced()
    PriceOverride.objects.create(model="llama3", since=SINCE, input=Decimal(1), output=Decimal(5))
    out = StringIO()
    call_command("recost", "--dry-run", stdout=out)
    assert out.getvalue().splitlines() == [
        "3 of 9 requests with usage would change.",
        "Their cost: $0.00 before, $0.00639 now.",
        "Priced now that were not: 3; the other way: 0.",
        "  llama3: 3",
    ]
