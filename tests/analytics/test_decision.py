"""Decision notes: nothing lost on the way to text and back, never too large, and an honest "what if"."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.decision import (
    MAX_BYTES,
    MAX_CANDIDATES,
    MAX_CHOICES,
    CandidateNote,
    ChoiceNote,
    DecisionNote,
)

numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
candidates = st.builds(CandidateNote, texts, numbers, numbers, texts)
choices = st.builds(
    ChoiceNote,
    backend=texts,
    model=texts,
    strategy=texts,
    chosen=texts,
    reason=texts,
    waited_ms=st.floats(0, 1e9),
    candidates=st.lists(candidates, max_size=4).map(tuple),
    others=st.integers(0, 1000),
    is_bound=st.booleans(),
)
notes = st.builds(DecisionNote, texts, texts, st.lists(choices, max_size=3).map(tuple))
any_text = st.text(max_size=30) | st.sampled_from(
    ["\ud800", "\x00" * 3000, "\U0001f600" * 3000, '"\\' * 3000]
)
large_choices = st.builds(
    ChoiceNote,
    backend=any_text,
    model=any_text,
    strategy=any_text,
    chosen=any_text,
    reason=any_text,
    candidates=st.integers(0, 40).map(
        lambda count: tuple(CandidateNote(f"a{n}" * 20, n, 0.5, "cooling " * 9) for n in range(count))
    ),
)
large_notes = st.builds(DecisionNote, any_text, any_text, st.lists(large_choices, max_size=20).map(tuple))


def choice(*noted: CandidateNote, chosen: str = "", strategy: str = "headroom", **more: bool) -> ChoiceNote:
    return ChoiceNote("openai", "gpt-4o", strategy, chosen, "the most left", candidates=noted, **more)


@given(notes)
def test_a_note_survives_the_way_to_text_and_back(note: DecisionNote) -> None:
    assert note.bounded() is note
    assert DecisionNote.from_json(note.as_json()) == note


@given(large_notes)
def test_a_note_of_any_size_fits_and_stays_readable(note: DecisionNote) -> None:
    text = note.as_json()
    assert len(text.encode()) <= MAX_BYTES
    kept = DecisionNote.from_json(text)
    assert kept == note.bounded() == note.bounded().bounded()
    assert len(kept.choices) == min(MAX_CHOICES, len(note.choices))
    if len(note.choices) <= MAX_CHOICES:
        for before, after in zip(note.choices, kept.choices, strict=True):
            assert len(after.candidates) + after.others == len(before.candidates)
            assert len(after.candidates) <= MAX_CANDIDATES


def test_the_chosen_and_the_best_candidates_are_kept_in_their_order() -> None:
    many = [CandidateNote(f"a{n}", float(n), n / 100) for n in range(40)]
    kept = DecisionNote("route", "", (choice(*many, chosen="a3"),)).bounded().choices[0]
    assert [note.alias for note in kept.candidates] == ["a3", *(f"a{n}" for n in range(21, 40))]
    assert kept.others == 20


def test_the_text_is_short() -> None:
    five = [CandidateNote(f"account-{n}", 80.0, 0.8) for n in range(5)]
    text = DecisionNote("alias", "alias fast", (choice(*five, chosen="account-0"),)).as_json()
    assert len(text) < 250
    assert json.loads(text)[:2] == ["alias", "alias fast"]


@pytest.mark.parametrize("text", ["", "{}", "[1]", "[", "null", '["a","b",[["c"]]]'])
def test_what_is_no_note_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        DecisionNote.from_json(text)


def test_a_field_added_later_does_not_make_old_notes_unreadable() -> None:
    assert DecisionNote.from_json('["alias","why",[],"from a later version"]').rule == "alias"
    assert DecisionNote.from_json('["alias"]') == DecisionNote("alias")


def test_every_text_for_people_is_among_the_words() -> None:
    note = DecisionNote("alias", "one", (choice(CandidateNote("a", excluded="two"), CandidateNote("b")),))
    assert list(note.words()) == ["one", "the most left", "two"]
    shouted = note.mapped(str.upper)
    assert list(shouted.words()) == ["ONE", "THE MOST LEFT", "TWO"]
    assert shouted.choices[0].candidates[1].alias == "B"


SPENT = CandidateNote("spent", 10.0, 0.1, "limited until 12:00")
BETTER = CandidateNote("better", 90.0, 0.9, "cooling for 42 s")
USED = CandidateNote("used", 50.0, 0.5)
UNSCORED = CandidateNote("unscored", None, 0.95, "paused")


@pytest.mark.parametrize(
    ("made", "missed"),
    [
        (choice(USED, BETTER, chosen="used", is_bound=True), None),
        (choice(USED, BETTER, chosen="better"), None),
        (choice(USED, BETTER, SPENT, chosen="used"), BETTER),
        (choice(USED, SPENT, chosen="used"), None),
        (choice(USED, chosen="used"), None),
        (choice(SPENT, BETTER), BETTER),
        (choice(SPENT, UNSCORED), SPENT),
        (choice(UNSCORED), UNSCORED),
        (choice(USED, UNSCORED, chosen="used"), UNSCORED),
        (choice(USED, UNSCORED, chosen="used", strategy="round-robin"), None),
        (choice(USED, CandidateNote("equal", 50.0, 0.5, "paused"), chosen="used"), None),
        (choice(), None),
    ],
)
def test_who_would_have_been_chosen(made: ChoiceNote, missed: CandidateNote | None) -> None:
    assert made.passed_over() == missed


def test_an_account_that_the_request_already_tried_was_not_passed_over() -> None:
    tried = CandidateNote("better", 90.0, 0.9, "already tried")
    first, second = (
        choice(CandidateNote("better", 90.0, 0.9), chosen="better"),
        choice(USED, tried, chosen="used"),
    )
    assert DecisionNote("alias", "", (first, second)).passed_over() == (None, None)
    elsewhere = ChoiceNote("groq", "llama", "headroom", "used", "", candidates=(USED, tried))
    assert DecisionNote("alias", "", (first, elsewhere)).passed_over() == (None, tried)
