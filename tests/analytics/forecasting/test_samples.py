"""The windows' history on disk: written while the server runs, read at the next start and by commands."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client
from django.utils import timezone

from accounts.models import Account, Window
from accounts.pool import Pool
from accounts.reports import Attempt, apply_report
from accounts.snapshot import keeper
from analytics.forecasting.forecasts import HOUR
from analytics.forecasting.samples import SampleKeeper, recall, stored_points
from analytics.forecasting.stored import foretold, pool_minutes_left
from analytics.forecasting.tracks import Tracks, configured_accounts
from analytics.history_thread import in_history_thread
from analytics.models import WindowSample
from backends.models import Backend
from tests.accounts.pools import SONNET, Time, reading, served

pytestmark = pytest.mark.django_db(databases=["default", "history"], transaction=True)


@pytest.fixture
def work() -> Iterator[Account]:
    """The only account there is. The writing thread's connection ends with the test's database."""
    backend = Backend.objects.create(name="b", base_url="http://127.0.0.1:1", protocol="anthropic")
    row = Account.objects.create(alias="work", backend=backend, kind=Account.NONE)
    keeper.reload()
    yield row
    asyncio.run(in_history_thread(connections.close_all))
    Backend.objects.all().delete()
    keeper.reload()


def tell(pool: Pool, time: Time, used: float, resets_at: float) -> None:
    [config] = configured_accounts()
    state = pool.state.account(config.uid)
    report = served(reading("5h", used, resets_at))
    apply_report(pool.state, state, Attempt(config, SONNET, time.now), report, jitter=0.0)


def look(keeping: SampleKeeper) -> None:
    """One look in a loop of its own."""
    asyncio.run(keeping.look())


def test_samples_survive_a_restart(work: Account) -> None:
    time = Time(wall=timezone.now().timestamp() - HOUR)
    pool, resets_at = time.pool(), time.wall + 5 * HOUR
    keeping = SampleKeeper(Tracks(pool.state))
    for number in range(13):
        tell(pool, time, 0.04 * number, resets_at)
        look(keeping)
        time.pass_(300)
    time.now -= 300
    rows = list(WindowSample.objects.all())
    assert [row.used for row in rows] == pytest.approx([0.04 * number for number in range(13)])
    assert {(row.backend, row.account, row.window, row.model_class) for row in rows} == {
        ("b", "work", "5h", "")
    }
    assert all(row.resets_at and abs(row.resets_at.timestamp() - resets_at) < 1 for row in rows)

    after = Time(now=77.0, wall=timezone.now().timestamp())
    fresh = after.pool()
    tracks = Tracks(fresh.state)
    recall(tracks, stored_points(timezone.now()))
    tell(fresh, after, 0.48, resets_at)
    uid = configured_accounts()[0].uid
    told = tracks.forecast_of(uid, fresh.state.account(uid).windows["5h", ""])
    assert told.exhausts_at == pytest.approx(77 + HOUR * 0.52 / 0.48, rel=0.1)


def test_what_cannot_be_written_waits(work: Account, caplog: pytest.LogCaptureFixture) -> None:
    time = Time(wall=timezone.now().timestamp())
    pool = time.pool()
    keeping = SampleKeeper(Tracks(pool.state))
    rename = 'ALTER TABLE "{}" RENAME TO "{}"'
    table = WindowSample._meta.db_table
    try:
        with connections["history"].cursor() as cursor:
            cursor.execute(rename.format(table, "elsewhere"))
        tell(pool, time, 0.5, time.wall + HOUR)
        look(keeping)
        look(keeping)
        assert len(keeping.waiting) == 1
        assert caplog.text.count("cannot be written now") == 1
    finally:
        with connections["history"].cursor() as cursor:
            cursor.execute(rename.format("elsewhere", table))
    look(keeping)
    assert (keeping.waiting, WindowSample.objects.count()) == ([], 1)


def store_use(account: Account, *, used: float, rate: float) -> None:
    """An hour of readings at `rate` windows an hour, up to `used` now; the reset is three hours away."""
    now = timezone.now()
    resets_at = now + timedelta(hours=3)
    for back in range(12):
        WindowSample.objects.create(
            at=now - timedelta(minutes=5 * back),
            backend="b",
            account=account.alias,
            window="5h",
            used=used - rate * back / 12,
            resets_at=resets_at,
        )
    Window.objects.create(account=account, name="5h", utilization=used, resets_at=resets_at, observed_at=now)


def test_commands_foretell_from_what_is_stored(work: Account) -> None:
    store_use(work, used=0.6, rate=0.4)
    Window.objects.create(account=work, name="requests", utilization=0.9, observed_at=timezone.now())
    now = timezone.now()
    [found] = foretold(now, work)
    assert (found.account, found.name, found.used) == ("work", "5h", 0.6)
    assert found.exhausts_at is not None
    assert abs(found.exhausts_at - now - timedelta(hours=1)) < timedelta(minutes=6)
    left = pool_minutes_left([found], now)
    assert left == pytest.approx(57, rel=0.1)  # two percent are kept in reserve
    assert pool_minutes_left(foretold(now), now) == left


def test_the_page_of_an_account_tells_its_forecast(work: Account) -> None:
    store_use(work, used=0.6, rate=0.4)
    browser = Client()
    browser.force_login(User.objects.create_superuser("ann", password=None))
    page = browser.get(f"/admin/accounts/account/{work.pk}/change/").content.decode()
    assert "How long the quotas last" in page
    assert re.search(r"<td>40\.\d% an hour</td><td>spent in (1h 0m|59m)</td>", page)
    Window.objects.all().delete()
    page = browser.get(f"/admin/accounts/account/{work.pk}/change/").content.decode()
    assert "How long the quotas last" not in page
