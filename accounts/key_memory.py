"""The ledger of client keys: the money that each has used by day, read at start and added to in the background.

Rule: the ledger is the truth. Only amounts are added to it, never a total, so several processes can share it; after
each addition the counters in memory are set to what it says. Nothing here is on a request's way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from django.db import DatabaseError, transaction

from accounts.key_limits import LocalKeyLimits, Spent
from accounts.key_use import DAY_SECONDS, DAYS_KEPT, day_name, day_number
from accounts.models import ClientKey, KeySpend
from backends.tasks import in_database_thread, spawn

logger = logging.getLogger("patchbay.keys")
WRITE_SECONDS = 0.5
Totals = list[tuple[int, int, Decimal]]


def recall_keys(limits: LocalKeyLimits) -> None:
    """Fill the counters from the ledger. Uses the ORM, so never in the event loop."""
    today = int(limits.wall() // DAY_SECONDS)
    rows = KeySpend.objects.filter(period__gt=day_name(today - DAYS_KEPT), period__lte=day_name(today))
    limits.load(_totals(rows))


def _totals(rows: Iterable[KeySpend]) -> Totals:
    return [(row.key_id, day_number(row.period), row.amount) for row in rows]


@dataclass
class KeyMemory:
    """Writes what the keys have used."""

    limits: LocalKeyLimits
    _writing: asyncio.Task[None] | None = None
    _failing: bool = False

    async def keep(self) -> None:
        """Runs as long as the server."""
        while True:
            await asyncio.sleep(WRITE_SECONDS)
            await self.write()

    async def write(self) -> None:
        """Add what came since the last time. What cannot be written is tried again.

        A write that runs is waited for instead, and comes to its end also when the waiting does not: else nobody
        would know whether its amounts are in the ledger.
        """
        if self._writing is None:
            self._writing = spawn(self._write(), name="key-ledger")
        await asyncio.shield(self._writing)

    async def finish(self) -> None:
        """Write all that is there; called when all requests have ended."""
        await self.write()
        await self.write()

    async def _write(self) -> None:
        try:
            await self._add()
        finally:
            self._writing = None

    async def _add(self) -> None:
        amounts = self.limits.take_unsaved()
        if not amounts:
            return
        try:
            totals = await in_database_thread(lambda: add_up(amounts))
        except DatabaseError as exc:
            self.limits.not_saved()
            if not self._failing:
                logger.warning("What client keys spend cannot be stored now (%s); it stays in memory.", exc)
            self._failing = True
        else:
            self.limits.saved(totals)
            self._failing = False

    def write_now(self) -> None:
        """The same for the end of the server, outside the loop."""
        amounts = self.limits.take_unsaved()
        try:
            add_up(amounts)
        except DatabaseError as exc:
            logger.warning("What client keys spent last could not be stored (%s).", exc)


@transaction.atomic
def add_up(amounts: Spent) -> Totals:
    """Add to the ledger; returns its new totals. Keys that are gone are left out."""
    known = set(ClientKey.objects.filter(pk__in={key for key, _ in amounts}).values_list("pk", flat=True))
    return _totals(_added(key, day_name(day), amounts[key, day]) for key, day in amounts if key in known)


def _added(key: int, period: str, amount: Decimal) -> KeySpend:
    row, _ = KeySpend.objects.select_for_update().get_or_create(key_id=key, period=period)
    row.amount += amount
    row.save(update_fields=["amount"])
    return row
