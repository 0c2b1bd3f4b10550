"""`why`: the account of one request, for people, for scripts and in the admin."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.utils import quote
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from analytics.decision import CandidateNote, ChoiceNote
from analytics.drafts import AttemptDraft, Outcome, RecordDraft, new_request_id
from analytics.models import RequestRecord
from analytics.recorder import Recorder
from backends.wire.kinds import Kind, Protocol
from backends.wire.usage import Usage
from tests.analytics.history import add_record
from tests.patchbay import Patchbay

pytestmark = pytest.mark.django_db(databases=["default", "history"])


def attempt(account: str, status: int | None, outcome: str, verdict: str, error: str = "") -> AttemptDraft:
    made = AttemptDraft("anthropic", account, "claude-opus-4-8", status=status)
    made.end(outcome, verdict, error)
    return made


def failed_over() -> RecordDraft:
    """A request that one account refused and another one answered, while the best was benched."""
    draft = RecordDraft(new_request_id(), Protocol.ANTHROPIC, Kind.MESSAGES, path="/v1/messages")
    draft.model_asked, draft.model_used, draft.stream, draft.lane = "opus", "claude-opus-4-8", True, "direct"
    draft.backend, draft.account, draft.provider, draft.status = "anthropic", "home", "anthropic", 200
    draft.key, draft.session, draft.session_source = "laptop", "s-42", "first_message"
    draft.rule, draft.route_reason = "alias", "alias opus"
    benched = CandidateNote("spare", 97.0, 0.97, "cooling for 42 s")
    draft.choices = [
        ChoiceNote(
            *("anthropic", "claude-opus-4-8", "headroom", "work", "the most left", 120.0),
            (CandidateNote("work", 80.0, 0.8), CandidateNote("home", 30.0, 0.3), benched),
        ),
        ChoiceNote(
            *("anthropic", "claude-opus-4-8", "headroom", "home", "the only one left", 3.5),
            (CandidateNote("work", 80.0, 0.8, "already tried"), CandidateNote("home", 30.0, 0.3), benched),
            others=2,
        ),
    ]
    draft.attempts = [
        attempt("work", 429, "rate_limited", "next_account", "too many requests"),
        attempt("home", 200, "ok", "go_on"),
    ]
    draft.mutations, draft.lost = ["$.model=alias", "header:anthropic-beta=oauth"], ["$.top_k"]
    draft.usage = Usage(1000, 10_000, 2000, 1000, 500, 100, b"{}")
    draft.ttft_ms, draft.queued_s = 812.5, 0.1235
    return draft


def stored(draft: RecordDraft, outcome: Outcome = Outcome.OK) -> RequestRecord:
    draft.end(outcome)
    recorder = Recorder()
    recorder.record(draft)
    assert recorder.flush()
    return RequestRecord.objects.get(pk=draft.id)


def why(*words: str) -> str:
    out = StringIO()
    call_command("why", *words, stdout=out, stderr=StringIO())
    return out.getvalue()


def why_json(*words: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(why(*words, "--json"))
    return answer


def test_people_are_told_everything() -> None:
    row = stored(failed_over())
    told = why(row.id)
    for line in (
        "model: opus",
        "client key: laptop",
        "session: s-42, from the first message",
        "ok, status 200, after",
        "by anthropic/home, model claude-opus-4-8, direct lane",
        "rule alias: alias opus",
        "→ account work: the most left, after waiting 120.0 ms",
        "    - work: headroom 80%, score 80, chosen",
        "    - home: headroom 30%, score 30, could serve",
        "    - spare: headroom 97%, score 97, excluded: cooling for 42 s",
        "    - would have gone to spare, had it been able to serve; it was not: cooling for 42 s",
        "    - and 2 more",
        "1. anthropic/work, model claude-opus-4-8 → status 429, rate_limited in",
        "then next account: too many requests",
        "2. anthropic/home, model claude-opus-4-8 → status 200, ok in",
        "changed: $.model=alias, header:anthropic-beta=oauth",
        "lost: $.top_k",
        "tokens: 14000 in, 500 out, 10,000 read from cache, 3,000 written to cache, 100 of reasoning",
        "cost: $0.045 at list prices",
        "waiting for an account: 123.5 ms",
        "until the first content: 812.5 ms",
    ):
        assert line in told, line
    assert told.count("would have gone to") == 2
    assert why("--last") == told == why(f"  {row.id}\n")


def test_scripts_are_told_the_same() -> None:
    row = stored(failed_over())
    told = why_json(row.id)
    assert (told["id"], told["cost"], told["costSource"], told["queuedMs"]) == (
        row.id,
        0.045,
        "priced",
        123.5,
    )
    assert (told["session"], told["sessionSource"]) == ("s-42", "first_message")
    assert told["mutations"] == ["$.model=alias", "header:anthropic-beta=oauth"]
    assert told["lost"] == ["$.top_k"]
    assert (told["decision"]["rule"], told["decision"]["reason"]) == ("alias", "alias opus")
    first, second = told["decision"]["choices"]
    assert (first["chosen"], first["waitedMs"], first["strategy"]) == ("work", 120.0, "headroom")
    spare = {"alias": "spare", "score": 97.0, "headroom": 0.97, "excluded": "cooling for 42 s"}
    assert first["candidates"][2] == first["passedOver"] == second["passedOver"] == spare
    assert first["candidates"][0]["excluded"] is None
    assert second["others"] == 2
    tried = [(a["account"], a["status"], a["outcome"], a["verdict"]) for a in told["attemptList"]]
    assert tried == [("work", 429, "rate_limited", "next_account"), ("home", 200, "ok", "go_on")]


def test_the_last_is_the_one_that_began_last() -> None:
    add_record(age_s=60)
    newest = add_record(age_s=1)
    add_record(age_s=30)
    assert why_json("--last")["id"] == newest.id


def test_a_request_that_nobody_could_serve() -> None:
    draft = RecordDraft(new_request_id(), Protocol.OPENAI, Kind.CHAT, model_asked="fast", rule="route")
    paused = CandidateNote("one", 12.0, None, "paused")
    draft.choices = [
        ChoiceNote("groq", "llama", "headroom", "", "nobody recovered in time", 60_000.0, (paused,))
    ]
    told = why(stored(draft, Outcome.ERROR).id)
    assert "→ no account: nobody recovered in time, after waiting 60,000.0 ms" in told
    assert "- one: headroom unknown, score 12, excluded: paused" in told
    assert "would have gone to one" in told
    assert "none: no upstream was asked" in told
    assert "cost:" not in told


def test_the_last_resort_is_chosen_in_spite_of_its_faults() -> None:
    draft = failed_over()
    faulty = CandidateNote("work", None, 0.5, "no connection 3 times")
    draft.choices = [
        ChoiceNote("a", "m", "headroom", "work", "the only one", candidates=(faulty,), is_bound=True)
    ]
    row = stored(draft)
    told = why(row.id)
    assert "- work: headroom 50%, chosen, in spite of: no connection 3 times" in told
    assert "would have gone" not in told
    assert why_json(row.id)["decision"]["choices"][0]["isBound"] is True


def test_rows_without_a_decision_say_why() -> None:
    refused = stored(RecordDraft(new_request_id(), Protocol.OPENAI, Kind.CHAT), Outcome.REJECTED)
    assert "nothing: it was refused before it was routed" in why(refused.id)
    assert why_json(refused.id)["decision"] is None
    assert "nothing: this row does not say" in why(add_record().id)
    assert "nothing: this row does not say" in why(add_record(decision="not ours").id)


@pytest.mark.parametrize("words", [("req_nothing",), ("",), ("req_\x1b[2J",), ("x" * 100_000,), ("--last",)])
def test_an_unknown_request_is_exit_1_and_says_what_to_do(words: tuple[str, ...]) -> None:
    with pytest.raises(CommandError) as failure:
        why(*words)
    assert failure.value.returncode == 1
    assert "python manage.py history" in str(failure.value) or "Send a request" in str(failure.value)
    assert len(str(failure.value)) < 300
    assert "\x1b" not in str(failure.value)


@pytest.mark.parametrize("words", [(), ("req_1", "--last"), ("req_1", "req_2")])
def test_one_request_must_be_named(words: tuple[str, ...]) -> None:
    with pytest.raises(CommandError) as failure:
        why(*words)
    assert failure.value.returncode != 0


def nasty() -> RecordDraft:
    text = "<script>alert(1)</script>\x1b[2J\r\n"
    draft = failed_over()
    draft.model_asked = draft.client = draft.session = draft.route_reason = draft.error = text
    draft.choices = [ChoiceNote(text, text, text, "a", text, 1.0, (CandidateNote(text, None, None, text),))]
    draft.attempts[0].error = text
    return draft


def test_what_others_sent_cannot_move_the_cursor() -> None:
    row = stored(nasty())
    assert not set(why(row.id) + why(row.id, "--json")) & set("\x1b\r")


def test_what_others_sent_is_inert_in_the_admin() -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("ann", password=None))
    page = client.get(f"/admin/analytics/requestrecord/{quote(stored(nasty()).id)}/change/").content.decode()
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(1)") >= 8


def test_the_admin_shows_the_same_account() -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("ann", password=None))
    row = stored(failed_over())
    page = client.get(f"/admin/analytics/requestrecord/{quote(row.id)}/change/").content.decode()
    for part in (
        "rule alias: alias opus",
        "<li>- spare: headroom 97%, score 97, excluded: cooling for 42 s</li>",
        "would have gone to spare",
        "status 429, rate_limited in",
        "cost: $0.045 at list prices",
        "123.5 ms",
        "first_message",
    ):
        assert part in page, part
    found = client.get("/admin/analytics/requestrecord/", {"q": "s-42"}).content.decode()
    assert quote(row.id) in found


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("req_nothing",), 1, "why: No request 'req_nothing' in the history."),
        (("--last",), 1, "why: The history is empty."),
        ((), 2, "why: one of the arguments ID --last is required"),
    ],
)
def test_the_exit_codes_of_the_command_line(
    tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    done = Patchbay(home=tmp_path / "home").manage("why", *words, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == 1
