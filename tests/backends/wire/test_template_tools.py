"""A template and tools: added, replaced, and renamed in all the places that name one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backends.wire.kinds import Kind
from backends.wire.templates import NameClash
from tests.backends.wire.templating import (
    LOOKUP,
    SCHEMA,
    TALKING,
    applied,
    call_of,
    encode,
    name_of,
    sent,
    talk,
    tool,
)

WRITTEN = {
    Kind.MESSAGES: {"name": "lookup", "description": "Looks up.", "input_schema": SCHEMA},
    Kind.COUNT_TOKENS: {"name": "lookup", "description": "Looks up.", "input_schema": SCHEMA},
    Kind.CHAT: {"type": "function", "function": LOOKUP},
    Kind.RESPONSES: {"type": "function", **LOOKUP, "strict": False},
}


@pytest.mark.parametrize("kind", TALKING)
@pytest.mark.parametrize("count", [0, 1, 3])
def test_tools_are_added_behind_the_clients(kind: Kind, count: int) -> None:
    body = talk(kind, *[f"own{n}" for n in range(count)])
    found = applied({"tools": [LOOKUP, {"name": "now"}]}, kind, body)
    made = json.loads(found.body)
    assert made["tools"][:count] == body.get("tools", [])
    assert made["tools"][count] == WRITTEN[kind]
    assert name_of(kind, made["tools"][count + 1]) == "now"
    assert found.mutations == (f"$.tools[{count}]=template", f"$.tools[{count + 1}]=template")
    assert found.names is None


@pytest.mark.parametrize("kind", TALKING)
def test_a_tool_that_the_client_has_itself_stays_the_clients(kind: Kind) -> None:
    data = encode(talk(kind, "lookup"))
    assert applied({"tools": [LOOKUP]}, kind, data).body is data


@pytest.mark.parametrize("kind", TALKING)
def test_tools_take_the_place_of_the_clients(kind: Kind) -> None:
    choice = {Kind.CHAT: tool(Kind.CHAT, "own"), Kind.RESPONSES: {"type": "function", "name": "own"}}
    body = {**talk(kind, "own", "other"), "tool_choice": choice.get(kind, {"type": "tool", "name": "own"})}
    made = sent({"tools": [LOOKUP], "replace_tools": True}, kind, body)
    assert made["tools"] == [WRITTEN[kind]]
    assert "tool_choice" not in made
    kept = sent({"tools": [LOOKUP], "replace_tools": True}, kind, {**body, "tool_choice": {"type": "auto"}})
    assert kept["tool_choice"] == {"type": "auto"}
    assert sent({"tools": [LOOKUP], "replace_tools": True}, kind, talk(kind))["tools"] == [WRITTEN[kind]]
    none = sent({"replace_tools": True}, kind, {**body, "parallel_tool_calls": False, "functions": []})
    assert not {"tools", "tool_choice", "parallel_tool_calls", "functions"} & none.keys()


def test_a_forced_parameter_about_tools_goes_with_the_tools() -> None:
    spec = {"replace_tools": True, "parameters": {"force": {"parallel_tool_calls": False}}}
    body = {**talk(Kind.CHAT, "own"), "parallel_tool_calls": True}
    assert "parallel_tool_calls" not in sent(spec, Kind.CHAT, body)


PLACES = {
    Kind.MESSAGES: ("tools[0].name", "messages[].content[].name", "tool_choice.name"),
    Kind.COUNT_TOKENS: ("tools[0].name", "messages[].content[].name", "tool_choice.name"),
    Kind.CHAT: (
        "tools[0].function.name",
        "messages[].tool_calls[].function.name",
        "tool_choice.function.name",
    ),
    Kind.RESPONSES: ("tools[0].name", "input[].name", "tool_choice.name"),
}


@pytest.mark.parametrize("kind", TALKING)
def test_names_change_in_definitions_choice_and_history_and_nowhere_else(kind: Kind) -> None:
    body = talk(kind, "Bash", "Read", called="Bash")
    choice: dict[str, Any] = {"type": "tool", "name": "Bash"}
    if kind is not Kind.MESSAGES and kind is not Kind.COUNT_TOKENS:
        choice = {
            "type": "function",
            **({"function": {"name": "Bash"}} if kind is Kind.CHAT else {"name": "Bash"}),
        }
    body["tool_choice"] = choice
    found = applied({"rename_tools": {"Bash": "shell"}}, kind, body)
    made = json.loads(found.body)
    assert [name_of(kind, given) for given in made["tools"]] == ["shell", "Read"]
    assert call_of(kind, made)["name"] == "shell"
    assert '"shell"' in json.dumps(made["tool_choice"])
    assert found.names is not None
    assert found.names.client == {"shell": "Bash"}
    call_of(kind, made)["name"] = "Bash"
    made["tools"][0], made["tool_choice"] = body["tools"][0], choice
    assert made == body
    assert found.mutations == tuple(f"$.{path}=template" for path in PLACES[kind])


@pytest.mark.parametrize("kind", TALKING)
def test_a_name_may_be_spelled_with_escapes(kind: Kind) -> None:
    data = encode(talk(kind, "Bash")).replace(b'"Bash"', rb'"\u0042as\u0068"', 1)
    made = sent({"rename_tools": {"Bash": "shell"}}, kind, data)
    assert name_of(kind, made["tools"][0]) == "shell"


@pytest.mark.parametrize("kind", TALKING)
def test_two_tools_of_one_name_are_refused(kind: Kind) -> None:
    with pytest.raises(
        NameClash, match="renames the tool `Bash` to `shell`, and the request has a tool `shell`"
    ):
        applied({"rename_tools": {"Bash": "shell"}}, kind, talk(kind, "Bash", "shell"))


@pytest.mark.parametrize("kind", TALKING)
def test_names_may_be_swapped(kind: Kind) -> None:
    found = applied({"rename_tools": {"a": "b", "b": "a"}}, kind, talk(kind, "a", "b"))
    assert [name_of(kind, given) for given in json.loads(found.body)["tools"]] == ["b", "a"]
    assert found.names is not None
    assert found.names.client == {"b": "a", "a": "b"}


@pytest.mark.parametrize("kind", TALKING)
def test_a_client_that_has_the_new_name_only_keeps_it(kind: Kind) -> None:
    data = encode(talk(kind, "shell", called="shell"))
    found = applied({"rename_tools": {"Bash": "shell"}}, kind, data)
    assert found.body is data
    assert found.names is None


def test_tools_of_the_provider_and_of_a_namespace_keep_their_names() -> None:
    spec = {"rename_tools": {"web_search": "find", "fn": "gn"}}
    search = {"type": "web_search_20250305", "name": "web_search"}
    block = {"type": "server_tool_use", "id": "1", "name": "web_search", "input": {}}
    data = encode({"tools": [search], "messages": [{"role": "assistant", "content": [block]}]})
    assert applied(spec, Kind.MESSAGES, data).body is data
    space = {"type": "namespace", "name": "fn", "tools": [tool(Kind.RESPONSES, "fn")]}
    call = {"type": "function_call", "name": "fn", "namespace": "ns", "call_id": "1", "arguments": "{}"}
    data = encode({"tools": [space], "input": [call]})
    assert applied(spec, Kind.RESPONSES, data).body is data


NAMED_IN_MESSAGES: dict[str, Any] = {
    "tools": [{"type": "custom", "name": "a", "input_schema": {}}],
    "context_management": {"edits": [{"exclude_tools": ["a", "x"], "clear_tool_inputs": ["a"]}]},
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "content": [{"type": "tool_reference", "tool_name": "a"}]},
                {
                    "type": "tool_search_tool_result",
                    "content": {"tool_references": [{"type": "tool_reference", "tool_name": "a"}]},
                },
                {"type": "tool_addition", "tool": {"type": "tool_reference", "name": "a"}},
                {
                    "type": "tool_addition",
                    "tool": {"type": "tool_definition", "definition": {"name": "a"}},
                },
            ],
        }
    ],
}
NAMED_IN_CHAT: dict[str, Any] = {
    "functions": [{"name": "a"}],
    "function_call": {"name": "a"},
    "tools": [{"type": "custom", "custom": {"name": "a"}}],
    "tool_choice": {
        "type": "allowed_tools",
        "allowed_tools": {"tools": [tool(Kind.CHAT, "x"), {"function": {"name": "a"}}]},
    },
    "messages": [
        {"role": "assistant", "function_call": {"name": "a", "arguments": ""}},
        {"role": "function", "name": "a", "content": ""},
        {"role": "tool", "name": "a", "content": ""},
        {"role": "user", "name": "ann", "content": ""},
    ],
}
NAMED_IN_RESPONSES: dict[str, Any] = {
    "tools": [{"type": "custom", "name": "a"}],
    "tool_choice": {"type": "allowed_tools", "tools": [{"type": "function", "name": "a"}]},
    "input": [
        {"type": "custom_tool_call", "name": "a", "input": ""},
        {"type": "tool_search_output", "tools": [tool(Kind.RESPONSES, "a")]},
    ],
}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (Kind.MESSAGES, NAMED_IN_MESSAGES),
        (Kind.CHAT, NAMED_IN_CHAT),
        (Kind.RESPONSES, NAMED_IN_RESPONSES),
    ],
)
def test_all_the_places_that_name_a_tool(kind: Kind, body: dict[str, Any]) -> None:
    assert b'"a"' not in applied({"rename_tools": {"a": "b", "ann": "c"}}, kind, body).body


def test_the_name_of_a_person_is_no_tools() -> None:
    assert sent({"rename_tools": {"ann": "c"}}, Kind.CHAT, NAMED_IN_CHAT) == NAMED_IN_CHAT
