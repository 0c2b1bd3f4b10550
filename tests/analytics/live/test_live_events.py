"""The live feed's queues and filters."""

from __future__ import annotations

import asyncio

import pytest

from analytics.drafts import Outcome, RecordDraft
from analytics.live.events import QUEUE_EVENTS, Change, Event, LiveFilter, Watcher
from analytics.live.hub import MOST_WATCHERS, RECENT, Hub, TooManyWatchers
from backends.wire.kinds import Kind, Protocol


class Idle:
    """Work that nobody stops."""

    passed = 0

    def stop(self) -> bool:
        return False


def draft(number: int = 1, **fields: object) -> RecordDraft:
    made = RecordDraft(
        f"req_{number:024x}", Protocol.OPENAI, Kind.CHAT, method="POST", path="/v1/chat/completions"
    )
    made.model_asked = "gpt-4o"
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def ended(number: int, **fields: object) -> Event:
    return Event(Change.ENDED, {"id": f"req_{number}", "outcome": "ok", **fields})


async def test_a_slow_reader_loses_the_oldest_and_is_told_how_many() -> None:
    watcher = Watcher()
    for number in range(QUEUE_EVENTS + 30):
        watcher.put(ended(number))
    batch = await watcher.take()
    assert batch is not None
    assert batch.lost == 30
    assert [event.id for event in batch.events][:1] == ["req_30"]
    assert len(batch.events) == QUEUE_EVENTS
    watcher.put(ended(999))
    batch = await watcher.take()
    assert batch is not None
    assert (batch.lost, len(batch.events)) == (0, 1)


async def test_a_reader_waits_until_something_happens_or_the_feed_ends() -> None:
    watcher = Watcher()
    waiting = asyncio.get_running_loop().create_task(watcher.take())
    await asyncio.sleep(0)
    assert not waiting.done()
    watcher.end()
    assert await waiting is None
    watcher.forget()
    assert await watcher.take() is None


async def test_what_a_filter_leaves_out_is_gone_for_its_reader() -> None:
    watcher = Watcher()
    watcher.filter = LiveFilter.of({"backend": "Ollama"})
    running = Event(Change.BEGAN, {"id": "a", "backend": None})
    watcher.put(running)  # it may still get there
    watcher.put(ended(1, backend="openai"))
    watcher.put(ended(2, backend="ollama"))
    batch = await watcher.take()
    assert batch is not None
    assert [(event.change, event.id) for event in batch.events] == [
        (Change.BEGAN, "a"),
        (Change.GONE, "req_1"),
        (Change.ENDED, "req_2"),
    ]


@pytest.mark.parametrize(
    ("wanted", "data", "is_shown"),
    [
        ({"model": "OPUS"}, {"modelAsked": "fast", "modelUsed": "claude-opus-4-8"}, True),
        ({"model": "opus"}, {"modelAsked": "gpt-4o", "modelUsed": None}, False),
        ({"model": "opus"}, {"modelAsked": None, "modelUsed": None}, True),
        ({"outcome": "error"}, {"outcome": "ok"}, False),
        ({"outcome": "error"}, {"backend": "x"}, True),
        ({"key": "work"}, {"key": None}, True),
        ({"key": "work"}, {"key": None, "outcome": "ok"}, False),
        ({"account": "a", "key": "k"}, {"account": "A", "key": "K", "outcome": "ok"}, True),
    ],
)
def test_filters(wanted: dict[str, object], data: dict[str, object], is_shown: bool) -> None:
    assert LiveFilter.of(wanted).admits(data) is is_shown


@pytest.mark.parametrize("wanted", [{"path": "x"}, {"model": 3}, {"model": "x" * 201}, {"__class__": "x"}])
def test_a_filter_of_anything_else_is_refused(wanted: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="A filter takes"):
        LiveFilter.of(wanted)


async def test_a_picture_holds_what_runs_and_the_last_that_ended() -> None:
    hub = Hub()
    for number in range(RECENT + 5):
        done = draft(number)
        hub.began(done, Idle())
        done.end(Outcome.OK)
        hub.ended(done)
    hub.began(draft(1000, model_asked="claude\ud800"), Idle())
    picture = await hub.picture()
    assert [data["modelAsked"] for data in picture.running] == ["claude?"]
    assert len(picture.recent) == RECENT
    assert picture.recent[-1]["id"] == draft(RECENT + 4).id
    assert picture.recent[-1]["outcome"] == "ok"
    hub.finish()


async def test_readers_hear_in_order_and_everybody_the_same() -> None:
    hub = Hub()
    one, other = hub.watch(), hub.watch()
    asked = draft(7, error="the key sk-proj-abcdefghijklmnopqrstuvwx is wrong")
    hub.began(asked, Idle())
    asked.end(Outcome.ERROR)
    hub.ended(asked)
    for watcher in (one, other):
        heard: list[Event] = []
        while not heard or heard[-1].change is not Change.ENDED:
            batch = await watcher.take()
            assert batch is not None
            heard += batch.events
        assert heard[0].change is Change.BEGAN
        assert heard[-1].data["error"] == "the key [redacted] is wrong"
    hub.finish()
    assert await one.take() is None


async def test_readers_are_bounded() -> None:
    hub = Hub()
    watchers = [hub.watch() for _ in range(MOST_WATCHERS)]
    with pytest.raises(TooManyWatchers):
        hub.watch()
    hub.leave(watchers[0])
    hub.watch()
    hub.finish()


async def test_without_readers_nothing_is_told() -> None:
    hub = Hub()
    hub.began(draft(1), Idle())
    hub.ended(draft(1))
    assert not hub.has_watchers
    assert len(asyncio.all_tasks()) == 1
