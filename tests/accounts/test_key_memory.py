"""The ledger of client keys, on real SQLite files: what is kept, over restarts, failures and other processes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal

import pytest
from django.db import connection, connections

from accounts.key_limits import LocalKeyLimits
from accounts.key_memory import KeyMemory, add_up, recall_keys
from accounts.key_services import key_add
from accounts.key_use import KeyLimits, Period, day_number
from accounts.models import ClientKey, KeySpend
from backends.models import ConfigVersion
from backends.tasks import in_database_thread

pytestmark = pytest.mark.django_db(transaction=True)
TODAY = day_number("2026-11-22")
NOON = TODAY * 86_400 + 43_200.0
DOLLAR = Decimal(1)


@pytest.fixture(autouse=True)
def _clean_up() -> Iterator[None]:
    """The thread that is kept for the database has a connection of its own."""
    yield
    asyncio.run(in_database_thread(connections.close_all))


@pytest.fixture
def key() -> ClientKey:
    return key_add("ci", budget="20/week")[0]


def fresh() -> LocalKeyLimits:
    return LocalKeyLimits(wall=lambda: NOON)


def own(key: ClientKey) -> KeyLimits:
    return KeyLimits(key.pk, key.name, budget=Decimal(20), period=Period.WEEK)


def rows() -> list[tuple[str, Decimal]]:
    return list(KeySpend.objects.values_list("period", "amount"))


def test_what_was_spent_is_known_after_a_restart(key: ClientKey) -> None:
    limits = fresh()
    asyncio.run(limits.reserve(own(key), 0, DOLLAR)).settle(0, Decimal("0.12345678"))
    KeyMemory(limits).write_now()
    restarted = fresh()
    recall_keys(restarted)
    assert restarted.remaining(own(key)) == Decimal("19.87654322")
    assert rows() == [("2026-11-22", Decimal("0.12345678"))]


def test_a_week_is_the_sum_of_its_days_and_nothing_before(key: ClientKey) -> None:
    for day in ("2026-11-15", "2026-11-16", "2026-11-21"):
        KeySpend.objects.create(key=key, period=day, amount=DOLLAR)
    limits = fresh()
    recall_keys(limits)
    assert limits.remaining(own(key)) == 18


def test_only_amounts_are_added_so_processes_can_share_the_ledger(key: ClientKey) -> None:
    here, there = fresh(), fresh()
    here.spend(key.pk, DOLLAR)
    there.spend(key.pk, DOLLAR)
    KeyMemory(here).write_now()
    asyncio.run(KeyMemory(there).write())
    assert rows() == [("2026-11-22", Decimal(2))]
    assert there.remaining(own(key)) == 18, "after writing, the counter says what the ledger says"


def test_what_comes_while_the_ledger_is_written_is_not_lost(key: ClientKey) -> None:
    limits = fresh()

    async def both() -> None:
        limits.spend(key.pk, DOLLAR)
        writing = asyncio.create_task(KeyMemory(limits).write())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not limits.unsaved, "the first amount is on its way"
        limits.spend(key.pk, DOLLAR)
        await writing
        assert limits.remaining(own(key)) == 18
        await KeyMemory(limits).write()

    asyncio.run(both())
    assert rows() == [("2026-11-22", Decimal(2))]


def test_a_write_that_nobody_waits_for_any_more_is_not_made_twice(key: ClientKey) -> None:
    limits = fresh()

    async def interrupted() -> None:
        memory = KeyMemory(limits)
        limits.spend(key.pk, DOLLAR)
        keeping = asyncio.create_task(memory.write())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        keeping.cancel()
        limits.spend(key.pk, DOLLAR)
        await memory.finish()

    asyncio.run(interrupted())
    assert not limits.unsaved
    assert rows() == [("2026-11-22", Decimal(2))]


def test_what_cannot_be_written_is_written_later(key: ClientKey, caplog: pytest.LogCaptureFixture) -> None:
    limits = fresh()
    memory = KeyMemory(limits)
    limits.spend(key.pk, DOLLAR)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE accounts_keyspend RENAME TO hidden")
    try:
        asyncio.run(memory.write())
        asyncio.run(memory.write())
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE hidden RENAME TO accounts_keyspend")
    assert caplog.text.count("cannot be stored now") == 1
    assert limits.remaining(own(key)) == 19
    asyncio.run(memory.write())
    assert rows() == [("2026-11-22", DOLLAR)]


def test_a_key_that_is_gone_stops_nobody_else(key: ClientKey) -> None:
    gone = key_add("gone")[0]
    number = gone.pk
    gone.delete()
    add_up({(number, TODAY): DOLLAR, (key.pk, TODAY): DOLLAR})
    assert KeySpend.objects.get().key == key


def test_spending_does_not_move_the_configuration(key: ClientKey) -> None:
    before = ConfigVersion.current()
    add_up({(key.pk, TODAY): DOLLAR})
    assert ConfigVersion.current() == before
