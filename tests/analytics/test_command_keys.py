from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.client_auth import digest_of
from accounts.models import ClientKey, KeySpend
from analytics.models import RequestRecord
from analytics.rollup_store import rebuild

pytestmark = pytest.mark.django_db(databases=["default", "history"])


def run(*words: str) -> str:
    out = StringIO()
    call_command("keys", *words, stdout=out, stderr=StringIO())
    return out.getvalue()


def run_json(*words: str) -> Any:
    return json.loads(run(*words, "--json"))


def test_the_key_stands_alone_on_the_last_line() -> None:
    key = run("add", "laptop").splitlines()[-1]
    assert ClientKey.objects.get(digest=digest_of(key)).name == "laptop"


def test_json_holds_name_id_and_key() -> None:
    added = run_json("add", "laptop", "--models", "gpt-*", "--expires", "90d")
    assert list(added) == ["name", "id", "key"]
    row = ClientKey.objects.get(digest=digest_of(added["key"]))
    assert (row.name, row.model_globs) == ("laptop", ["gpt-*"])


def test_a_listing_never_shows_the_key() -> None:
    key = run_json("add", "laptop")["key"]
    shown = run("list") + run("list", "--json")
    assert key[:7] in shown
    assert key[:12] not in shown


def test_revoking_is_final_and_can_be_repeated() -> None:
    run("add", "laptop")
    assert run_json("revoke", "laptop")["status"] == "revoked"
    first = run_json("list")[0]["revokedAt"]
    assert run_json("revoke", "laptop")["revokedAt"] == first


@pytest.mark.parametrize(
    "words",
    [
        ("add", "x", "--expires", "soon"),
        ("add", "x", "--budget", "20/year"),
        ("add", "x", "--rpm", "0"),
        ("set", "nobody", "--rpm", "5"),
        ("revoke", "nobody"),
        ("add", "a b"),
    ],
)
def test_what_cannot_be_done_is_exit_1(words: tuple[str, ...]) -> None:
    with pytest.raises(CommandError) as failure:
        run(*words)
    assert failure.value.returncode == 1


def test_set_without_anything_to_set_is_wrong_use() -> None:
    run("add", "ci")
    with pytest.raises(CommandError) as failure:
        run("set", "ci")
    assert failure.value.returncode == 2


def test_limits_are_added_and_changed() -> None:
    said = run("add", "ci", "--rpm", "60", "--tpm", "100000", "--budget", "20/month")
    assert "60 requests/min, 100,000 tokens/min, $20.00/month" in said
    assert "120 requests/min, 100,000 tokens/min, $0.50/day" in run(
        *("set", "ci", "--rpm", "120", "--budget", "0.50/day")
    )
    assert "no limits" in run("set", "ci", "--rpm", "none", "--tpm", "none", "--budget", "none")
    assert run_json("set", "ci", "--models", "gpt-*,o3")["models"] == ["gpt-*", "o3"]


def record(number: int, key: str, hours: float = 0.0, **fields: Any) -> RequestRecord:
    moment = timezone.now() - timedelta(hours=hours)
    defaults = {"duration_ms": 1, "outcome": "ok", "started_at": moment, "status": 200}
    return RequestRecord(id=f"req_{number:024x}", key=key, **(defaults | fields))


def test_a_listing_tells_what_each_key_has_used() -> None:
    run("add", "ci", "--budget", "5/month")
    run("add", "idle", "--rpm", "60")
    KeySpend.objects.create(
        key=ClientKey.objects.get(name="ci"), period=f"{timezone.now():%Y-%m-%d}", amount=Decimal("1.5")
    )
    tokens = {"fresh_input_tokens": 10, "cache_read_tokens": 5, "output_tokens": 7}
    rows = [
        record(1, "ci", cost=Decimal("0.25"), cost_source="priced", **tokens),
        record(2, "ci", cost_source="unpriced", fresh_input_tokens=100, output_tokens=1),
        record(3, "ci", outcome="rejected", status=429),
        record(4, "", cost=Decimal(9), cost_source="priced", **tokens),
        record(5, "ci", hours=24 * 32, cost=Decimal(9), cost_source="priced", **tokens),
    ]
    RequestRecord.objects.bulk_create(rows)
    rebuild()
    ci, idle = run_json("list")
    assert (ci["requests"], ci["refusedRequests"], ci["unpricedRequests"]) == (2, 1, 1)
    assert (ci["inputTokens"], ci["outputTokens"], ci["estimatedCost"]) == (115, 8, 0.25)
    assert (ci["budget"], ci["budgetPeriod"], ci["budgetSpent"], ci["budgetRemaining"]) == (
        5,
        "month",
        1.5,
        3.5,
    )
    assert ci["lastUsedAt"] is not None
    assert (idle["requests"], idle["lastUsedAt"], idle["budget"], idle["budgetSpent"]) == (
        0,
        None,
        None,
        None,
    )
    assert idle["requestsPerMinute"] == 60
    table = run("list")
    assert "$1.50 of $5.00 this month + 1 unpriced" in table
    assert "60 requests/min" in table
    assert "just now" in table
