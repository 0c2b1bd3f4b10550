"""What the pool remembers over a restart: written in batches, read once, true also after the clock was set."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db import connection

from accounts.models import Account, Bench, Spend, Window
from accounts.pool_memory import KEPT_SECONDS, LARGEST, PoolMemory, recall
from accounts.pool_state import AccountState, LocalPoolState
from accounts.snapshot import AccountConfig
from accounts.standing import Standing
from accounts.windows import BenchKind, WindowState, observed
from backends.models import Backend, ConfigVersion
from backends.tasks import in_database_thread
from backends.wire.limits import classes_of
from tests.accounts.pools import HOUR, OPUS, SONNET, Time, account, bench, reading

pytestmark = pytest.mark.django_db


class Server:
    """One process after the other over one database, with clocks that the test moves."""

    def __init__(self) -> None:
        self.time = Time()
        self.configs: dict[str, AccountConfig] = {}
        self.start()

    def start(self) -> None:
        """A new process; the pool's clock may start anywhere."""
        self.time.now += 12_345.0
        self.state: LocalPoolState = self.time.pool().state
        recall(self.state)

    def stop(self) -> None:
        self.memory().write_now()

    def memory(self) -> PoolMemory:
        return PoolMemory(self.state, self.configs.get)

    def restart(self) -> None:
        self.stop()
        self.start()

    def window(
        self, name: str, used: float, resets_in: float | None = HOUR, model_class: str = ""
    ) -> WindowState:
        resets_at = None if resets_in is None else self.time.wall + resets_in
        told = reading(name, used, resets_at, model_class=model_class)
        return observed(told, now=self.time.now, wall=self.time.wall)

    def account(self, row: Account) -> AccountState:
        return self.state.account(row.uid)

    def standing(self, row: Account, model: str = SONNET) -> Standing:
        return self.state.standing(account(row.uid), classes_of(model), self.time.now)


def made_account() -> Account:
    backend = Backend.objects.create(name="b", base_url="http://127.0.0.1:9/v1")
    made = Account(alias="a", backend=backend)
    made.set_secret("sk-a")
    made.save()
    return made


@pytest.fixture
def row() -> Account:
    return made_account()


@pytest.fixture
def server() -> Server:
    return Server()


def test_windows_survive_a_restart(row: Account, server: Server) -> None:
    server.state.put_windows(
        server.account(row), [server.window("5h", 1.0), server.window("7d_opus", 0.3, 9 * HOUR, "opus")]
    )
    server.restart()
    found = server.standing(row, OPUS)
    assert found.obstacle is not None
    assert found.obstacle.recovers_at == pytest.approx(server.time.now + HOUR)
    server.time.pass_(HOUR + 1)
    assert server.standing(row, OPUS).obstacle is None
    assert server.standing(row, OPUS).headroom == pytest.approx(0.7)


def test_a_window_that_reset_while_nothing_ran_is_over(row: Account, server: Server) -> None:
    server.state.put_windows(server.account(row), [server.window("5h", 1.0)])
    server.stop()
    server.time.pass_(2 * HOUR)
    server.start()
    assert server.standing(row).obstacle is None


def test_a_reading_without_a_reset_ages_on(row: Account, server: Server) -> None:
    server.state.put_windows(server.account(row), [server.window("5h", 0.4, None)])
    server.stop()
    server.time.pass_(4 * HOUR)
    server.start()
    assert server.standing(row).headroom == pytest.approx(0.6)
    server.time.pass_(HOUR + 1)
    assert server.standing(row).headroom is None


def test_benches_survive_with_strikes_and_cause(row: Account, server: Server) -> None:
    known = bench(BenchKind.AUTH, since=server.time.now, until=server.time.now + 240, strikes=3, window="5h")
    server.state.put_bench(server.account(row), known)
    server.restart()
    found = server.account(row).benches[known.key]
    assert (found.strikes, found.reason, found.window) == (3, "was auth", "5h")
    assert found.until == pytest.approx(server.time.now + 240)


def test_a_lifted_bench_is_forgotten(row: Account, server: Server) -> None:
    known = bench(since=server.time.now, until=server.time.now + 240)
    server.state.put_bench(server.account(row), known)
    server.restart()
    server.state.lift(server.account(row), [known.key])
    server.restart()
    assert server.account(row).benches == {}


def test_a_clock_that_was_set_back_makes_no_news_from_the_future(row: Account, server: Server) -> None:
    server.state.put_windows(server.account(row), [server.window("5h", 1.0)])
    server.state.put_bench(server.account(row), bench(since=server.time.now, until=server.time.now + 60))
    server.stop()
    server.time.step_wall(-3 * HOUR)
    server.start()
    assert server.account(row).observed_at == server.time.now
    assert all(known.since <= server.time.now for known in server.account(row).benches.values())
    server.state.put_windows(server.account(row), [server.window("5h", 0.1)])
    assert server.account(row).windows["5h", ""].used == 0.1


def test_what_is_known_already_is_newer_than_what_is_stored(row: Account, server: Server) -> None:
    server.state.put_windows(server.account(row), [server.window("5h", 0.9)])
    server.stop()
    server.state = server.time.pool().state
    server.state.put_windows(server.account(row), [server.window("5h", 0.1)])
    recall(server.state)
    assert server.account(row).windows["5h", ""].used == 0.1


def test_what_a_resume_made_void_is_not_stored_under_a_date_from_after_it(
    row: Account, server: Server
) -> None:
    server.state.put_windows(server.account(row), [server.window("5h", 1.0)])
    server.time.pass_(5)
    server.configs[row.uid] = account(row.uid, resumed_at=server.time.wall)
    server.state.standing(server.configs[row.uid], None, server.time.now)  # the resume is seen
    server.time.step_wall(HOUR)
    server.stop()
    assert not Window.objects.exists()


def test_money_survives_and_ends_with_its_day(row: Account, server: Server) -> None:
    server.state.spend(server.account(row), {"2027-01-15": Decimal("1.25"), "2027-01": Decimal("4.5")})
    server.restart()
    assert server.account(row).spent == {"2027-01-15": Decimal("1.25"), "2027-01": Decimal("4.5")}
    server.time.pass_(86_400)
    server.restart()
    assert server.account(row).spent == {"2027-01": Decimal("4.5")}
    assert Spend.objects.filter(period="2027-01-15").exists()  # the record stays


def test_what_is_long_over_is_dropped_but_not_what_somebody_must_mend(row: Account, server: Server) -> None:
    now = server.time.now
    server.state.put_windows(server.account(row), [server.window("5h", 1.0)])
    server.state.put_bench(server.account(row), bench(since=now, until=now + 60))
    server.state.put_bench(server.account(row), bench(BenchKind.AUTH, since=now, until=now + 60))
    server.time.pass_(KEPT_SECONDS + 2 * HOUR)
    server.restart()
    assert not Window.objects.exists()
    assert [found.kind for found in server.account(row).benches.values()] == [BenchKind.AUTH]


def test_accounts_that_are_not_stored_are_left_out(row: Account, server: Server) -> None:
    server.state.put_windows(server.state.account("demo-1"), [server.window("5h", 0.5)])
    server.state.put_windows(server.account(row), [server.window("5h", 0.5)])
    server.stop()
    assert list(Window.objects.values_list("account__alias", flat=True)) == ["a"]


def test_observations_are_no_configuration(row: Account, server: Server) -> None:
    before = ConfigVersion.current()
    server.state.put_windows(server.account(row), [server.window("5h", 0.5)])
    server.state.put_bench(server.account(row), bench(since=0.0, until=60.0))
    server.restart()
    assert ConfigVersion.current() == before


def test_a_kind_of_bench_from_a_later_version_is_passed_over(row: Account, server: Server) -> None:
    moment = datetime.fromtimestamp(server.time.wall, UTC)
    Bench.objects.create(account=row, kind="moonphase", reason="full", since=moment, until=moment)
    server.start()
    assert server.account(row).benches == {}


def test_absurd_figures_can_be_stored(row: Account, server: Server) -> None:
    told = reading("tokens", 0.0, server.time.wall + 10**12, limit=10**30)
    server.state.put_windows(
        server.account(row), [observed(told, now=server.time.now, wall=server.time.wall)]
    )
    server.restart()
    assert Window.objects.get().limit == LARGEST


def rename(table: str, name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO {name}")


@pytest.mark.django_db(transaction=True)
async def test_a_database_that_cannot_be_written_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    server, row = await in_database_thread(lambda: (Server(), made_account()))
    memory = server.memory()
    server.state.put_windows(server.account(row), [server.window("5h", 0.5)])
    await in_database_thread(lambda: rename("accounts_window", "hidden"))
    try:
        await memory.write()
        await memory.write()
    finally:
        await in_database_thread(lambda: rename("hidden", "accounts_window"))
    assert server.state.dirty == {row.uid}
    assert [record.message.partition(" (")[0] for record in caplog.records] == [
        "Windows cannot be stored now"
    ]
    await memory.write()
    assert server.state.dirty == set()
    assert await in_database_thread(Window.objects.count) == 1


async def test_what_a_stopped_writer_had_taken_is_written_at_the_end(row: Account, server: Server) -> None:
    server.state.put_windows(server.account(row), [server.window("5h", 0.5)])
    thread_is_free = threading.Event()
    busy = asyncio.ensure_future(in_database_thread(thread_is_free.wait))
    writing = asyncio.ensure_future(server.memory().write())
    await asyncio.sleep(0)
    assert server.state.dirty == set()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    thread_is_free.set()
    await busy
    assert server.state.dirty == {row.uid}
