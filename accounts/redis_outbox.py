"""What one process has to tell the others: collected, sent in one script, in order.

Rule: nobody waits for it. What is told while Redis is away is dropped here; a process that comes back tells what
still holds. Only money is told until it has arrived.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import msgspec

from accounts.redis_link import Link
from accounts.redis_money import Money
from accounts.redis_scripts import TELL

Operation = tuple[object, ...]
Reply = asyncio.Future[list[Any]]
MOST_AT_ONCE = 500  # operations in one script, while a process gets in step
_encode = msgspec.json.Encoder().encode


class Outbox:
    """`more` gives operations that are only known when they are sent; `learn` is told the totals that come back."""

    def __init__(
        self,
        process: str,
        link: Link,
        money: Money,
        *,
        more: Callable[[], Iterable[Operation]],
        learn: Callable[[Sequence[Any]], None],
    ) -> None:
        self._process, self._link, self._money = process.encode(), link, money
        self._more, self._learn = more, learn
        self._operations: list[Operation] = []
        self._is_under_way = False

    def tell(self, *operation: object) -> None:
        """One operation, with the next script."""
        if self._link.is_up:
            self._operations.append(operation)
            self.send_soon()

    def extend(self, operations: Iterable[Operation]) -> None:
        """Several, in order."""
        self._operations += operations
        self.send_soon()

    def send_soon(self) -> None:
        """As soon as the connection has sent what came before; until then more can be added."""
        if self._link.is_up and not self._is_under_way:
            self._is_under_way = True
            self.send()

    def send(self) -> Reply:
        """A script with all that is there when it is sent."""
        has_money: list[bool] = []
        reply = self._link.call(TELL, lambda: (self._process, self._all(has_money)))
        reply.add_done_callback(partial(self._answered, has_money))
        return reply

    async def send_all(self, operations: Sequence[Operation]) -> None:
        """Many operations, in parts that do not hold the server up; returns when they have arrived."""
        for start in range(0, len(operations), MOST_AT_ONCE):
            part = _encode(operations[start : start + MOST_AT_ONCE])
            await self._link.call(TELL, partial(_both, self._process, part))

    def clear(self) -> None:
        """The connection is lost, and what was to be sent with it."""
        self._operations.clear()
        self._is_under_way = False

    def _all(self, has_money: list[bool]) -> bytes:
        self._is_under_way = False
        operations, self._operations = self._operations, []
        operations += self._more()
        if (batch := self._money.batch()) is not None:
            operations.append(batch)
            has_money.append(True)
        return _encode(operations)

    def _answered(self, has_money: list[bool], reply: Reply) -> None:
        has_arrived = not reply.cancelled() and reply.exception() is None
        if has_money:
            self._money.told(has_arrived)
        if has_arrived:
            self._learn(reply.result()[1])
            if self._money.untold:
                self.send_soon()


def _both(process: bytes, operations: bytes) -> tuple[bytes, bytes]:
    return process, operations
