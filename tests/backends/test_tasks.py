"""Background tasks: one that fails is told of, started anew, and told of no more once it runs."""

from __future__ import annotations

import asyncio
import logging

import pytest

from backends.tasks import supervise, task_problems


class Shaky:
    """Fails as often as told, then runs until it is cancelled."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.starts: list[float] = []
        self.runs = asyncio.Event()

    async def work(self) -> None:
        self.starts.append(asyncio.get_running_loop().time())
        if len(self.starts) <= self.failures:
            raise ValueError("sk-secret in the text of an error")
        self.runs.set()
        await asyncio.Event().wait()


async def until_well() -> None:
    async with asyncio.timeout(10):
        while task_problems():  # noqa: ASYNC110  # a health page polls as well
            await asyncio.sleep(0.01)


async def test_a_task_that_fails_is_started_anew_with_growing_pauses(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shaky = Shaky(failures=3)
    with caplog.at_level(logging.ERROR, "patchbay.tasks"):
        task = supervise(shaky.work, name="shaky", first_pause=0.02, settled=0.3)
        async with asyncio.timeout(10):
            await shaky.runs.wait()
    one, two, three = (b - a for a, b in zip(shaky.starts, shaky.starts[1:], strict=False))
    assert one >= 0.02
    assert two >= 0.04
    assert three >= 0.08
    assert caplog.text.count("Background task shaky failed") == 3
    (problem,) = task_problems()  # it has only just come back
    assert "shaky failed (ValueError)" in problem
    assert "sk-secret" not in problem
    await until_well()
    task.cancel()


async def test_a_task_that_is_stopped_while_it_is_down_is_no_trouble_any_more() -> None:
    shaky = Shaky(failures=100)
    task = supervise(shaky.work, name="doomed", first_pause=30)
    async with asyncio.timeout(10):
        while not task_problems():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task_problems() == []
    assert len(shaky.starts) == 1


async def test_a_task_that_is_done_is_done() -> None:
    calls: list[int] = []

    async def work() -> None:
        calls.append(1)

    await supervise(work, name="once", first_pause=0.01)
    assert (calls, task_problems()) == ([1], [])
