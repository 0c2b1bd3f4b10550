"""The recorder: nothing lost that fits, nothing poisoned, nothing waited for."""

from __future__ import annotations

from decimal import Decimal

import pytest

from analytics.decision import CandidateNote, ChoiceNote
from analytics.drafts import AttemptDraft, Outcome, RecordDraft, new_request_id
from analytics.models import Attempt, RequestRecord
from analytics.recorder import Recorder
from backends.wire.kinds import Kind, Protocol
from backends.wire.usage import Usage
from tests.analytics.locking import history_is_locked, wait_briefly

pytestmark = pytest.mark.django_db(databases=["default", "history"], transaction=True)
USAGE = Usage(1000, 0, 0, 0, 200, 0, b"{}")


def draft(**fields: object) -> RecordDraft:
    made = RecordDraft(new_request_id(), Protocol.OPENAI, Kind.CHAT)
    for name, value in fields.items():
        setattr(made, name, value)
    made.end(Outcome.OK)
    return made


def test_a_batch_becomes_rows_with_their_attempts() -> None:
    recorder = Recorder()
    attempt = AttemptDraft("openai", "one", "gpt-4o")
    attempt.end("ok", "go_on")
    usage = Usage(
        fresh_input=5, cache_read=3, cache_write_5m=1, cache_write_1h=2, output=7, reasoning=4, raw=b"{}"
    )
    made = draft(attempts=[attempt], usage=usage, model_asked="gpt-4o", mutations=["$.model=alias"])
    recorder.record(made)
    assert recorder.flush()
    row = RequestRecord.objects.get(pk=made.id)
    assert (row.input_tokens, row.cache_write_tokens, row.output_tokens, row.attempts) == (11, 3, 7, 1)
    assert (row.usage_source, row.mutations) == ("reported", "$.model=alias")
    assert Attempt.objects.get(request_id=made.id).verdict == "go_on"


def test_usage_of_an_unfinished_stream_counts_as_an_estimate() -> None:
    recorder = Recorder()
    made = draft(usage=Usage(1, 0, 0, 0, 1, 0, b"{}"), usage_is_final=False)
    recorder.record(made)
    recorder.flush()
    assert RequestRecord.objects.get(pk=made.id).usage_source == "estimated"


@pytest.mark.parametrize(
    ("fields", "cost", "source"),
    [
        ({"provider": "openai", "usage": USAGE}, Decimal("0.0045"), "priced"),
        ({"provider": "openai", "usage": USAGE, "usage_is_final": False}, Decimal("0.0045"), "estimated"),
        ({"provider": "ollama", "usage": USAGE}, None, "unpriced"),
        ({"provider": "openai", "usage": Usage(2**53, 0, 0, 0, 2**53, 0, b"{}")}, None, "unpriced"),
        ({"attempts": [AttemptDraft("openai", "one", "gpt-4o")]}, None, "unpriced"),
        ({"attempts": [AttemptDraft("openai", "one", "gpt-4o")], "kind": Kind.COUNT_TOKENS}, None, ""),
        ({}, None, ""),
    ],
)
def test_the_writer_prices_what_was_used(fields: dict[str, object], cost: object, source: str) -> None:
    recorder = Recorder()
    made = draft(model_used="gpt-4o", **fields)
    recorder.record(made)
    assert recorder.flush()
    row = RequestRecord.objects.get(pk=made.id)
    assert (row.cost, row.cost_source) == (cost, source)


def test_a_failed_request_has_nothing_to_price() -> None:
    recorder = Recorder()
    made = RecordDraft(new_request_id(), Protocol.OPENAI, Kind.CHAT)
    made.attempts.append(AttemptDraft("openai", "one", "gpt-4o"))
    made.end(Outcome.ERROR)
    recorder.record(made)
    assert recorder.flush()
    assert RequestRecord.objects.get(pk=made.id).cost_source == ""


def test_why_it_went_there_is_kept_without_secrets() -> None:
    recorder = Recorder()
    key = "sk-proj-abcdefghijklmnop1234567890"
    candidates = (CandidateNote("a", 1.0, 0.5), CandidateNote("b", 2.0, 0.6, f"refused: {key}"))
    choice = ChoiceNote("openai", "gpt-4o", "headroom", "a", "the only one left", 12.5, candidates)
    made = draft(rule="alias", route_reason="alias fast", choices=[choice, choice], queued_s=0.025)
    recorder.record(made)
    assert recorder.flush()
    row = RequestRecord.objects.get(pk=made.id)
    assert row.queued_ms == 25.0
    assert row.decision_note is not None
    assert row.decision_note.choices[1].candidates[0] == candidates[0]
    assert key not in (row.decision or "")
    assert row.decision_note.choices[0].candidates[1].excluded == "refused: [redacted]"


def test_a_request_that_was_never_routed_has_no_decision() -> None:
    recorder = Recorder()
    made = draft()
    recorder.record(made)
    assert recorder.flush()
    row = RequestRecord.objects.get(pk=made.id)
    assert (row.decision, row.decision_note, row.queued_ms) == ("", None, None)


def test_writing_the_same_draft_twice_leaves_one_row() -> None:
    made = draft()
    for _ in range(2):
        recorder = Recorder()
        recorder.record(made)
        assert recorder.flush()
    assert RequestRecord.objects.filter(pk=made.id).count() == 1


@pytest.mark.parametrize("text", ["nul \x00 byte", "lone \ud800 surrogate", "x" * 100_000, "ansi \x1b[31m"])
def test_odd_text_is_stored_somehow(text: str) -> None:
    recorder = Recorder()
    choice = ChoiceNote(text, text, text, text, text, 0.0, (CandidateNote(text, None, None, text),))
    texts = dict.fromkeys(("model_asked", "error", "client", "path", "session", "rule", "provider"), text)
    made = draft(**texts, choices=[choice], model_used=text, usage=USAGE)
    recorder.record(made)
    assert recorder.flush()
    assert RequestRecord.objects.get(pk=made.id).model_asked[:3] == text[:3]


def test_a_full_queue_drops_and_counts_but_never_blocks() -> None:
    recorder = Recorder(queue_rows=2)
    for _ in range(5):
        recorder.record(draft())
    assert (recorder.waiting, recorder.dropped, recorder.taken) == (2, 3, 5)


def test_rows_wait_while_the_database_is_locked_and_are_written_after() -> None:
    recorder = Recorder()
    made = draft()
    recorder.record(made)
    wait_briefly(50)
    with history_is_locked():
        assert recorder.flush() is False
        assert recorder.waiting == 1
    assert recorder.flush() is True
    assert RequestRecord.objects.filter(pk=made.id).exists()


def test_the_thread_writes_what_is_waiting_when_it_stops() -> None:
    recorder = Recorder()
    recorder.start()
    made = [draft() for _ in range(30)]
    for each in made:
        recorder.record(each)
    recorder.stop()
    assert RequestRecord.objects.filter(pk__in=[each.id for each in made]).count() == 30


def test_a_draft_ends_once() -> None:
    made = RecordDraft(new_request_id(), Protocol.OPENAI, Kind.CHAT)
    assert made.end(Outcome.CANCELLED) is True
    assert made.end(Outcome.OK) is False
    assert made.outcome is Outcome.CANCELLED
