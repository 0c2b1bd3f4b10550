from __future__ import annotations

import json
import random
import zlib
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.db import connections
from django.db.models import Sum

from accounts.redact import MASK, register_secrets
from analytics.bodies.budget import drop_old_bodies, free_bodies, used_bytes
from analytics.bodies.pieces import RUN
from analytics.bodies.search import search_bodies, text_bytes
from analytics.bodies.store import KEEP_BYTES, TOUCH, BodyStore, KeptBody, keep_budget, read_body, write_body
from analytics.models import Body, BodyPiece

pytestmark = pytest.mark.django_db(databases=["default", "history"])
START = datetime(2026, 5, 4, 12, tzinfo=UTC)


def request(*texts: str, **more: Any) -> bytes:
    messages = [{"role": "user", "content": text + " filler" * 20} for text in texts]
    return json.dumps({"model": "m", "messages": messages, **more}).encode()


def keep(
    id_: str,
    content: bytes,
    *,
    side: str = Body.REQUEST,
    at: datetime = START,
    kind: str = "application/json",
) -> int:
    return write_body(KeptBody(id_, side, [content], len(content), kind, at=at))


def content_of(id_: str, side: str = Body.REQUEST) -> bytes:
    stored = read_body(id_, side)
    assert stored is not None
    return stored.content


def test_a_body_comes_back_as_it_was() -> None:
    body = request("one", "two", "drei \u20ac", "line\nbreak")
    keep("req_1", body)
    write_body(
        KeptBody("req_1", Body.RESPONSE, [b"data: 1\n\n", b"data: 2\n\n"], 18, "text/event-stream", at=START)
    )
    assert content_of("req_1") == body
    answer = read_body("req_1", Body.RESPONSE)
    assert answer is not None
    assert (answer.content, answer.content_type, answer.size) == (
        b"data: 1\n\ndata: 2\n\n",
        "text/event-stream",
        18,
    )
    assert (answer.is_cut, answer.at) == (False, START)
    assert read_body("req_2", Body.REQUEST) is None


def test_the_next_turn_stores_only_what_is_new() -> None:
    texts = [f"message {number} " + "words of a long message " * 20 for number in range(80)]
    keep("req_1", request(*texts))
    pieces = set(BodyPiece.objects.values_list("digest", flat=True))
    keep("req_2", request(*texts, "and now the answer"))
    new = BodyPiece.objects.exclude(digest__in=pieces)
    assert ["and now the answer" in zlib.decompress(bytes(row.data)).decode() for row in new] == [True]
    assert content_of("req_2") == request(*texts, "and now the answer")
    assert len(Body.objects.get(request_id="req_2").pieces.split()) < 80 // RUN + RUN + 1


def test_storing_twice_is_harmless() -> None:
    keep("req_1", request("first"))
    before = used_bytes()
    assert keep("req_1", request("something else")) == 0
    assert used_bytes() == before
    assert content_of("req_1") == request("first")


def test_what_is_too_large_is_cut() -> None:
    body = b"x" * (KEEP_BYTES + 10)
    keep("req_1", body, side=Body.RESPONSE)
    stored = read_body("req_1", Body.RESPONSE)
    assert stored is not None
    assert (len(stored.content), stored.size, stored.is_cut) == (KEEP_BYTES, KEEP_BYTES + 10, True)


def test_an_empty_body_is_a_body() -> None:
    keep("req_1", b"", side=Body.RESPONSE)
    assert content_of("req_1", Body.RESPONSE) == b""


def test_our_own_keys_are_never_stored() -> None:
    register_secrets(["canary-key-of-a-provider"], source="test-bodies")
    try:
        keep("req_1", request("my key is canary-key-of-a-provider"))
    finally:
        register_secrets([], source="test-bodies")
    assert b"canary" not in content_of("req_1")
    assert MASK.encode() in content_of("req_1")
    assert search_bodies("canary") == []


def test_used_bytes_are_those_of_the_tables() -> None:
    stored = keep("req_1", request("one", "two")) + keep("req_2", request("one", "two", "three"))
    assert used_bytes() == stored
    pieces = BodyPiece.objects.aggregate(total=Sum("stored"))["total"]
    assert stored == pieces + sum(len(row.pieces) for row in Body.objects.all()) + text_bytes()


def test_the_oldest_bodies_go_first_and_their_pieces_with_them() -> None:
    for number in range(6):
        keep(f"req_{number}", request(f"only in {number}", "in all of them"), at=START + number * 2 * TOUCH)
    keep_budget(10**9)
    assert Body.objects.count() == 6
    drop_old_bodies(START + 7 * TOUCH, older_by=TOUCH)
    assert sorted(Body.objects.values_list("request_id", flat=True)) == ["req_4", "req_5"]
    stored = b"".join(zlib.decompress(bytes(row.data)) for row in BodyPiece.objects.all())
    assert b"only in 4" in stored
    assert b"only in 3" not in stored
    assert content_of("req_4") == request("only in 4", "in all of them")


def test_a_budget_of_nothing_leaves_nothing() -> None:
    for number in range(5):
        keep(f"req_{number}", request(f"text {number}"))
    assert keep_budget(0) == 5
    assert (Body.objects.count(), BodyPiece.objects.count(), used_bytes()) == (0, 0, 0)
    assert search_bodies("text") == []


@pytest.mark.parametrize("seed", range(8))
def test_no_kept_body_ever_misses_a_piece(seed: int) -> None:
    """Conversations that grow, branch and come back, at any pace, with clocks that jump, while bodies are let go."""
    chooser = random.Random(seed)
    kept: dict[str, bytes] = {}
    sessions: list[list[str]] = [[] for _ in range(3)]
    now = START
    for number in range(60):
        now += chooser.choice([timedelta(seconds=5), TOUCH / 2, TOUCH * 3, -TOUCH * 2])
        session = chooser.choice(sessions)
        del session[len(session) - chooser.choice([0, 0, 0, 1, 3]) :]
        session.append(f"message {chooser.randrange(40)}")
        kept[f"req_{number}"] = request(*session)
        keep(f"req_{number}", kept[f"req_{number}"], at=now)
        if chooser.random() < 0.25:
            if chooser.random() < 0.5:
                free_bodies(chooser.randrange(1, used_bytes() + 1), older_by=TOUCH)
            else:
                drop_old_bodies(now - TOUCH * chooser.randrange(6), older_by=TOUCH)
            for id_ in Body.objects.values_list("request_id", flat=True):
                assert content_of(id_) == kept[id_]


def test_words_find_the_request_that_brought_them_newest_first() -> None:
    keep("req_1", request("the quick brown fox"))
    keep("req_2", request("the quick brown fox", "a lazy dog"))
    keep("req_3", request("another quick thing"))
    assert search_bodies("quick") == ["req_3", "req_1"]
    assert search_bodies("LAZY dog") == ["req_2"]
    assert search_bodies("brown quick") == ["req_1"]
    assert search_bodies("quick", limit=1) == ["req_3"]
    assert search_bodies("nowhere") == []


@pytest.mark.parametrize(
    "text", ["", '"', "quick*", "a AND", "(", "NEAR(a b)", "x OR y", "-quick", "^a:b", "\x00", "%", "'"]
)
def test_no_search_text_is_a_fault(text: str) -> None:
    keep("req_1", request("the quick brown fox"))
    assert search_bodies(text) in ([], ["req_1"])


def test_a_body_that_is_gone_is_not_found() -> None:
    keep("req_1", request("the quick brown fox"))
    keep("req_2", request("slow turtle"), at=START + 3 * TOUCH)
    drop_old_bodies(START + TOUCH, older_by=TOUCH)
    assert search_bodies("fox") == []
    assert search_bodies("turtle") == ["req_2"]


def test_a_full_queue_drops_and_counts() -> None:
    store = BodyStore(queue_bytes=150)
    for number in range(3):
        store.add(KeptBody(f"req_{number}", Body.REQUEST, [b"x" * 70], 70))
    assert (store.waiting, store.dropped) == (140, 1)
    assert store.flush()
    assert store.waiting == 0
    assert Body.objects.count() == 2


@pytest.mark.django_db(databases=["default", "history"], transaction=True)
def test_the_search_tables_go_and_come_with_their_migration() -> None:
    migration = import_module("analytics.migrations.0005_body_search")
    keep("req_1", request("the quick brown fox"))
    with connections["history"].schema_editor() as editor:
        migration.drop(apps, editor)
        assert search_bodies("quick") == []
        assert keep("req_2", request("the slow turtle")) > 0
        assert free_bodies(1, older_by=TOUCH) == 2
        migration.create(apps, editor)
    keep("req_3", request("the quick brown fox"))
    assert search_bodies("quick") == ["req_3"]
    assert keep_budget(0) == 1
