"""Earlier responses: found by their own client only, bounded, and forgotten with a clear error."""

from __future__ import annotations

import json

import pytest

from backends.wire.conversation import Conversation, Reply, Stop, Text, ToolCall, Turn
from backends.wire.openai_responses import build_response, parse_request
from proxyapp.errors import ProxyError
from proxyapp.remembered import Remembered


def talk(text: str, **fields: object) -> Conversation:
    return parse_request(json.dumps({"model": "m", "input": text, **fields}).encode())


def reply(reply_id: str = "abc", text: str = "answer") -> Reply:
    return Reply(reply_id, "m", [Text(text), ToolCall("call_1", "read", '{"a":1}')], Stop.TOOLS)


def id_of(answer: Reply) -> str:
    return str(json.loads(build_response(answer, talk("x")))["id"])


def test_a_conversation_goes_on_where_it_was() -> None:
    remembered = Remembered()
    remembered.keep("laptop", talk("first"), reply())
    found = remembered.continued("laptop", talk("second", previous_response_id=id_of(reply())))
    said = [block.text for turn in found.turns for block in turn.blocks if isinstance(block, Text)]
    assert said == ["first", "answer", "second"]
    assert found.previous_response_id is None


def test_another_client_key_finds_nothing() -> None:
    remembered = Remembered()
    remembered.keep("laptop", talk("first"), reply())
    with pytest.raises(ProxyError) as caught:
        remembered.continued("other", talk("second", previous_response_id=id_of(reply())))
    assert caught.value.api_error.code == "previous_response_not_found"
    assert len(list(remembered.items_of("other"))) == 0


def test_items_can_be_referred_to() -> None:
    remembered = Remembered()
    remembered.keep("laptop", talk("first"), reply())
    call_id = next(item_id for item_id in remembered.items_of("laptop") if item_id.startswith("fc_"))
    body = {
        "model": "m",
        "input": [
            {"role": "user", "content": "first"},
            {"type": "item_reference", "id": call_id},
            {"type": "function_call_output", "call_id": "call_1", "output": "42"},
        ],
    }
    found = parse_request(json.dumps(body).encode(), remembered.items_of("laptop"))
    calls = [block for turn in found.turns for block in turn.blocks if isinstance(block, ToolCall)]
    assert [(call.id, call.name, call.arguments) for call in calls] == [("call_1", "read", '{"a":1}')]


def test_store_false_keeps_nothing() -> None:
    remembered = Remembered()
    remembered.keep("laptop", talk("first", store=False), reply())
    assert list(remembered.items_of("laptop")) == []


def test_the_oldest_go_first_by_number_and_by_size() -> None:
    for remembered in (Remembered(most=2), Remembered(most_characters=25)):
        for number in range(5):
            remembered.keep("k", talk("x" * 10), reply(f"r{number}"))
        newest = talk("y", previous_response_id=id_of(reply("r4")))
        assert remembered.continued("k", newest).turns
        with pytest.raises(ProxyError):
            remembered.continued("k", talk("y", previous_response_id=id_of(reply("r0"))))
        assert not any("r0" in item_id for item_id in remembered.items_of("k"))


def test_a_request_without_reference_is_left_alone() -> None:
    plain = Conversation("m", [Turn("user", [Text("x")])])
    assert Remembered().continued("k", plain) is plain
