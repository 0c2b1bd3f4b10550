"""The queue: in order, fair between keys, never beyond its deadline, and nothing lost when clients leave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from accounts.pool import Lease, Unavailable
from accounts.waiting import QueueFull
from tests.accounts.pools import OPUS, SONNET, WALL, account, limited, served
from tests.accounts.queue_desk import SECONDS, Found, QueueDesk, in_a_pool

A, B = account("a"), account("b")
PACED = account("p", interval_s=0.5)


@in_a_pool(A)
async def test_a_request_waits_for_the_reset_and_is_served_at_once_then(desk: QueueDesk) -> None:
    desk.spend("a", 40)
    await desk.serve("r")
    assert desk.served == [("r", pytest.approx(40, abs=0.1))]


@in_a_pool(A)
async def test_what_recovers_too_late_is_told_at_once(desk: QueueDesk) -> None:
    desk.spend("a", SECONDS + 1)
    with pytest.raises(Unavailable) as caught:
        await desk.serve("r")
    assert desk.loop.time() == 0
    assert caught.value.recovers_at == SECONDS + 1


@in_a_pool(account("x", is_paused=True))
async def test_what_is_broken_is_told_at_once(desk: QueueDesk) -> None:
    with pytest.raises(Unavailable) as caught:
        await desk.serve("r")
    assert caught.value.is_broken
    assert desk.loop.time() == 0


@in_a_pool(A)
async def test_nobody_waits_beyond_the_deadline_however_often_recovery_is_promised(desk: QueueDesk) -> None:
    async def keep_refusing() -> None:
        while True:
            desk.spend("a", 5)
            await asyncio.sleep(5)

    refusing = asyncio.ensure_future(keep_refusing())
    waiting = [asyncio.ensure_future(desk.wait(str(n), seconds=n)) for n in range(10, 60, 10)]
    await asyncio.sleep(0)
    for number, waiter in zip(range(10, 60, 10), waiting, strict=True):
        with pytest.raises(Unavailable):
            (await waiter).settle()
        assert number - 5 <= desk.loop.time() <= number + 0.1
    refusing.cancel()


@in_a_pool(A)
async def test_a_promise_that_stays_in_the_past_keeps_nobody_beyond_the_deadline(desk: QueueDesk) -> None:
    desk.spend("a", 1)
    with pytest.raises(Unavailable) as caught:
        await desk.pool.lease_first([desk.ask(SONNET, "k")])

    async def attempt() -> Found:
        raise caught.value

    with pytest.raises(Unavailable):
        await desk.wait(seconds=20, attempt=attempt)
    assert desk.loop.time() == pytest.approx(20, abs=0.1)


@in_a_pool(PACED)
async def test_a_key_is_served_in_the_order_of_its_requests_at_the_accounts_pace(desk: QueueDesk) -> None:
    await asyncio.gather(*(desk.serve(str(number)) for number in range(5)))
    assert desk.names() == ["0", "1", "2", "3", "4"]
    assert [at for _, at in desk.served] == pytest.approx([0, 0.5, 1, 1.5, 2], abs=0.1)


@in_a_pool(PACED)
async def test_keys_take_turns_however_many_requests_each_has(desk: QueueDesk) -> None:
    requests = [("a1", "a"), ("a2", "a"), ("a3", "a"), ("a4", "a"), ("b1", "b"), ("b2", "b"), ("c1", "c")]
    await asyncio.gather(*(desk.serve(name, key) for name, key in requests))
    assert desk.names() == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]


@in_a_pool(PACED)
async def test_a_key_that_comes_later_is_not_behind_the_whole_crowd(desk: QueueDesk) -> None:
    crowd = [asyncio.ensure_future(desk.serve(f"a{number}", "a")) for number in range(20)]
    await asyncio.sleep(2.2)
    await desk.serve("late", "b")
    assert desk.names().index("late") <= 7
    await asyncio.gather(*crowd)


@in_a_pool(PACED)
async def test_a_key_that_asks_again_and_again_takes_its_turns_like_the_crowd(desk: QueueDesk) -> None:
    crowd = [asyncio.ensure_future(desk.serve(f"a{number}", "a")) for number in range(8)]
    await asyncio.sleep(0.2)
    for number in range(6):
        await desk.serve(f"b{number}", "b")
    await asyncio.gather(*crowd)
    keys = "".join(name[0] for name in desk.names())
    assert "bb" not in keys
    assert "aaa" not in keys.rstrip("a")


@in_a_pool(A)
async def test_a_lane_that_cannot_be_served_does_not_hold_up_another(desk: QueueDesk) -> None:
    desk.spend("a", 30, OPUS)
    desk.spend("a", 5, SONNET)
    await asyncio.gather(desk.serve("opus", model=OPUS), desk.serve("sonnet", model=SONNET))
    assert desk.served == [("sonnet", pytest.approx(5, abs=0.1)), ("opus", pytest.approx(30, abs=0.1))]


@in_a_pool(A)
async def test_after_a_reset_one_probe_goes_first_and_its_good_answer_lets_all_in(desk: QueueDesk) -> None:
    desk.spend("a", 10)
    first = asyncio.ensure_future(desk.wait("first"))
    others = [asyncio.ensure_future(desk.serve(str(number))) for number in range(5)]
    lease = await first
    await asyncio.sleep(1)
    assert desk.names() == ["first"]
    lease.report(served())
    await asyncio.gather(*others)
    lease.settle()
    assert desk.loop.time() == pytest.approx(11, abs=0.1)


@in_a_pool(A)
async def test_a_probe_that_fails_sends_everybody_back_to_wait(desk: QueueDesk) -> None:
    desk.spend("a", 10)
    first, other = asyncio.ensure_future(desk.wait("first")), asyncio.ensure_future(desk.serve("other"))
    lease = await first
    lease.report(limited(retry_at=WALL + desk.loop.time() + 7))
    lease.settle()
    await other
    assert desk.served[-1] == ("other", pytest.approx(17, abs=0.1))


@in_a_pool(A)
async def test_an_edit_that_nobody_announces_is_seen_within_a_second(desk: QueueDesk) -> None:
    desk.spend("a", 50)
    waiting = asyncio.ensure_future(desk.serve("r"))
    await asyncio.sleep(3)
    desk.accounts = (*desk.accounts, B)
    await waiting
    assert desk.served == [("r", pytest.approx(3, abs=1.1))]


@in_a_pool(A, limit=3)
async def test_a_full_queue_takes_nobody_of_a_key_that_fills_it(desk: QueueDesk) -> None:
    desk.spend("a", 10)
    waiting = [asyncio.ensure_future(desk.serve(str(number))) for number in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(QueueFull):
        await desk.serve("one too many")
    await asyncio.gather(*waiting)


@in_a_pool(A, limit=3)
async def test_in_a_full_queue_the_last_of_the_greediest_key_makes_room(desk: QueueDesk) -> None:
    desk.spend("a", 10)
    waiting = [asyncio.ensure_future(desk.serve(f"a{number}", "a")) for number in range(3)]
    await asyncio.sleep(0)
    light = asyncio.ensure_future(desk.serve("b", "b"))
    with pytest.raises(QueueFull):
        await waiting[2]
    await asyncio.gather(light, *waiting[:2])
    assert sorted(desk.names()) == ["a0", "a1", "b"]


@in_a_pool(A, limit=0)
async def test_a_queue_of_no_places_takes_nobody(desk: QueueDesk) -> None:
    desk.spend("a", 10)
    with pytest.raises(QueueFull):
        await desk.serve("r")


@in_a_pool(PACED)
async def test_who_leaves_gives_up_the_place_and_nothing_else(desk: QueueDesk) -> None:
    waiting = [asyncio.ensure_future(desk.serve(str(number))) for number in range(4)]
    await asyncio.sleep(0.2)
    waiting[2].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert desk.names() == ["0", "1", "3"]


async def leave_while_an_account_comes(
    desk: QueueDesk, leave: Callable[[asyncio.Future[Lease]], object]
) -> None:
    desk.spend("a", 10)
    waiting: asyncio.Future[Lease]

    async def attempt() -> Found:
        found = await desk.pool.lease_first([desk.ask(SONNET, "k")])
        leave(waiting)
        return found

    waiting = asyncio.ensure_future(desk.wait("r", attempt=attempt))
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert desk.pool.state.account("a").requests == 2


@in_a_pool(A)
async def test_an_account_goes_back_when_its_waiter_leaves_while_it_is_taken(desk: QueueDesk) -> None:
    await leave_while_an_account_comes(desk, lambda waiting: waiting.cancel())


@in_a_pool(A)
async def test_an_account_goes_back_when_its_waiter_leaves_before_it_is_handed_over(desk: QueueDesk) -> None:
    await leave_while_an_account_comes(desk, lambda waiting: desk.loop.call_soon(waiting.cancel))


@in_a_pool(A)
async def test_an_error_of_one_request_is_its_own(desk: QueueDesk) -> None:
    desk.spend("a", 10)

    async def attempt() -> Found:
        raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"):
        await desk.wait(attempt=attempt)
    await desk.serve("r")


@in_a_pool(A)
async def test_who_comes_while_others_wait_for_the_same_is_told_so(desk: QueueDesk) -> None:
    desk.spend("a", 10)
    assert not desk.room.is_waiting(SONNET)
    waiting = asyncio.ensure_future(desk.serve("r"))
    await asyncio.sleep(0)
    assert desk.room.is_waiting(SONNET)
    assert not desk.room.is_waiting(OPUS)
    await waiting
    assert not desk.room.is_waiting(SONNET)


@in_a_pool(A)
async def test_a_process_that_leaves_lets_nobody_wait_for_longer(desk: QueueDesk) -> None:
    desk.spend("a", 40)
    long, short = (
        asyncio.ensure_future(desk.serve("long")),
        asyncio.ensure_future(desk.serve("x", seconds=50)),
    )
    await asyncio.sleep(5)
    desk.room.close_in(10)
    for waiter in (long, short):
        with pytest.raises(Unavailable):
            await waiter
    assert desk.loop.time() == pytest.approx(5, abs=0.1)
    with pytest.raises(Unavailable):
        await desk.serve("too late")
