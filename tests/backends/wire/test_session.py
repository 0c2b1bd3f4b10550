"""A conversation keeps its session over all its turns, and no two conversations share one by accident."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.wire.kinds import Kind
from backends.wire.session import NO_SESSION, Session, session_of
from backends.wire.splice import BadBody, peek

UUID = "12345678-1234-1234-1234-123456789abc"
OTHER = "87654321-4321-4321-4321-cba987654321"
HASH = re.compile(r"h-[0-9a-f]{24}")
KINDS = [Kind.MESSAGES, Kind.COUNT_TOKENS, Kind.CHAT, Kind.RESPONSES]


def session(kind: Kind, body: dict[str, Any], headers: dict[bytes, bytes] | None = None) -> Session:
    content = json.dumps({"model": "m"} | body).encode()
    return session_of(kind, headers or {}, peek(kind, content))


def conversation(kind: Kind, *turns: tuple[str, Any], **fields: Any) -> dict[str, Any]:
    name = "input" if kind is Kind.RESPONSES else "messages"
    return {name: [{"role": role, "content": content} for role, content in turns]} | fields


def opening(kind: Kind, content: Any) -> Session:
    return session(kind, conversation(kind, ("user", content)))


def text(words: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": words} | fields


MARK = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
HI = [("user", "hi")]


@pytest.mark.parametrize(
    "name",
    [
        "x-claude-code-session-id",
        "session-id",
        "session_id",
        "thread-id",
        "conversation-id",
        "conversation_id",
        "x-opencode-session",
        "x-session-affinity",
        "x-session-id",
        "x-grok-conv-id",
    ],
)
@pytest.mark.parametrize("kind", list(Kind))
def test_a_header_names_the_session(kind: Kind, name: str) -> None:
    body = (
        {"input": "x", "prompt": "x"}
        if kind in (Kind.EMBEDDINGS, Kind.COMPLETIONS)
        else conversation(kind, *HI)
    )
    assert session(kind, body, {name.encode(): UUID.encode()}) == Session(UUID, "header")


def test_the_most_specific_header_wins() -> None:
    headers = {b"x-session-id": b"general", b"thread-id": b"sub-agent", b"session-id": b"whole"}
    body = conversation(Kind.RESPONSES, *HI, prompt_cache_key="key")
    assert session(Kind.RESPONSES, body, headers) == Session("whole", "header")
    assert session(Kind.RESPONSES, body, {b"session-id": b"  ", b"thread-id": b"t"}) == Session("t", "header")


def user_id_text(uuid: str) -> str:
    return f"user_{'a' * 64}_account__session_{uuid}"


def user_id_json(uuid: str) -> str:
    return json.dumps({"device_id": "d" * 64, "account_uuid": "", "session_id": uuid})


@pytest.mark.parametrize("kind", [Kind.MESSAGES, Kind.COUNT_TOKENS])
@pytest.mark.parametrize("user_id", [user_id_text, user_id_json])
def test_the_sessions_part_of_the_user_id(kind: Kind, user_id: Any) -> None:
    body = conversation(kind, *HI, metadata={"user_id": user_id(UUID)})
    assert session(kind, body) == Session(UUID, "metadata")
    assert session(kind, body, {b"session-id": OTHER.encode()}) == Session(OTHER, "header")


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {},
        {"user_id": None},
        {"user_id": 5},
        {"user_id": ""},
        {"user_id": "somebody"},
        {"user_id": "user_a_account__session_"},
        {"user_id": "{"},
        {"user_id": '{"session_id": 5}'},
        {"user_id": '{"session_id": ""}'},
        {"user_id": '{"device_id": "d"}'},
        {"user_id": '{"a":' * 100_000},
        {"user_id": '{"session_id": "\\ud800"}'},
        {"other": "x"},
    ],
)
def test_a_user_id_without_a_session_names_none(metadata: Any) -> None:
    body = conversation(Kind.MESSAGES, *HI, metadata=metadata)
    assert session(Kind.MESSAGES, body) == opening(Kind.MESSAGES, "hi")


@pytest.mark.parametrize("kind", [Kind.CHAT, Kind.RESPONSES])
def test_the_key_of_the_prompt_cache(kind: Kind) -> None:
    assert session(kind, conversation(kind, *HI, prompt_cache_key="k-1")) == Session("k-1", "cache_key")
    for junk in (None, "", 5, ["k"], {}):
        body = conversation(kind, *HI, prompt_cache_key=junk)
        assert session(kind, body).source == "first_message"


@pytest.mark.parametrize("named", ["conv_1", {"id": "conv_1"}])
def test_a_stored_conversation_is_a_session(named: Any) -> None:
    body = {"input": "and now?", "conversation": named}
    assert session(Kind.RESPONSES, body) == Session("conv_1", "conversation")


@pytest.mark.parametrize("named", [None, "", {}, {"id": 5}, {"id": ""}])
def test_a_conversation_without_an_id_names_none(named: Any) -> None:
    assert session(Kind.RESPONSES, {"input": "hi", "conversation": named}).source == "first_message"


def test_a_follow_up_that_names_only_the_response_before_has_none() -> None:
    body = {"input": "and now?", "previous_response_id": "resp_1"}
    assert session(Kind.RESPONSES, body) == NO_SESSION
    assert session(Kind.RESPONSES, body | {"prompt_cache_key": "k"}) == Session("k", "cache_key")
    assert session(Kind.RESPONSES, body, {b"session-id": b"s"}) == Session("s", "header")


@pytest.mark.parametrize(
    "value",
    [b"a b", b"caf\xc3\xa9", b"\x00\x01", b"a" * 81, b"=cmd()", b"<b>", b'"', b"a,b", b"\xff" * 5000],
)
def test_an_id_that_cannot_be_shown_is_hashed(value: bytes) -> None:
    found = session(Kind.CHAT, conversation(Kind.CHAT, *HI), {b"x-session-id": value})
    assert found.source == "header"
    assert HASH.fullmatch(found.id)
    assert found == session(Kind.CHAT, conversation(Kind.CHAT), {b"x-session-id": value})
    assert found.id != session(Kind.CHAT, {"messages": []}, {b"x-session-id": value + b"."}).id


@pytest.mark.parametrize("value", [b"a", b"a" * 80, b"ses_7cbe170b3ffe", b"A/b:c@d~e+f=g.h-i_j"])
def test_an_id_that_can_be_shown_stays(value: bytes) -> None:
    found = session(Kind.CHAT, conversation(Kind.CHAT, *HI), {b"x-session-id": value})
    assert found == Session(value.decode(), "header")


# --- the first message --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_message_by_a_user_stands_for_the_conversation(kind: Kind) -> None:
    first = opening(kind, "hi")
    assert first.source == "first_message"
    assert HASH.fullmatch(first.id)
    later = conversation(kind, ("user", "hi"), ("assistant", "hello"), ("user", "go on"))
    assert session(kind, later) == first
    assert opening(kind, "hi!") != first


def test_counting_and_asking_are_one_session() -> None:
    assert opening(Kind.COUNT_TOKENS, "hi") == opening(Kind.MESSAGES, "hi")


@pytest.mark.parametrize("kind", KINDS)
def test_what_everybody_sends_is_no_session(kind: Kind) -> None:
    """The system prompt is the same for all who use one tool."""
    prompts = [("system", "You are an agent."), ("developer", "Rules.")]
    assert session(kind, conversation(kind, *prompts)) == NO_SESSION
    assert session(kind, conversation(kind, *prompts, ("user", "hi"))) == opening(kind, "hi")
    assert session(kind, conversation(kind, ("system", "Another."), ("user", "hi"))) == opening(kind, "hi")
    assert session(kind, conversation(kind)) == NO_SESSION


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("content", [None, "", [], [{}], [text("")], [MARK], ["odd"], {}, 5])
def test_an_empty_first_message_is_no_session(kind: Kind, content: Any) -> None:
    assert opening(kind, content) == NO_SESSION


@pytest.mark.parametrize("kind", [Kind.EMBEDDINGS, Kind.COMPLETIONS])
def test_a_request_that_is_no_conversation_has_no_session(kind: Kind) -> None:
    assert session(kind, {"input": "hi", "prompt": "hi"}) == NO_SESSION


def test_a_plain_input_and_the_same_as_a_message() -> None:
    plain = session(Kind.RESPONSES, {"input": "hi"})
    assert plain.source == "first_message"
    listed = conversation(Kind.RESPONSES, ("user", [{"type": "input_text", "text": "hi"}]))
    assert session(Kind.RESPONSES, listed) == plain
    assert session(Kind.RESPONSES, {"input": ""}) == NO_SESSION
    assert session(Kind.RESPONSES, {"prompt": {"id": "p"}}) == NO_SESSION


def test_other_entries_of_an_input_are_passed_over() -> None:
    items = [
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "role": None, "call_id": "c", "name": "n", "arguments": "{}"},
        {"type": "message", "role": "developer", "content": "rules"},
        {"role": "user", "content": "hi"},
    ]
    assert session(Kind.RESPONSES, {"input": items}) == opening(Kind.RESPONSES, "hi")


def image(data: str) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}


def test_images_count_too() -> None:
    one, other = opening(Kind.MESSAGES, [image("AAAA")]), opening(Kind.MESSAGES, [image("BBBB")])
    assert HASH.fullmatch(one.id)
    assert one != other
    assert opening(Kind.MESSAGES, [image("AAAA") | MARK]) == one
    assert opening(Kind.MESSAGES, [image("AAAA"), text("what is it?")]) != one


def test_very_large_first_messages_are_told_apart() -> None:
    """By their beginnings, their ends or their lengths; the middle of a piece is not read."""
    big = "x" * 300_000
    contents = [big, big + "x", big + "y", "y" + big, [text(big)] * 2, [text(big + "x")] * 3, [image(big)]]
    found = [opening(Kind.MESSAGES, content).id for content in contents]
    assert all(HASH.fullmatch(one) for one in found)
    assert len({*found[:5], found[6]}) == 6


def test_the_prompt_after_a_shared_reminder_counts() -> None:
    reminder = text("rules " * 30_000)
    one = opening(Kind.MESSAGES, [reminder, text("fix the bug")])
    assert opening(Kind.MESSAGES, [reminder, text("write a test") | MARK]) != one
    assert opening(Kind.MESSAGES, [reminder, text("fix the bug") | MARK]) == one


words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
blocks = st.lists(words.map(text) | words.map(image), min_size=1, max_size=4)
contents = words | blocks
turns = st.lists(st.tuples(st.sampled_from(["user", "assistant", "system"]), contents), max_size=4)


@given(st.sampled_from(KINDS), contents, turns, turns)
def test_added_turns_change_nothing(kind: Kind, first: Any, one: Any, other: Any) -> None:
    systems = [("system", content) for _, content in other]
    short = conversation(kind, ("user", first), *one)
    long = conversation(kind, *systems, ("user", first), *one, *other)
    assert session(kind, short) == session(kind, long) == opening(kind, first)


@given(st.sampled_from(KINDS), blocks, st.sets(st.integers(0, 3)))
def test_marks_of_the_prompt_cache_change_nothing(kind: Kind, first: list[Any], marked: set[int]) -> None:
    with_marks = [block | MARK if at in marked else block for at, block in enumerate(first)]
    assert opening(kind, with_marks) == opening(kind, first)


@given(st.sampled_from(KINDS), words)
def test_how_a_text_is_wrapped_changes_nothing(kind: Kind, first: str) -> None:
    assert opening(kind, first) == opening(kind, [text(first)]) == opening(kind, [text(first) | MARK])


@given(st.sampled_from(KINDS), contents, contents)
def test_different_first_messages_are_different_sessions(kind: Kind, one: Any, other: Any) -> None:
    def plain(content: Any) -> Any:
        return [text(content)] if isinstance(content, str) else content

    assert (opening(kind, one) == opening(kind, other)) == (plain(one) == plain(other))


def test_pieces_do_not_run_into_each_other() -> None:
    one = opening(Kind.MESSAGES, [text("ab"), text("c")])
    assert one != opening(Kind.MESSAGES, [text("a"), text("bc")])
    assert one != opening(Kind.MESSAGES, "abc")


numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
strange = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
fields = st.fixed_dictionaries(
    {},
    optional={
        "metadata": strange | st.fixed_dictionaries({"user_id": strange | words.map(user_id_text)}),
        "prompt_cache_key": strange,
        "conversation": strange | st.fixed_dictionaries({"id": strange}),
        "previous_response_id": st.none() | words,
    },
)


@given(
    st.sampled_from(KINDS), strange, fields, st.dictionaries(st.sampled_from([b"session-id"]), st.binary())
)
def test_every_valid_body_has_a_session_or_none(
    kind: Kind, content: Any, named: dict[str, Any], headers: dict[bytes, bytes]
) -> None:
    try:
        found = session(kind, conversation(kind, ("user", content), **named), headers)
    except BadBody:
        return
    assert found == session(kind, conversation(kind, ("user", content), **named), headers)
    assert bool(found.id) == bool(found.source)
    assert re.fullmatch(r"[!-~]{0,80}", found.id)
