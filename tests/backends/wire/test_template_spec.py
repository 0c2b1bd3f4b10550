"""Templates are read strictly: what is not understood is refused by its path, with what to write instead."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.wire.templates import BadTemplate, Template, parse_spec
from backends.wire.templates.parsing import MAX_BYTES
from tests.backends.wire.strategies import json_values

FULL: dict[str, Any] = {
    "system": {"prepend": "Be brief.", "append": "Answer in German."},
    "parameters": {
        "default": {"temperature": 0.2, "top_k": 5, "chat_template_kwargs.enable_thinking": False},
        "force": {
            "max_tokens": 2000,
            "stop": ["END"],
            "reasoning_effort": "low",
            "store": False,
            "top_p": None,
        },
    },
    "tools": [
        {
            "name": "lookup",
            "description": "Looks up.",
            "parameters": {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]},
        }
    ],
    "rename_tools": {"Bash": "shell", "shell": "Bash"},
    "headers": {"x-title": "My house", "openai-beta": "responses=v1"},
    "beta": {"deny": ["context-1m-*"], "add": ["effort-2025-11-24"]},
}


def test_a_full_template_keeps_its_meaning_and_one_spelling() -> None:
    template = parse_spec(FULL)
    assert template.as_json() == FULL
    assert parse_spec(template.as_json()) == template
    assert json.dumps(parse_spec(dict(reversed(FULL.items()))).as_json()) == json.dumps(template.as_json())


@pytest.mark.parametrize(
    "spec",
    [{}, {"system": {}}, {"system": None, "tools": [], "beta": {"deny": []}, "parameters": {"force": {}}}],
)
def test_what_says_nothing_is_an_empty_template(spec: Any) -> None:
    assert parse_spec(spec) == Template()
    assert parse_spec(spec).is_empty
    assert parse_spec(spec).as_json() == {}


def test_empty_texts_and_lists_that_mean_something_are_kept() -> None:
    spec = {"system": {"replace": ""}, "beta": {"allow": []}, "replace_tools": True}
    assert parse_spec(spec).as_json() == spec
    assert not parse_spec(spec).is_empty


def test_a_tool_without_a_schema_takes_an_empty_object() -> None:
    [tool] = parse_spec({"tools": [{"name": "now"}]}).tools
    assert tool.parameters == {"type": "object", "properties": {}}


REFUSED = [
    ([], "$: Write an object"),
    ({"systm": {}}, "$.systm: There is no such field. The fields here are system, parameters"),
    ({"system": {"prepned": "x"}}, "$.system.prepned: There is no such field"),
    ({"system": {"append": 5}}, "$.system.append: Write a text"),
    ({"system": {"replace": "a", "append": "b"}}, "$.system: Write all of the prompt into `replace`"),
    ({"system": {"append": "a\x00b"}}, "$.system.append: The text holds a NUL"),
    ({"system": {"append": "\ud800"}}, "$.system.append: The text holds a NUL or half a character"),
    ({"parameters": {"temperature": 1}}, "$.parameters.temperature: There is no such field"),
    (
        {"parameters": {"force": {"model": "x"}}},
        "$.parameters.force.model: It carries the request itself. The route's",
    ),
    ({"parameters": {"force": {"messages": []}}}, "only the client may say it"),
    ({"parameters": {"force": {"stream": True}}}, "only the client may say it"),
    ({"parameters": {"default": {"input": "x"}}}, "only the client may say it"),
    ({"parameters": {"default": {"tool_choice": "none"}}}, "only the client may say it"),
    ({"parameters": {"default": {"mcp_servers": []}}}, "only the client may say it"),
    ({"parameters": {"default": {"tools": []}}}, "Write them under `tools`"),
    ({"parameters": {"default": {"system": "x"}}}, "Write it under `system`"),
    ({"parameters": {"default": {"instructions": "x"}}}, "Write it under `system`"),
    ({"parameters": {"default": {"max_output_tokens": 5}}}, "Write max_tokens: each backend gets it"),
    ({"parameters": {"default": {"stop_sequences": ["a"]}}}, "Write stop: each backend"),
    ({"parameters": {"default": {"reasoning.effort": "low"}}}, "Write reasoning_effort"),
    ({"parameters": {"default": {"text": {}}}}, "such as text.verbosity"),
    ({"parameters": {"default": {"text.format": {}}}}, "only the client may say it"),
    ({"parameters": {"default": {"a.b.c": 1}}}, "no parameter's name"),
    ({"parameters": {"default": {"top_p": None}}}, "write null under `force`"),
    (
        {"parameters": {"default": {"a": 1}, "force": {"a": 2}}},
        "$.parameters.default.a: It is forced as well",
    ),
    ({"parameters": {"default": {"a": {}}, "force": {"a.b": 2}}}, "`a` is set, and so is a.b"),
    ({"parameters": {"force": {"reasoning": {}, "reasoning_effort": "low"}}}, "so is reasoning.effort"),
    ({"parameters": {"force": {"max_tokens": 0}}}, "$.parameters.force.max_tokens: Write a whole number"),
    ({"parameters": {"force": {"max_tokens": True}}}, "Write a whole number of tokens"),
    ({"parameters": {"force": {"top_k": 1.5}}}, "Write a whole number"),
    ({"parameters": {"force": {"temperature": 2.5}}}, "Write a number from 0 to 2"),
    ({"parameters": {"force": {"top_p": "1"}}}, "Write a number from 0 to 1"),
    ({"parameters": {"force": {"stop": []}}}, "Write a text or a list of texts"),
    ({"parameters": {"force": {"reasoning_effort": "lots"}}}, "Write one of none, minimal"),
    ({"parameters": {"force": {"x": float("nan")}}}, "Write a finite number"),
    ({"parameters": {"force": {"x": 2**70}}}, "The number is too large"),
    ({"tools": {}}, "$.tools: Write a list"),
    ({"tools": [{"name": "a b"}]}, "$.tools[0].name: Write a tool's name"),
    ({"tools": [{"name": "a", "input_schema": {}}]}, "$.tools[0].input_schema: There is no such field"),
    (
        {"tools": [{"name": "a", "parameters": {"type": "array"}}]},
        "$.tools[0].parameters: Write a JSON Schema",
    ),
    ({"tools": [{"name": "a"}, {"name": "a"}]}, "$.tools[1].name: a stands here twice"),
    ({"tools": [{"name": "b"}], "rename_tools": {"a": "b"}}, "renamed to b as well"),
    ({"replace_tools": "yes"}, "$.replace_tools: Write true or false"),
    ({"rename_tools": {"a": "c", "b": "c"}}, "$.rename_tools.b: a becomes c as well"),
    ({"rename_tools": {"a": "a"}}, "$.rename_tools.a: This is its name already"),
    ({"rename_tools": {"a": 'b"'}}, "$.rename_tools.a: Write a tool's name"),
    ({"beta": {"allow": ["*"], "deny": ["a"]}}, "$.beta: Write `allow` or `deny`"),
    ({"beta": {"add": ["a b"]}}, "$.beta.add[0]: Write a value such as"),
    ({"beta": {"add": ["oauth-2025-04-20"]}}, "belongs to a login"),
    ({"beta": {"add": ["claude-code-20250219"]}}, "which product is asking"),
    ({"headers": {"x y": "1"}}, "$.headers.x y: This is no header name"),
    ({"headers": {"x-a": "1", "X-A": "2"}}, "$.headers.X-A: It stands here twice"),
    ({"headers": {"x-a": "a\r\nb: c"}}, "$.headers.x-a: Write 1 to 1000 plain ASCII"),
    ({"headers": {"x-a": ""}}, "plain ASCII"),
]


@pytest.mark.parametrize(("spec", "said"), REFUSED, ids=[said[:50] for _, said in REFUSED])
def test_what_cannot_be_used_is_refused_with_its_place(spec: Any, said: str) -> None:
    with pytest.raises(BadTemplate) as caught:
        parse_spec(spec)
    assert said in str(caught.value)


HEADERS = {
    "Credentials belong to accounts": [
        *(
            "authorization",
            "X-Api-Key",
            "api-key",
            "cookie",
            "x-goog-api-key",
            "x-auth-token",
            "proxy-authorization",
        ),
        *("helicone-auth", "x-secret"),
    ],
    "It belongs to the connection": [
        "host",
        "Connection",
        "transfer-encoding",
        "te",
        "accept-encoding",
        "upgrade",
    ],
    "It describes the body": ["content-type", "content-length", "Content-Encoding"],
    "which product is asking": [
        *("user-agent", "x-app", "originator", "x-stainless-lang", "anthropic-version", "x-claude-code-x"),
        *(
            "x-codex-turn",
            "x-openai-subagent",
            "chatgpt-account-id",
            "anthropic-dangerous-direct-browser-access",
        ),
    ],
    "under `beta`": ["anthropic-beta"],
    "where a request comes from": ["x-forwarded-for", "via", "forwarded", "x-real-ip"],
    "must differ from request to request": ["idempotency-key", "x-request-id"],
    "Patchbay's own": ["x-patchbay-model"],
}


@pytest.mark.parametrize(
    ("said", "name"), [(said, name) for said, names in HEADERS.items() for name in names]
)
def test_headers_that_are_not_a_templates_to_set_say_why(said: str, name: str) -> None:
    with pytest.raises(BadTemplate) as caught:
        parse_spec({"headers": {name: "1"}})
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "name", ["x-title", "HTTP-Referer", "openai-beta", "x-department", "helicone-property-app"]
)
def test_headers_of_ones_own_are_taken(name: str) -> None:
    assert parse_spec({"headers": {name: "1"}}).headers == ((name.lower(), "1"),)


def test_size_and_depth_have_limits() -> None:
    with pytest.raises(BadTemplate, match="bytes"):
        parse_spec({"system": {"append": "x" * MAX_BYTES}})
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    with pytest.raises(BadTemplate, match="nests deeper"):
        parse_spec({"parameters": {"force": {"x": deep}}})
    with pytest.raises(BadTemplate, match="At most"):
        parse_spec({"rename_tools": {f"a{n}": f"b{n}" for n in range(300)}})


@given(
    st.dictionaries(
        st.sampled_from([*FULL, "replace_tools", "other"]), json_values | st.sampled_from([*FULL.values()])
    )
)
def test_any_json_is_parsed_or_refused_and_what_is_parsed_stays_the_same(spec: dict[str, Any]) -> None:
    try:
        template = parse_spec(spec)
    except BadTemplate:
        return
    assert parse_spec(template.as_json()) == template


def test_keeping_the_clients_tools_leaves_the_rest() -> None:
    template = parse_spec({**FULL, "replace_tools": True}).keeping_tools()
    assert template.as_json() == {name: part for name, part in FULL.items() if name != "rename_tools"}
