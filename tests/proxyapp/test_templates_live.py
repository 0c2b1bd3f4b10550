"""Request templates over TCP: both protocols, both lanes, streams, history, edits while the server runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest

from backends.simulator import Entry
from tests.desk import Desk
from tests.operator import Operator
from tests.patchbay import Answer, Patchbay
from tests.proxyapp.routes_lab import eventually
from tests.servers import SimulatorThread

MODELS = {"messages": "claudish:claude-opus-4-8", "chat": "chatty:gpt-4o"}
PATHS = {"messages": "/v1/messages", "chat": "/v1/chat/completions", "responses": "/v1/responses"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
HOUSE = {
    "system": {"append": "Answer in German."},
    "parameters": {"default": {"temperature": 0.25}, "force": {"max_tokens": 77}},
    "headers": {"x-department": "kitchen"},
    "beta": {"deny": ["context-1m-*"], "add": ["effort-2025-11-24"]},
}
TOOLS = {"rename_tools": {"Clock": "get_time"}, "tools": [{"name": "lookup"}]}
OTHER = {"tools": [{"name": "lookup"}], "replace_tools": True}


@dataclass
class House:
    """Backends `claudish` (Anthropic) and `chatty` (OpenAI, with Responses) on one simulator; a route a template."""

    patchbay: Patchbay
    upstream: SimulatorThread
    desk: Desk

    def ask(self, kind: str, model: str, *, tools: list[str] | None = None, **more: Any) -> Answer:
        body = {"model": model, **_asked(kind, tools or []), **more}
        return self.patchbay.post(PATHS[kind], body, {"anthropic-beta": "context-1m-2025-08-07,a-1"})

    @property
    def last(self) -> Entry:
        return [entry for entry in self.upstream.journal.entries if entry.method == "POST"][-1]

    @property
    def sent(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.last.body)
        return body


def _asked(kind: str, tools: list[str]) -> dict[str, Any]:
    flat = [{"name": name, "parameters": SCHEMA} for name in tools]
    written: list[dict[str, Any]] = {
        "messages": [{"name": name, "input_schema": SCHEMA} for name in tools],
        "chat": [{"type": "function", "function": tool} for tool in flat],
        "responses": [{"type": "function", "strict": False, **tool} for tool in flat],
    }[kind]
    body: dict[str, Any] = {"tools": written} if tools else {}
    body["input" if kind == "responses" else "messages"] = [{"role": "user", "content": "What time is it?"}]
    return body | ({"max_tokens": 50} if kind == "messages" else {})


def _set_up(desk: Desk, upstream: SimulatorThread) -> None:
    desk.do(
        {"do": "backend", "name": "claudish", "base": upstream.url, "protocol": "anthropic"},
        {
            "do": "backend",
            "name": "chatty",
            "base": f"{upstream.url}/v1",
            "protocol": "openai",
            "responses": True,
        },
        *(
            {"do": "account", "alias": name, "backend": name, "credential": {"key": f"sk-of-{name}-0123"}}
            for name in ("claudish", "chatty")
        ),
        *(
            {"do": "template", "name": name, "spec": spec}
            for name, spec in (
                ("house", HOUSE),
                ("tools", TOOLS),
                ("other", OTHER),
                ("edited", HOUSE),
                ("broken", HOUSE),
            )
        ),
        *(
            {"do": "route", "pattern": f"{name}-{kind}", "targets": [target], "template": name}
            for name in ("house", "tools", "other", "edited", "broken")
            for kind, target in MODELS.items()
        ),
        {"do": "route", "pattern": "plain", "targets": [MODELS["chat"]]},
    )
    desk.settle()


@pytest.fixture(scope="module")
def servers() -> Iterator[House]:
    with (
        SimulatorThread() as upstream,
        Patchbay({"PATCHBAY_QUEUE_SECONDS": "0"}) as patchbay,
        Desk(patchbay) as desk,
    ):
        _set_up(desk, upstream)
        yield House(patchbay, upstream, desk)


@pytest.fixture
def house(servers: House) -> House:
    servers.upstream.reset()
    return servers


# --- what goes up ------------------------------------------------------------------------------------------------


def test_a_messages_request_gets_the_template_and_every_change_is_told(house: House) -> None:
    answer = house.ask("messages", "house-messages", system="Be kind.")
    assert answer.status == 200
    assert (house.sent["system"], house.sent["max_tokens"]) == ("Be kind.\n\nAnswer in German.", 77)
    assert house.sent["temperature"] == 0.25
    assert house.last.header("x-department") == "kitchen"
    assert house.last.header("anthropic-beta") == "a-1,effort-2025-11-24"
    told = answer.headers["x-patchbay-mutations"].split(", ")
    assert told == [
        "$.model=alias",
        *(f"$.{name}=template" for name in ("system", "temperature", "max_tokens")),
        *("header:x-department=template", "header:anthropic-beta=template"),
    ]
    eventually(lambda: ", ".join(told) in _stored_mutations(house.patchbay))


def _stored_mutations(patchbay: Patchbay) -> list[str]:
    return [text for (text,) in patchbay.sql("history", "SELECT mutations FROM analytics_requestrecord")]


@pytest.mark.parametrize("client", ["messages", "chat", "responses"])
@pytest.mark.parametrize("target", ["messages", "chat"])
@pytest.mark.parametrize("stream", [False, True])
def test_the_template_stands_between_lane_and_wire_in_both_lanes(
    house: House, client: str, target: str, stream: bool
) -> None:
    answer = house.ask(client, f"house-{target}", stream=stream)
    assert answer.status == 200
    sent = house.sent
    if "system" in sent:
        assert "Answer in German." in json.dumps(sent["system"])
    else:
        prompt = sent.get("instructions") or sent["messages"][0]["content"]
        assert prompt == "Answer in German."
    assert 77 in (sent.get("max_tokens"), sent.get("max_output_tokens"))
    assert house.last.header("x-department") == "kitchen"


def test_a_count_of_tokens_counts_the_template_and_sets_no_parameters(house: House) -> None:
    body = {"model": "house-messages", "messages": [{"role": "user", "content": "hi"}]}
    assert house.patchbay.post("/v1/messages/count_tokens", body).status == 200
    assert house.last.path.endswith("/count_tokens")
    assert house.sent["system"] == "Answer in German."
    assert {"temperature", "max_tokens"}.isdisjoint(house.sent)


def test_embeddings_get_headers_and_nothing_they_do_not_know(house: House) -> None:
    answer = house.patchbay.post("/v1/embeddings", {"model": "house-chat", "input": "hi"})
    assert answer.status == 200
    assert house.sent == {"model": "gpt-4o", "input": "hi"}
    assert house.last.header("x-department") == "kitchen"


def test_the_same_turn_is_the_same_bytes(house: House) -> None:
    house.ask("messages", "tools-messages", tools=["Clock", "Map"])
    first = house.last.body
    house.ask("messages", "tools-messages", tools=["Clock", "Map"])
    assert house.last.body == first


def test_a_request_that_is_routed_otherwise_has_no_template(house: House) -> None:
    for model in ("plain", MODELS["chat"]):
        answer = house.ask("chat", model)
        assert answer.status == 200
        assert "template" not in answer.headers.get("x-patchbay-mutations", "")


# --- tools, up and down ------------------------------------------------------------------------------------------


def _called(kind: str, answer: Answer, stream: bool) -> set[str]:
    """The names of tools that the client is told, in events and whole answers alike."""
    bodies = [answer.body]
    if stream:
        bodies = [line[5:].strip() for line in answer.body.splitlines() if line.startswith(b"data:")]
    found: set[str] = set()
    for body in bodies:
        if body != b"[DONE]":
            _names(json.loads(body), found)
    return found


def _names(node: Any, found: set[str]) -> None:
    if isinstance(node, dict):
        if node.get("type") in ("tool_use", "function_call") or "arguments" in node:
            found.update([node["name"]] if node.get("name") else [])
        for value in node.values():
            _names(value, found)
    elif isinstance(node, list):
        for value in node:
            _names(value, found)


@pytest.mark.parametrize("target", ["messages", "chat"])
@pytest.mark.parametrize("client", ["messages", "chat", "responses"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_renamed_tool_is_called_by_the_clients_name(
    house: House, client: str, target: str, stream: bool
) -> None:
    house.upstream.script(["tool=get_time"])
    answer = house.ask(client, f"tools-{target}", tools=["Clock", "Map"], stream=stream)
    assert answer.status == 200
    assert '"get_time"' in json.dumps(house.sent["tools"])
    assert '"lookup"' in json.dumps(house.sent["tools"])
    assert '"Clock"' not in json.dumps(house.sent)
    assert _called(client, answer, stream) == {"Clock"}
    assert b"get_time" not in answer.body


def test_a_stream_that_arrives_in_drops_is_restored(house: House) -> None:
    house.upstream.script(["tool=get_time,drip=7:0"])
    answer = house.ask("messages", "tools-messages", tools=["Clock"], stream=True)
    assert _called("messages", answer, stream=True) == {"Clock"}
    assert (
        answer.body.rstrip().endswith(b'data: {"type":"message_stop"}')
        or b"message_stop" in answer.body[-60:]
    )


def test_a_conversation_goes_up_with_the_new_name_throughout(house: House) -> None:
    house.upstream.script(["tool=get_time"])
    first = house.ask("messages", "tools-messages", tools=["Clock"]).json()
    [call] = [block for block in first["content"] if block["type"] == "tool_use"]
    turns = [
        {"role": "user", "content": "What time is it?"},
        {"role": "assistant", "content": first["content"]},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": call["id"], "content": "Clock: 5"}],
        },
    ]
    second = house.ask("messages", "tools-messages", tools=["Clock"], messages=turns)
    assert second.status == 200
    assert [
        block["name"] for block in house.sent["messages"][1]["content"] if block["type"] == "tool_use"
    ] == ["get_time"]
    assert house.sent["messages"][2]["content"][0]["content"] == "Clock: 5"
    assert "$.messages[].content[].name=template" in second.headers["x-patchbay-mutations"]


@pytest.mark.parametrize("client", ["messages", "chat"])
def test_two_tools_of_one_name_are_refused_before_anything_is_sent(house: House, client: str) -> None:
    answer = house.ask(client, f"tools-{client}", tools=["Clock", "get_time"])
    assert answer.status == 400
    assert "renames the tool `Clock` to `get_time`" in answer.json()["error"]["message"]
    assert [entry for entry in house.upstream.journal.entries if entry.method == "POST"] == []


def test_tools_are_replaced(house: House) -> None:
    house.ask("chat", "other-chat", tools=["Clock", "Map"], tool_choice="auto")
    assert [tool["function"]["name"] for tool in house.sent["tools"]] == ["lookup"]


# --- while it runs -----------------------------------------------------------------------------------------------


def test_an_edit_counts_within_a_second_and_a_damaged_text_is_left_out_and_said(house: House) -> None:
    assert house.ask("chat", "edited-chat").status == 200
    assert house.sent["messages"][0]["content"] == "Answer in German."
    house.desk.do({"do": "template", "name": "edited", "spec": {"system": {"append": "Answer in Greek."}}})
    house.desk.settle()
    house.ask("chat", "edited-chat")
    assert house.sent["messages"][0]["content"] == "Answer in Greek."
    assert "temperature" not in house.sent

    house.desk.do({"do": "template_damage", "name": "broken", "spec": {"sistem": 1}})
    house.desk.settle()
    answer = house.ask("chat", "broken-chat")
    assert answer.status == 200
    assert house.sent["messages"][0]["role"] == "user"
    assert "template:broken=unreadable" in answer.headers["x-patchbay-mutations"]
    assert "Requests go without template broken: $.sistem: There is no such field" in house.patchbay.log


def test_an_operator_writes_a_template_in_the_admin_and_the_next_request_has_it(house: House) -> None:
    operator = Operator(house.patchbay)
    path = "/admin/backends/requesttemplate/"
    page = operator.get(path).body.decode()
    found = re.search(rf'"{path}(\d+)/change/"[^>]*>edited<', page)
    assert found, page
    form = {
        "spec": json.dumps({"system": {"replace": "Written by hand."}}),
        "csrfmiddlewaretoken": operator.token,
    }
    headers = {
        **operator.headers,
        "content-type": "application/x-www-form-urlencoded",
        "origin": house.patchbay.url,
    }
    saved = house.patchbay.request("POST", f"{path}{found[1]}/change/", urlencode(form).encode(), headers)
    assert saved.status == 302, saved.body.decode()

    def is_there() -> bool:
        house.ask("chat", "edited-chat")
        return bool(house.sent["messages"][0]["content"] == "Written by hand.")

    eventually(is_there)


def test_modes_that_keep_what_the_client_sent(house: House) -> None:
    """The same home under other flags: what a template may do to tools, and that it does nothing at all."""
    with Patchbay(
        {"PATCHBAY_QUEUE_SECONDS": "0"}, ("--preserve-tools",), home=house.patchbay.home
    ) as keeping:
        kept = House(keeping, house.upstream, house.desk)
        kept.ask("chat", "other-chat", tools=["Clock"])
        assert [tool["function"]["name"] for tool in kept.sent["tools"]] == ["Clock", "lookup"]
        kept.ask("chat", "tools-chat", tools=["Clock"])
        assert [tool["function"]["name"] for tool in kept.sent["tools"]] == ["Clock", "lookup"]
    house.desk.do({"do": "route", "pattern": "gpt-*", "targets": ["chatty"], "template": "house"})
    with Patchbay({"PATCHBAY_QUEUE_SECONDS": "0"}, ("--passthrough",), home=house.patchbay.home) as passing:
        asked = House(passing, house.upstream, house.desk).ask("chat", "gpt-4o", tools=["Clock"])
        assert asked.status == 200
        assert json.loads(house.last.body) == {"model": "gpt-4o", **_asked("chat", ["Clock"])}
        assert "template" not in asked.headers.get("x-patchbay-mutations", "")
