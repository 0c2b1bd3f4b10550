"""What holds for every pair of protocols: nothing of the common subset is lost, changed or reordered on the way."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends.wire.conversation import (
    Block,
    Conversation,
    Event,
    Lost,
    Media,
    Reply,
    Stop,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from backends.wire.target import Names
from tests.backends.wire import official
from tests.backends.wire.pairs import PACKAGES, TARGETS, ask, every, pairs, writer
from tests.backends.wire.replies import assemble, events_of, read_stream, write_stream
from tests.backends.wire.strategies import conversations, replies

few = settings(
    max_examples=settings().max_examples // 2, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def written(protocol: str, talk: Conversation) -> bytes:
    """The request as a client, or to a backend, of this protocol."""
    body: bytes = PACKAGES[protocol].build_request(talk, TARGETS[protocol], Lost()).body
    return body


# --- requests ---------------------------------------------------------------------------------------------------


@pairs
@few
@given(talk=conversations())
def test_a_request_says_the_same_in_both_protocols(client: str, backend: str, talk: Conversation) -> None:
    asked = PACKAGES[client].parse_request(written(client, talk))
    before = copy.deepcopy(asked)
    arrived = PACKAGES[backend].parse_request(written(backend, asked))
    assert asked == before
    assert meaning(arrived) == meaning(asked) == meaning(talk)
    official.check_request(backend, written(backend, asked))


def meaning(talk: Conversation) -> dict[str, Any]:
    """What all three protocols can say of a request."""
    turns: list[tuple[str, list[Any]]] = []
    for turn in talk.turns:
        said = [_said(block) for block in turn.blocks]
        if turns and turns[-1][0] == turn.role:
            turns[-1][1].extend(said)
        else:
            turns.append((turn.role, said))
    return {
        "system": [text.text for text in talk.system],
        "turns": turns,
        "tools": [(tool.name, tool.description, tool.schema) for tool in talk.tools],  # type: ignore[union-attr]
        "choice": _choice(talk),
        "parallel": _choice(talk)[0] == "none" or talk.parallel_tools is not False,
        "max_tokens": talk.max_tokens,
        "stream": talk.stream,
    }


def _choice(talk: Conversation) -> tuple[str, tuple[str, ...]]:
    choice = talk.tool_choice
    return (choice.mode, choice.names) if choice else ("auto", ())


def _said(block: Any) -> tuple[Any, ...]:
    if isinstance(block, Text):
        return ("text", block.text)
    if isinstance(block, Media):
        return (block.kind, block.data, block.url)
    if isinstance(block, ToolCall):
        return ("call", block.id, block.name, block.arguments)
    if isinstance(block, ToolResult):
        return ("result", block.call_id, [_said(inner) for inner in block.content])
    return (type(block).__name__, getattr(block, "text", None))


# --- answers ----------------------------------------------------------------------------------------------------


@pairs
@few
@given(reply=replies())
def test_an_answer_says_the_same_in_both_protocols(client: str, backend: str, reply: Reply) -> None:
    upstream = PACKAGES[backend].build_response(reply, ask(backend))
    official.check_answer(backend, upstream)
    read = PACKAGES[backend].parse_response(upstream, Names())
    told = PACKAGES[client].build_response(read, ask(client))
    official.check_answer(client, told)
    assert outcome(PACKAGES[client].parse_response(told, Names())) == outcome(read) == outcome(reply)


def outcome(reply: Reply) -> dict[str, Any]:
    """What all three protocols can say of an answer."""
    usage = reply.usage
    assert usage is not None
    return {
        "blocks": [_shown(block) for block in reply.blocks],
        "stop": reply.stop,
        "usage": (usage.fresh_input, usage.cache_read, usage.cache_write, usage.output, usage.reasoning),
        "model": reply.model,
    }


def _shown(block: Any) -> tuple[Any, ...]:
    return ("thinking", block.text) if isinstance(block, Thinking) else _said(block)


@pairs
@few
@given(reply=replies(), size=st.integers(1, 9), data=st.data())
def test_a_stream_tells_what_the_whole_answer_tells(
    client: str, backend: str, reply: Reply, size: int, data: st.DataObject
) -> None:
    upstream = write_stream(writer(backend), events_of(reply, size))
    cuts = data.draw(st.lists(st.integers(1, len(upstream)), max_size=12))
    events = read_stream(PACKAGES[backend].StreamReader(Names()), upstream, cuts)
    whole = PACKAGES[backend].parse_response(PACKAGES[backend].build_response(reply, ask(backend)), Names())
    assert outcome(assemble(events).reply) == outcome(whole)
    stream = write_stream(writer(client), events)
    official.check_events(client, stream)
    told = json.loads(PACKAGES[client].build_response(whole, ask(client)))
    assert content(client, official.assembled(client, stream)) == content(client, told)
    calls = [block.arguments for block in reply.blocks if isinstance(block, ToolCall)]
    assert sent_arguments(client, stream) == calls


def content(protocol: str, answer: dict[str, Any]) -> Any:
    """What an answer holds, without ids and times, as the SDK shows it."""
    if protocol == "anthropic":
        blocks = [
            {key: value for key, value in block.items() if value is not None} for block in answer["content"]
        ]
        return blocks, answer["stop_reason"], _counts(answer["usage"])
    if protocol == "openai_chat":
        choice = answer["choices"][0]
        message = {
            key: choice["message"].get(key) or None for key in ("content", "refusal", "reasoning_content")
        }
        calls = [(c["id"], c["function"]) for c in choice["message"].get("tool_calls") or ()]
        return message, _functions(calls), choice["finish_reason"], _counts(answer["usage"])
    items = [{key: _plain(item[key]) for key in _ITEM if key in item} for item in answer["output"]]
    return items, answer["status"], _counts(answer["usage"])


_ITEM = ("type", "role", "status", "content", "summary", "encrypted_content", "call_id", "name", "arguments")


def _plain(value: Any) -> Any:
    """Without what the SDK adds to it."""
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, dict):
        return {key: inner for key, inner in value.items() if key not in {"parsed", "logprobs"}}
    return value


def _functions(calls: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, str, str]]:
    return [(known, function["name"], function["arguments"]) for known, function in calls]


def _counts(usage: dict[str, Any]) -> dict[str, int]:
    """The numbers that are not zero, also of what is nested."""
    flat: dict[str, int] = {}
    for key, value in usage.items():
        if isinstance(value, dict):
            flat |= {f"{key}.{inner}": count for inner, count in value.items() if count}
        elif isinstance(value, int) and value:
            flat[key] = value
    return flat


def sent_arguments(protocol: str, stream: bytes) -> list[str]:
    """The arguments of each call, put together from the deltas as text."""
    found: dict[Any, str] = {}
    for event in official.check_events(protocol, stream):
        for key, piece in _arguments(protocol, event):
            found[key] = found.get(key, "") + piece
    return list(found.values())


def _arguments(protocol: str, event: dict[str, Any]) -> list[tuple[Any, str]]:
    if protocol == "anthropic":
        delta = event.get("delta", {})
        return [(event["index"], delta["partial_json"])] if delta.get("type") == "input_json_delta" else []
    if protocol == "openai_responses":
        is_piece = event["type"] == "response.function_call_arguments.delta"
        return [(event["output_index"], event["delta"])] if is_piece else []
    calls = [call for choice in event["choices"] for call in choice["delta"].get("tool_calls") or ()]
    return [(call["index"], call["function"].get("arguments") or "") for call in calls]


# --- streams ----------------------------------------------------------------------------------------------------


@every
def test_a_stream_split_at_every_byte_gives_the_same_events(protocol: str) -> None:
    stream = write_stream(writer(protocol), events_of(_example()))
    package = PACKAGES[protocol]
    expected = read_stream(package.StreamReader(Names()), stream)
    for cut in range(1, len(stream)):
        assert read_stream(package.StreamReader(Names()), stream, [cut]) == expected
    assert read_stream(package.StreamReader(Names()), stream, range(len(stream))) == expected


def _example() -> Reply:
    blocks: list[Block] = [
        Thinking('Hm "世界"', origin="chat"),
        Text("Grüße 😀\n\n"),
        ToolCall("call_1", "weather", '{"city": "東京 😀", "a": "\\u00e9\\n"}'),
        ToolCall("call_2", "weather", "{}"),
    ]
    reply: Reply = PACKAGES["openai_chat"].parse_response(
        b'{"id":"x","created":1,"model":"m","choices":[{"message":{},"finish_reason":"stop"}],'
        b'"usage":{"prompt_tokens":3,"completion_tokens":2}}',
        Names(),
    )
    return replace(reply, blocks=blocks, stop=Stop.TOOLS)


@every
@few
@given(both=st.tuples(replies(), replies()), steps=st.lists(st.booleans(), max_size=60))
def test_streams_that_interleave_share_nothing(
    protocol: str, both: tuple[Reply, Reply], steps: list[bool]
) -> None:
    package = PACKAGES[protocol]
    streams = [write_stream(writer(protocol), events_of(reply)) for reply in both]
    readers = [package.StreamReader(Names()) for _ in both]
    writers = [writer(protocol) for _ in both]
    found: list[list[Event]] = [[], []]
    taken, out = [0, 0], [b"", b""]
    for step in [*map(int, steps), 0, 1]:
        end = taken[step] + 41
        events = readers[step].feed(streams[step][taken[step] : end])
        found[step] += events
        out[step] += write_stream(writers[step], events)
        taken[step] = end
    for at in (0, 1):
        rest = [*readers[at].feed(streams[at][taken[at] :]), *readers[at].close()]
        found[at] += rest
        out[at] += write_stream(writers[at], rest)
        assert found[at] == read_stream(package.StreamReader(Names()), streams[at])
        assert out[at] == write_stream(writer(protocol), found[at])


# --- reasoning that belongs to somebody ---------------------------------------------------------------------------


def test_a_signature_returns_to_claude_through_a_responses_client() -> None:
    """The client keeps it sealed in `encrypted_content` and sends it back; another backend never sees it."""
    blocks = [
        {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "cmVk"},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}},
    ]
    message = {"id": "msg_1", "model": "c", "content": blocks, "stop_reason": "tool_use", "usage": {}}
    reply = PACKAGES["anthropic"].parse_response(json.dumps(message, separators=(",", ":")).encode(), Names())
    for output in (_buffered_items(reply), _streamed_items(reply)):
        talk = PACKAGES["openai_responses"].parse_request(_next_turn(output))
        body = json.loads(PACKAGES["anthropic"].build_request(talk, TARGETS["anthropic"], Lost()).body)
        assert body["messages"][1] == {"role": "assistant", "content": blocks}
        lost = Lost()
        other = PACKAGES["openai_chat"].build_request(talk, TARGETS["openai_chat"], lost).body
        assert b"c2ln" not in other
        assert b"cmVk" not in other
        assert len(lost.paths) == 2


def _buffered_items(reply: Reply) -> Any:
    return json.loads(PACKAGES["openai_responses"].build_response(reply, ask("openai_responses")))["output"]


def _streamed_items(reply: Reply) -> Any:
    stream = write_stream(writer("openai_responses"), events_of(reply))
    return official.assembled("openai_responses", stream)["output"]


def _next_turn(output: list[Any]) -> bytes:
    result = {"type": "function_call_output", "call_id": "toolu_1", "output": "Rain"}
    items = [{"role": "user", "content": "Hi"}, *output, result]
    tool = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}
    return json.dumps({"model": "m", "input": items, "tools": [tool]}).encode()


def test_unsigned_thinking_of_another_model_never_reaches_claude() -> None:
    """What a chat model thought, shown to an Anthropic client and replayed by it, carries no signature."""
    chat = {"message": {"content": "Yes", "reasoning_content": "SECRET"}, "finish_reason": "stop"}
    reply = PACKAGES["openai_chat"].parse_response(
        json.dumps({"id": "x", "model": "m", "choices": [chat]}).encode(), Names()
    )
    for shown in (
        json.loads(PACKAGES["anthropic"].build_response(reply, ask("anthropic"))),
        official.assembled("anthropic", write_stream(writer("anthropic"), events_of(reply))),
    ):
        assert shown["content"][0]["thinking"] == "SECRET"
        turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": shown["content"]}]
        body = {"model": "m", "max_tokens": 9, "messages": [*turns, {"role": "user", "content": "And?"}]}
        talk = PACKAGES["anthropic"].parse_request(json.dumps(body).encode())
        lost = Lost()
        sent = PACKAGES["anthropic"].build_request(talk, TARGETS["anthropic"], lost).body
        assert b"SECRET" not in sent
        assert lost.paths == ["$.messages[1].content[0]"]
