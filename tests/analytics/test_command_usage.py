from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import Account, Window
from analytics.drafts import Outcome
from analytics.figures import NOTHING
from analytics.models import WindowSample
from backends.models import Backend
from tests.analytics.test_summary import ended, write

pytestmark = pytest.mark.django_db(databases=["default", "history"])


def run(*words: str) -> str:
    out = StringIO()
    call_command("usage", *words, stdout=out, stderr=StringIO())
    return out.getvalue()


def run_json(*words: str) -> Any:
    return json.loads(run(*words, "--json"))


@pytest.fixture
def quota() -> None:
    """Account `work` burns 40 % of its 5h window an hour; 60 % are used, the reset is three hours away."""
    now = timezone.now()
    backend = Backend.objects.create(name="anthropic", base_url="http://127.0.0.1:1", protocol="anthropic")
    work = Account.objects.create(alias="work", backend=backend, kind=Account.NONE)
    resets_at = now + timedelta(hours=3)
    named = {"backend": "anthropic", "account": "work", "window": "5h", "resets_at": resets_at}
    for back in range(13):
        at = now - timedelta(minutes=5 * back)
        WindowSample.objects.create(at=at, used=0.6 - back / 30, **named)
    Window.objects.create(account=work, name="5h", utilization=0.6, resets_at=resets_at, observed_at=now)


def test_an_empty_history_is_told_in_a_few_lines() -> None:
    assert run().splitlines() == [
        "The last 1h 0m: 0 requests, 0 failed, 0 rejected",
        "Tokens   0 in, 0 out",
        f"Cost     {NOTHING}",
    ]


def test_totals_a_table_and_forecasts_for_people(quota: None) -> None:
    write(
        ended(30, ms=2000),
        ended(20, ms=4000),
        ended(10, Outcome.REJECTED),
        ended(9, model_used="\x1b[31mbad"),
    )
    lines = run("--by", "model").splitlines()
    assert lines[0] == "The last 1h 0m: 4 requests, 0 failed, 1 rejected"
    assert "unpriced" in lines[2]
    assert lines[3].startswith("Time     half within 2.00 s, 99 % within 4.00 s")
    assert any(line.startswith("MODEL") and "MEAN TIME" in line for line in lines)
    assert any(line.startswith("gpt-4o") and "3.00 s" in line for line in lines)
    assert any(line.startswith("\\x1b[31mbad") and "unpriced" in line for line in lines)
    [told] = [line for line in lines if line.startswith("work  ")]
    assert "60%" in told
    assert "40.0% an hour" in told
    assert "spent in 1h 0m" in told or "spent in 59m" in told or "spent in 58m" in told


@pytest.mark.parametrize("by", ["account", "backend", "key", "session"])
def test_every_grouping(by: str) -> None:
    write(ended(5))
    names = {"account": "work", "backend": "openai", "key": "laptop", "session": "s1"}
    lines = run("--by", by).splitlines()
    assert any(line.startswith(by.upper()) for line in lines)
    assert any(line.startswith(names[by]) for line in lines)


def test_json_is_shaped_like_the_endpoint(quota: None) -> None:
    write(ended(30))
    told = run_json("--minutes", "1440")
    assert set(told) == {"window", "perModel", "perAccount", "perBackend", "perKey", "predictions"}
    assert (told["window"]["minutes"], told["window"]["requests"]) == (1440, 1)
    prediction = told["predictions"]["work"]["5h"]
    assert set(prediction) == {"burnPerMinute", "exhaustsAt", "minutesLeft", "resetsAt", "outlastsReset"}
    assert prediction["minutesLeft"] == pytest.approx(60, rel=0.1)
    assert prediction["outlastsReset"] is False
    assert prediction["exhaustsAt"] < prediction["resetsAt"]
    assert told["predictions"]["estimatedExhaustionMinutes"] == pytest.approx(57, rel=0.1)
    assert told["predictions"]["tokenBurnRate"] > 0
    assert set(run_json("--by", "session")["perSession"]) == {"s1"}


@pytest.mark.parametrize("minutes", ["0", "-5", "525601"])
def test_minutes_out_of_range_are_wrong_use(minutes: str) -> None:
    with pytest.raises(CommandError) as failure:
        run("--minutes", minutes)
    assert failure.value.returncode == 2
    assert "525600" in str(failure.value)
