"""Channels to the operator, with real webhooks: none waits for another, each keeps its order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from analytics.notice_channels import MOST_WAITING, Outbox, Webhook
from analytics.notices import Notice, NoticeKind
from backends.tasks import spawn
from backends.upstream import current_upstream
from tests.analytics.hooks import Hook

NOTICES = [Notice(NoticeKind.BUDGET, f"key-{number}", "", f"Notice {number}.") for number in range(3)]


@asynccontextmanager
async def running(*outboxes: Outbox) -> AsyncIterator[None]:
    """They send until the block ends."""
    tasks = [spawn(outbox.keep(), name="outbox") for outbox in outboxes]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await current_upstream().aclose()


async def texts(hook: Hook, number: int) -> list[str]:
    """The next so many that it has read."""
    calls = [await asyncio.to_thread(hook.calls.get, timeout=20) for _ in range(number)]
    return [str(told["text"]) for _, told in calls]


async def test_a_webhook_that_hangs_keeps_no_other_waiting(hook: Hook, stuck: Hook) -> None:
    outboxes = [Outbox(Webhook(stuck.url)), Outbox(Webhook(hook.url))]
    async with running(*outboxes):
        for notice in NOTICES:
            for outbox in outboxes:
                outbox.put(notice)
        assert await texts(hook, 3) == ["Notice 0.", "Notice 1.", "Notice 2."]
        assert await texts(stuck, 1) == ["Notice 0."]
        assert stuck.calls.empty()
    assert (hook.most_at_once, stuck.most_at_once) == (1, 1)


async def test_each_notice_has_a_time_of_its_own_and_its_turn(
    stuck: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = Outbox(Webhook(stuck.url), seconds=0.5)
    async with running(outbox):
        for notice in NOTICES:
            outbox.put(notice)
        assert await texts(stuck, 3) == ["Notice 0.", "Notice 1.", "Notice 2."]
    assert [record.getMessage() for record in caplog.records][:2] == [
        f"The notice budget of key-{number} did not get through: it was not taken within 0.5 seconds."
        " Check the address in PATCHBAY_NOTIFY_URL."
        for number in (0, 1)
    ]
    assert "hook-canary" not in caplog.text


async def test_a_webhook_that_refuses_gets_it_again_before_the_next(refusing: Hook) -> None:
    outbox = Outbox(Webhook(refusing.url))
    async with running(outbox):
        for notice in NOTICES[:2]:
            outbox.put(notice)
        assert await texts(refusing, 2) == ["Notice 0.", "Notice 1."]


async def test_no_more_wait_than_there_is_room_for(hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    outbox = Outbox(Webhook(hook.url))
    for number in range(MOST_WAITING + 2):
        outbox.put(Notice(NoticeKind.BUDGET, f"key-{number}", "", f"Notice {number}."))
    async with running(outbox):
        told = await texts(hook, MOST_WAITING)
    assert told == [f"Notice {number}." for number in range(2, MOST_WAITING + 2)]
    lost = [record.getMessage().partition(" did not")[0] for record in caplog.records]
    assert lost == ["The notice budget of key-0", "The notice budget of key-1"]
