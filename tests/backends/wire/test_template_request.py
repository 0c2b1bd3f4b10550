"""A template in a request: each rule in each protocol, every change listed, every other byte as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.wire.kinds import Kind
from backends.wire.spans import members_at
from backends.wire.target import Target
from backends.wire.templates.layout import entries_of, members_of
from tests.backends.wire.strategies import json_values
from tests.backends.wire.templating import (
    LOOKUP,
    TALKING,
    applied,
    encode,
    sent,
    talk,
)

USER = {"role": "user", "content": "hi"}
BLOCK = {"type": "text", "text": "Own.", "cache_control": {"type": "ephemeral"}}
AROUND = {"system": {"prepend": 'First "é".', "append": "Last."}}
INSTEAD = {"system": {"replace": "Only this."}}
NOTHING = {"system": {"replace": ""}}


# --- system ------------------------------------------------------------------------------------------------------


def text(said: str, kind: str = "text") -> dict[str, str]:
    return {"type": kind, "text": said}


FIRST, LAST = AROUND["system"]["prepend"], AROUND["system"]["append"]
BOTH = f"{FIRST}\n\n{LAST}"
CLAUDE = [
    ({}, BOTH),
    ({"system": None}, BOTH),
    ({"system": ""}, BOTH),
    ({"system": 'Own\n"é".'}, f'{FIRST}\n\nOwn\n"é".\n\n{LAST}'),
    ({"system": []}, [text(FIRST), text(LAST)]),
    ({"system": [BLOCK]}, [text(FIRST), BLOCK, text(LAST)]),
    ({"system": [BLOCK, BLOCK]}, [text(FIRST), BLOCK, BLOCK, text(LAST)]),
]


@pytest.mark.parametrize("kind", [Kind.MESSAGES, Kind.COUNT_TOKENS])
@pytest.mark.parametrize(("own", "made"), CLAUDE)
def test_a_system_prompt_grows_at_both_ends(kind: Kind, own: dict[str, Any], made: Any) -> None:
    body = {"model": "c", **own, "messages": [USER]}
    found = applied(AROUND, kind, body)
    assert json.loads(found.body) == {**body, "system": made}
    assert found.mutations == ("$.system=template",)
    assert sent(INSTEAD, kind, body)["system"] == "Only this."
    assert "system" not in sent(NOTHING, kind, body) or own.get("system", 1) is None


CHAT = [
    ([USER], [{"role": "system", "content": BOTH}, USER], ["$.messages[0]"]),
    (
        [{"role": "developer", "content": "Own."}, USER],
        [{"role": "developer", "content": f"{FIRST}\n\nOwn.\n\n{LAST}"}, USER],
        ["$.messages[0].content"],
    ),
    (
        [{"role": "system", "content": [BLOCK]}, {"content": "More.", "role": "system"}, USER],
        [
            {"role": "system", "content": [text(FIRST), BLOCK]},
            {"role": "system", "content": f"More.\n\n{LAST}"},
            USER,
        ],
        ["$.messages[0].content", "$.messages[1].content"],
    ),
    (
        [USER, {"role": "system", "content": "Later."}],
        [{"role": "system", "content": BOTH}, USER, {"role": "system", "content": "Later."}],
        ["$.messages[0]"],
    ),
    ([], [{"role": "system", "content": BOTH}], ["$.messages[0]"]),
]


@pytest.mark.parametrize(("own", "made", "paths"), CHAT)
def test_the_leading_messages_are_the_system_prompt_of_chat(own: Any, made: Any, paths: list[str]) -> None:
    found = applied(AROUND, Kind.CHAT, {"messages": own, "model": "m"})
    assert json.loads(found.body) == {"messages": made, "model": "m"}
    assert found.mutations == tuple(f"{path}=template" for path in paths)


@pytest.mark.parametrize(("own", "made", "paths"), CHAT)
def test_the_leading_messages_of_chat_are_replaced(own: Any, made: Any, paths: list[str]) -> None:
    rest = own
    while rest and rest[0]["role"] != "user":
        rest = rest[1:]
    role = own[0]["role"] if own and own[0]["role"] != "user" else "system"
    assert sent(INSTEAD, Kind.CHAT, {"messages": own})["messages"] == [
        {"role": role, "content": "Only this."},
        *rest,
    ]
    assert sent(NOTHING, Kind.CHAT, {"messages": own})["messages"] == rest


def test_a_system_prompt_that_is_there_already_is_no_change() -> None:
    for kind, body in (
        (Kind.MESSAGES, {"system": "Only this.", "messages": [USER]}),
        (Kind.CHAT, {"messages": [{"role": "system", "content": "Only this."}, USER]}),
        (Kind.RESPONSES, {"instructions": "Only this.", "input": "hi"}),
    ):
        data = encode(body)
        found = applied(INSTEAD, kind, data)
        assert found.body is data
        assert found.mutations == ()


DEVELOPER = {"type": "message", "role": "developer", "content": [text("Own.", "input_text")]}
RESPONSES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"input": "hi"}, {"input": "hi", "instructions": BOTH}),
    ({"instructions": None, "input": "hi"}, {"input": "hi", "instructions": BOTH}),
    (
        {"instructions": "Own.", "input": [USER]},
        {"instructions": f"{FIRST}\n\nOwn.\n\n{LAST}", "input": [USER]},
    ),
    (
        {"input": [DEVELOPER, USER]},
        {
            "instructions": FIRST,
            "input": [{**DEVELOPER, "content": [text("Own.", "input_text"), text(LAST, "input_text")]}, USER],
        },
    ),
]


@pytest.mark.parametrize(("own", "made"), RESPONSES)
def test_instructions_and_leading_messages_are_the_system_prompt_of_responses(own: Any, made: Any) -> None:
    assert sent(AROUND, Kind.RESPONSES, {"model": "m", **own}) == {"model": "m", **made}
    replaced = sent(INSTEAD, Kind.RESPONSES, own)
    assert replaced["instructions"] == "Only this."
    assert replaced["input"] == (own["input"] if own["input"] != [DEVELOPER, USER] else [USER])
    assert not sent(NOTHING, Kind.RESPONSES, own).get("instructions")


@pytest.mark.parametrize("kind", [Kind.EMBEDDINGS, Kind.COMPLETIONS])
def test_what_has_no_conversation_gets_no_prompt_and_no_tools(kind: Kind) -> None:
    data = encode({"model": "m", "input": "x", "prompt": "x", "tools": [{"name": "a"}]})
    spec = {**AROUND, "tools": [{"name": "b"}], "replace_tools": True, "rename_tools": {"a": "c"}}
    assert applied(spec, kind, data).body is data


# --- parameters --------------------------------------------------------------------------------------------------

ALL = {
    "max_tokens": 9,
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 3,
    "stop": "END",
    "reasoning_effort": "minimal",
    "custom": {"deep": [1]},
}
OWN: dict[Kind, dict[str, Any]] = {
    Kind.MESSAGES: {
        "max_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 3,
        "stop_sequences": ["END"],
        "output_config": {"effort": "low"},
        "custom": {"deep": [1]},
    },
    Kind.COUNT_TOKENS: {},
    Kind.CHAT: ALL,
    Kind.RESPONSES: {
        "max_output_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "reasoning": {"effort": "minimal"},
        "custom": {"deep": [1]},
    },
    Kind.COMPLETIONS: {name: value for name, value in ALL.items() if name != "reasoning_effort"},
    Kind.EMBEDDINGS: {"custom": {"deep": [1]}},
}


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("way", ["default", "force"])
def test_neutral_parameters_get_each_protocols_own_names(kind: Kind, way: str) -> None:
    found = applied({"parameters": {way: ALL}}, kind, {"model": "m"})
    assert json.loads(found.body) == {"model": "m", **OWN[kind]}
    names = {name if name not in ("output_config", "reasoning") else f"{name}.effort" for name in OWN[kind]}
    assert set(found.mutations) == {f"$.{name}=template" for name in names}


@pytest.mark.parametrize("kind", [Kind.MESSAGES, Kind.CHAT, Kind.RESPONSES, Kind.COMPLETIONS])
def test_a_default_yields_to_the_client_and_force_does_not(kind: Kind) -> None:
    own = {**OWN[kind], "temperature": 1}
    body = {"model": "m", **{name: None if name == "top_p" else value for name, value in own.items()}}
    data = encode(body)
    assert sent({"parameters": {"default": ALL}}, kind, data) == {**body, "top_p": 0.9}
    found = applied({"parameters": {"force": ALL}}, kind, data)
    assert json.loads(found.body) == {"model": "m", **OWN[kind]}
    assert found.mutations == ("$.temperature=template", "$.top_p=template")


def test_the_same_value_is_no_change() -> None:
    data = b'{"model":"m","temperature":0.2,"reasoning":{"effort":"low","summary":"auto"}}'
    spec = {"parameters": {"force": {"temperature": 0.2, "reasoning_effort": "low"}}}
    assert applied(spec, Kind.RESPONSES, data).body is data


def test_null_takes_a_parameter_out_but_never_the_one_that_must_be_there() -> None:
    gone = {
        "parameters": {
            "force": {"temperature": None, "max_tokens": None, "text.verbosity": None, "seed": None}
        }
    }
    body = {
        "temperature": 1,
        "max_tokens": 5,
        "text": {"verbosity": "low", "format": {"type": "text"}},
        "x": 1,
    }
    assert sent(gone, Kind.CHAT, body) == {"text": {"format": {"type": "text"}}, "x": 1}
    assert sent(gone, Kind.MESSAGES, body)["max_tokens"] == 5
    assert sent(gone, Kind.CHAT, {"temperature": 1, "max_tokens": 1}) == {}


def test_parts_of_an_object_are_set_one_by_one() -> None:
    spec = {
        "parameters": {"default": {"text.verbosity": "low", "provider.a": 1}, "force": {"provider.b": [2]}}
    }
    assert sent(spec, Kind.RESPONSES, {"text": {}, "provider": None}) == {
        "text": {"verbosity": "low"},
        "provider": {"a": 1, "b": [2]},
    }
    assert sent(spec, Kind.RESPONSES, {"text": {"format": 1}, "provider": {"a": 5, "b": 5}}) == {
        "text": {"verbosity": "low", "format": 1},
        "provider": {"a": 5, "b": [2]},
    }
    assert sent(spec, Kind.RESPONSES, {"text": "odd", "provider": {"b": [2]}})["text"] == "odd"


@pytest.mark.parametrize(
    ("target", "body", "made"),
    [
        (Target("gpt-5", "openai"), {}, {"max_completion_tokens": 9, "reasoning_effort": "high"}),
        (Target("gpt-4o", "openai"), {}, {"max_tokens": 9, "reasoning_effort": "high"}),
        (Target("x"), {"max_completion_tokens": 1}, {"max_completion_tokens": 9, "top_k": 3}),
        (Target("x", "openrouter"), {}, {"max_tokens": 9, "top_k": 3, "reasoning": {"effort": "high"}}),
    ],
)
def test_chat_servers_differ_in_a_few_names(
    target: Target, body: dict[str, Any], made: dict[str, Any]
) -> None:
    spec = {"parameters": {"force": {"max_tokens": 9, "top_k": 3, "reasoning_effort": "high"}}}
    assert sent(spec, Kind.CHAT, body, target=target).items() >= made.items()


# --- headers -----------------------------------------------------------------------------------------------------


def test_headers_are_set_over_the_clients_and_the_same_one_is_no_change() -> None:
    spec = {"headers": {"x-title": "House", "x-a": "1"}}
    found = applied(
        spec, Kind.CHAT, {}, headers=[(b"x-title", b"Theirs"), (b"x-a", b"1"), (b"accept", b"*/*")]
    )
    assert sorted(found.headers) == [(b"accept", b"*/*"), (b"x-a", b"1"), (b"x-title", b"House")]
    assert found.mutations == ("header:x-title=template",)


BETAS = [
    ({"deny": ["context-1m-*"]}, b"context-1m-2025-08-07, other-1", b"other-1"),
    ({"deny": ["*"]}, b"oauth-2025-04-20,other-1", b"oauth-2025-04-20"),
    ({"allow": []}, b"other-1", None),
    ({"allow": ["oth*"], "add": ["new-1", "other-1"]}, b"a-1,other-1", b"other-1,new-1"),
    ({"add": ["new-1"]}, None, b"new-1"),
    ({"deny": ["zzz"]}, b"a-1, b-1", b"a-1, b-1"),
]


@pytest.mark.parametrize(("rule", "given", "made"), BETAS)
def test_beta_values_are_allowed_denied_and_added(rule: Any, given: bytes | None, made: bytes | None) -> None:
    headers = [] if given is None else [(b"anthropic-beta", given)]
    found = applied({"beta": rule}, Kind.MESSAGES, {"model": "m"}, headers=headers)
    assert dict(found.headers).get(b"anthropic-beta") == made
    assert found.mutations == (() if given == made else ("header:anthropic-beta=template",))
    assert applied({"beta": rule}, Kind.CHAT, {"model": "m"}, headers=headers).headers == headers


def test_a_denied_beta_takes_its_field_along() -> None:
    body = {"model": "m", "context_management": {"edits": []}, "max_tokens": 1}
    headers = [(b"anthropic-beta", b"context-management-2025-06-27,a-1")]
    found = applied({"beta": {"deny": ["context-management-*"]}}, Kind.MESSAGES, body, headers=headers)
    assert json.loads(found.body) == {"model": "m", "max_tokens": 1}
    assert found.headers == [(b"anthropic-beta", b"a-1")]
    assert found.mutations == ("$.context_management=template", "header:anthropic-beta=template")


# --- properties --------------------------------------------------------------------------------------------------

SPECS: list[dict[str, Any]] = [
    AROUND,
    INSTEAD,
    {"parameters": {"default": {"temperature": 0.5}, "force": {"max_tokens": 7, "user": "x", "odd.part": 1}}},
    {"tools": [LOOKUP]},
    {"rename_tools": {"Bash": "shell", "Read": "cat"}, "tools": [{"name": "now"}]},
    {"tools": [LOOKUP], "replace_tools": True, "rename_tools": {"Bash": "lookup"}},
]
extras = st.dictionaries(
    st.sampled_from(["metadata", "x", "é", "name", "temperature", "odd", "user"]), json_values
)


@given(
    st.sampled_from(TALKING), st.sampled_from(SPECS), extras, st.booleans(), st.sampled_from([None, 1, "\t"])
)
def test_all_that_is_not_listed_stays_byte_for_byte(
    kind: Kind, spec: dict[str, Any], more: dict[str, Any], is_ascii: bool, indent: Any
) -> None:
    body = {**talk(kind, "Bash", "Write", called="Bash"), **more}
    data = json.dumps(body, ensure_ascii=is_ascii, indent=indent).encode()
    found = applied(spec, kind, data)
    made = json.loads(found.body)
    touched = {
        mutation.removeprefix("$.").split("=")[0].split("[")[0].split(".")[0] for mutation in found.mutations
    }
    text = data.decode("latin-1")
    for member in members_at(text, 0):
        if member.name not in touched:
            assert data[member.start : member.end] in found.body
            assert made[member.name] == body[member.name]
    assert set(made) - set(body) <= touched
    assert (found.body is data) == (not found.mutations)
    assert applied(spec, kind, data).body == found.body


@given(
    st.dictionaries(st.text(max_size=4), json_values, max_size=5),
    st.booleans(),
    st.sampled_from([None, 0, "\t "]),
)
def test_the_quick_scanner_finds_what_the_slow_one_finds(body: Any, is_ascii: bool, indent: Any) -> None:
    data = json.dumps([{"": 1}, body, []], ensure_ascii=is_ascii, indent=indent).encode(
        "utf-8", "surrogatepass"
    )
    spans = entries_of(data, 0, len(data))
    assert [json.loads(data[start:end].decode("utf-8", "surrogatepass")) for start, end in spans] == [
        {"": 1},
        body,
        [],
    ]
    start, end = spans[1]
    assert members_of(data, start, end) == list(members_at(data.decode("latin-1"), start))


@pytest.mark.parametrize(
    "data",
    [b'{"a":1,"a":2,"b":3}', b'{"a":[1,1],"b":0,"a":[1,1]}', b'{"\\ud800":1,"b":2}', b"{ }", b"[1]", b'"x"'],
)
def test_names_that_stand_twice_or_cannot_be_read_are_found_one_by_one(data: bytes) -> None:
    assert members_of(data, 0, len(data)) == list(members_at(data.decode("latin-1"), 0))


def test_a_name_that_stands_twice_is_set_in_both_places() -> None:
    data = b'{"temperature":1,"model":"m","temperature":0.5}'
    made = applied({"parameters": {"force": {"temperature": 0}}}, Kind.CHAT, data).body
    assert made == b'{"temperature":0,"model":"m","temperature":0}'
