"""Thinking of other protocols in the hands of a Responses client."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from backends.wire.conversation import Reply, Stop, Text, Thinking
from backends.wire.openai_responses import build_response, parse_request, without_sealed
from backends.wire.openai_responses.sealed import is_sealed, seal, unseal
from backends.wire.splice import splice

texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(texts, texts | st.none(), texts | st.none(), texts)
def test_what_was_sealed_is_opened_whole(
    text: str, signature: str | None, encrypted: str | None, shown: str
) -> None:
    thinking = Thinking(text, "anthropic", signature, encrypted)
    expected = Thinking(shown if signature is None else text, "anthropic", signature, encrypted)
    is_proven = bool(signature or encrypted)
    assert unseal(seal(thinking), shown) == (expected if is_proven else None)


@given(texts)
def test_what_is_not_ours_is_never_opened(text: str) -> None:
    assert unseal(text, "") is None or text.startswith("pb1.")
    assert unseal("pb1." + text, "") is None or is_sealed("pb1." + text)


def test_the_provider_s_own_is_sent_as_it_is() -> None:
    assert seal(Thinking("t", "responses", encrypted="gAAA")) == "gAAA"
    assert seal(Thinking("t", "responses")) is None
    assert seal(Thinking("t")) is None


def _sent_back(blocks: list[Any]) -> bytes:
    ask = parse_request(b'{"model": "m", "input": "x"}')
    output = json.loads(build_response(Reply("resp_1", "m", blocks, Stop.END), ask))["output"]
    items = [{"role": "user", "content": '] "pb1. [ü'}, *output, {"role": "user", "content": "b"}]
    return json.dumps({"tools": [], "input": items, "model": "m"}, indent=1, ensure_ascii=False).encode()


def test_a_client_that_sends_the_answer_back_keeps_the_signature() -> None:
    blocks = [Thinking("deep", "anthropic", signature="c2ln"), Text("a")]
    assert parse_request(_sent_back(blocks)).turns[1].blocks == blocks


def test_our_items_are_taken_out_for_a_backend_that_speaks_the_protocol_itself() -> None:
    own = Thinking("mine", "responses", encrypted="gAAA")
    body = _sent_back([Thinking("deep", "anthropic", signature="c2ln"), own, Text("a")])
    edited = json.loads(splice(body, without_sealed(body)))
    assert edited["model"] == "m"
    assert [item.get("type", "message") for item in edited["input"]] == [
        "message",
        "reasoning",
        "message",
        "message",
    ]
    assert edited["input"] == [item for at, item in enumerate(json.loads(body)["input"]) if at != 1]


def test_a_body_without_our_items_is_left_alone() -> None:
    for body in (
        b'{"model": "m", "input": "x"}',
        b'{"model": "m", "input": "\\"pb1.", "x": "pb1."}',
        _sent_back([]),
    ):
        assert without_sealed(body) == []
