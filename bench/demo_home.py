"""A demo home: backends, accounts, keys, what the pool remembers, and the traffic. Import it after Django's setup."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import datetime, timedelta

from accounts.key_services import key_add
from accounts.models import Account, Bench, Window
from accounts.services import account_add, account_pause
from accounts.setup import backend_add_with_account
from analytics.bodies.store import KeptBody, write_body
from analytics.models import Body, RequestRecord, WindowSample
from analytics.recorder import Recorder
from backends.models import Backend
from backends.services import NewBackend, route_add
from bench.demo_traffic import DAYS, SUBSCRIPTIONS, Story

NOWHERE = "http://127.0.0.1:9"


def samples(now: datetime) -> Iterator[WindowSample]:
    """A week of the subscriptions' windows: a saw of five hours, and a slow rise over seven days."""
    for number, account in enumerate(SUBSCRIPTIONS):
        for step in range(7 * 24 * 6, -1, -1):
            at = now - timedelta(minutes=10 * step)
            for window, used, resets_at in windows_at(number, at, now):
                yield WindowSample(
                    at=at, backend="anthropic", account=account, window=window, used=used, resets_at=resets_at
                )


def windows_at(number: int, at: datetime, now: datetime) -> list[tuple[str, float, datetime]]:
    """(window, used, reset) of one subscription at one moment: it is used in waves of half an hour, less at night."""
    found = []
    for window, hours, left, used_by_hour in (
        ("5h", 5.0, (1.6, 3.1)[number], (0.19, 0.135)[number]),
        ("7d", 168.0, (26.2, 110.4)[number], (0.0056, 0.0048)[number]),
    ):
        end = now + timedelta(hours=left)
        resets_at = end - timedelta(hours=hours) * math.floor((end - at) / timedelta(hours=hours))
        passed = hours - (resets_at - at) / timedelta(hours=1)
        begins = resets_at - timedelta(hours=hours)
        is_day = 7 <= begins.hour <= 18 or hours > 5 or resets_at > now
        wave = passed + 0.09 * math.sin(passed * 6.9 + number)  # rises all the time, now faster, now slower
        found.append(
            (window, round(min(1.0, max(0.0, used_by_hour * wave * (1 if is_day else 0.12))), 3), resets_at)
        )
    return found


def configure(now: datetime, upstream: str) -> str:
    """Backends, accounts, client keys, routes; what the pool knew when it was last asked. Returns the key `laptop`."""
    for name, key in (
        ("openai", "sk-demo-0000000000000000"),
        ("ollama", None),
        ("anthropic", "sk-ant-demo-00000000"),
    ):
        backend_add_with_account(
            NewBackend(name, base_url=upstream if name == "anthropic" else f"{upstream}/v1"), key
        )
    anthropic = Backend.objects.get(name="anthropic")
    Account.objects.filter(alias="anthropic").update(alias="anthropic-api")
    for number, alias in enumerate(SUBSCRIPTIONS):
        row = account_add(alias, anthropic, f"sk-ant-demo-1111111111{number}")
        for window, used, resets_at in windows_at(number, now, now):
            Window.objects.create(
                account=row, name=window, utilization=used, resets_at=resets_at, observed_at=now
            )
    api = Account.objects.get(alias="anthropic-api")
    reason = "Your credit balance is too low to access the API."
    Bench.objects.create(account=api, kind="quota", reason=reason, strikes=2, since=now - timedelta(minutes=25),
                         until=now + timedelta(minutes=35))  # fmt: skip
    account_pause("ollama")
    Account.objects.update(resumed_at=now - timedelta(days=DAYS))
    keys = [key_add(name)[1] for name in ("laptop", "ci", "notebook")]
    route_add("fast", ["openai:gpt-5-mini", "ollama:qwen3-coder:30b"])
    route_add("local", ["ollama:qwen3-coder:30b"])
    route_add("claude-*", ["anthropic?keys=ci,laptop", "openai:gpt-5"])
    route_add("*", ["openai"])
    return keys[0]


def fill(now: datetime, days: int = DAYS, upstream: str = NOWHERE) -> str:
    """Write it all into the databases of this process; returns the client key `laptop`. Raises SystemExit.

    `upstream`: where all backends are; nothing is asked there while this runs.
    """
    if RequestRecord.objects.exists() or Backend.objects.exists():
        raise SystemExit("This home is in use. Give PATCHBAY_HOME a directory of its own.")
    key = configure(now, upstream)
    WindowSample.objects.bulk_create(samples(now), batch_size=500)
    recorder, story = Recorder(queue_rows=1_000_000), Story(now, days)
    for draft in sorted(story.drafts(), key=lambda draft: draft.started_at):
        recorder.record(draft)
    while recorder.waiting:
        if not recorder.flush():
            raise SystemExit("The history database takes no rows.")
    for before, turn in story.broken:
        keep_body(before, "16:40")
        keep_body(turn, "16:52")
    return key


def keep_body(request_id: str, clock: str) -> None:
    """A request whose system prompt tells the time: what breaks caches most often."""
    text = f"You are a coding agent. Work in small steps. The time is {clock}."
    body = json.dumps({"model": "m", "system": [{"type": "text", "text": text}], "messages": []}).encode()
    write_body(KeptBody(request_id, Body.REQUEST, [body], len(body), "application/json"))
