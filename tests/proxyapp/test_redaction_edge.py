"""The edge by itself: flows with arbitrary cuts, who gets an edge at all, and what it says to the history."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from accounts.client_auth import Caller
from accounts.snapshot import Snapshot
from analytics.drafts import RecordDraft
from backends.addresses import check_base_url
from backends.config import BackendConfig, Redaction, Routing
from backends.redaction import compiled
from backends.routing import Target as RouteTarget
from backends.wire.conversation import Reply, Stop, Text, Unreadable
from backends.wire.errors import ApiError
from backends.wire.kinds import Kind, Protocol
from backends.wire.redaction import BUILTIN, Restorer, Vault
from backends.wire.session import Session
from backends.wire.splice import peek
from backends.wire.tap import stream_tap
from backends.wire.target import Names
from proxyapp.call import ClientCall
from proxyapp.edges import EdgedFlow, EdgedLane
from proxyapp.errors import ProxyError
from proxyapp.flows import DirectFlow, Flow, TranslatedFlow
from proxyapp.lane import Outgoing
from proxyapp.lanes import DirectLane, edges_for, lane_for
from proxyapp.redaction import RedactionEdge, redaction_edge
from tests.backends.wire.pairs import PACKAGES, PAIRS, every, writer
from tests.backends.wire.redacting import KINDS
from tests.backends.wire.redacting_answers import MAIL, VALUES, VAULT, restored, written
from tests.backends.wire.replies import assemble, content_of, events_of, read_stream, write_stream

ADDRESS = VALUES[0]


def edged(flow: Flow, kind: Kind, vault: Vault = VAULT) -> EdgedFlow:
    return EdgedFlow(flow, [Restorer(kind, vault)], vault.conceal)


def passed(flow: Flow, stream: bytes, cuts: Sequence[int]) -> bytes:
    ends = [*sorted({cut for cut in cuts if cut < len(stream)}), len(stream)]
    starts = [0, *ends[:-1]]
    return b"".join(flow.pass_on(stream[start:end]) for start, end in zip(starts, ends, strict=True))


# --- flows --------------------------------------------------------------------------------------------------------


@every
@given(replies=written(), size=st.integers(1, 40), cuts=st.lists(st.integers(1, 4000), max_size=20))
def test_a_direct_flow_tells_the_same_however_it_is_cut(
    protocol: str, replies: tuple[Reply, Reply], size: int, cuts: list[int]
) -> None:
    stream = write_stream(writer(protocol), events_of(replies[0], size))
    kind = KINDS[protocol]
    flow, plain = edged(DirectFlow(stream_tap(kind)), kind), DirectFlow(stream_tap(kind))
    told = passed(flow, stream, cuts) + flow.end()
    plain.pass_on(stream)
    plain.end()
    assert told == restored(kind, stream)
    assert (flow.finished, flow.content_seen, flow.error) == (True, plain.content_seen, None)
    assert flow.usage == plain.usage


@pytest.mark.parametrize(("client", "backend"), PAIRS)
@given(replies=written(), size=st.integers(1, 40), cuts=st.lists(st.integers(1, 4000), max_size=20))
def test_a_translated_flow_never_shows_a_placeholder(
    client: str, backend: str, replies: tuple[Reply, Reply], size: int, cuts: list[int]
) -> None:
    answer, truth = replies
    stream = write_stream(writer(backend), events_of(answer, size))
    expected = write_stream(writer(backend), events_of(truth, size))
    found, wanted = (
        _translated(client, backend, upstream, where) for upstream, where in ((stream, cuts), (expected, []))
    )
    assert content_of(found) == content_of(wanted)


def _translated(client: str, backend: str, stream: bytes, cuts: list[int]) -> Reply:
    flow = edged(TranslatedFlow(PACKAGES[backend].StreamReader(Names()), writer(client)), KINDS[backend])
    told = passed(flow, stream, cuts) + flow.end()
    return assemble(read_stream(PACKAGES[client].StreamReader(Names()), told)).reply


@every
@pytest.mark.parametrize("kept", range(1, len(MAIL)))
def test_a_cut_flow_says_what_it_held_before_it_says_why(protocol: str, kept: int) -> None:
    """Cut within a placeholder: the client gets its letters, and after them the error."""
    reply = Reply("m", "x", [Text(f"to {MAIL[:kept]}")], Stop.END, created=1)
    events = events_of(reply, 50)
    words = next(at for at, event in enumerate(events) if "to P" in repr(event))
    stream = write_stream(writer(protocol), events[: words + 1])
    flow = edged(DirectFlow(stream_tap(KINDS[protocol])), KINDS[protocol])
    told = flow.pass_on(stream)
    assert b"PB" not in told
    last = flow.cut("It broke.", "req_1")
    held, why = last.index(MAIL[:kept].encode()), last.index(b"It broke.")
    assert held < why


def test_what_a_flow_says_of_an_error_is_for_the_history() -> None:
    event = json.dumps({"error": {"message": f"no mail to {MAIL}", "type": "server_error"}}).encode()
    flow = edged(DirectFlow(stream_tap(Kind.CHAT)), Kind.CHAT)
    assert ADDRESS.encode() in flow.pass_on(b"data: " + event + b"\n\n")
    assert flow.error
    assert flow.error.message == f"no mail to {MAIL}"


def test_longer_values_are_concealed_before_what_they_contain() -> None:
    vault = Vault(b"key")
    short, long = (vault.placeholder("X1", value).decode() for value in (b"ann", b"ann@example.com"))
    assert vault.conceal("ann@example.com, ann") == f"{long}, {short}"


# --- the edge -----------------------------------------------------------------------------------------------------

ASKED = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": f"I am {ADDRESS}"}]}
BODY = json.dumps(ASKED).encode()
RULES = Redaction(compiled(tuple(BUILTIN)))


def made(
    *,
    kind: Kind = Kind.CHAT,
    redacts: bool = True,
    redaction: Redaction = RULES,
    passthrough: bool = False,
) -> tuple[Any, Any]:
    """A call, and a target of its configuration."""
    base = check_base_url("https://api.example.com/v1")
    backend = BackendConfig("cloud", Protocol.OPENAI, base, frozenset({Kind.CHAT}), redacts=redacts)
    routing = Routing({"cloud": backend}, passthrough=passthrough, redaction=redaction)
    call = ClientCall(
        kind=kind,
        body=BODY,
        peek=peek(kind, BODY),
        headers={},
        query=b"",
        caller=Caller(""),
        draft=RecordDraft("req_1", kind.protocol, kind),
        snapshot=Snapshot(1, routing, {}, {}, False),
        session=Session("", ""),
    )
    return call, RouteTarget(backend, "m", "")


@pytest.mark.parametrize(
    "settled",
    [
        {"redacts": False},
        {"passthrough": True},
        {"redaction": Redaction()},
        {"redacts": False, "redaction": Redaction(problem="broken")},
    ],
)
def test_there_is_no_edge_where_nothing_is_to_be_redacted(settled: dict[str, Any]) -> None:
    call, target = made(**settled)
    assert redaction_edge(call, target, Kind.CHAT) is None
    assert edges_for(call, target, Kind.CHAT) == []


async def test_an_edge_redacts_and_restores_and_conceals() -> None:
    call, target = made()
    [edge] = edges_for(call, target, Kind.CHAT)
    assert edge.stream() is None  # nothing was replaced yet
    going = Outgoing(BODY, [])
    await edge.outgoing(going)
    placeholder = Vault(settings.PATCHBAY_REDACTION_KEY).placeholder("EMAIL", ADDRESS.encode())
    assert going.body == BODY.replace(ADDRESS.encode(), placeholder)
    assert going.mutations == ["$.messages[0].content=EMAIL"]
    assert edge.whole(going.body) == BODY
    assert edge.conceal(f"not {ADDRESS}") == f"not {placeholder.decode()}"
    untouched = b'{"error":{"message":"no"}}'
    assert edge.whole(untouched) is untouched


async def test_a_lane_tells_the_client_the_value_in_an_error_of_a_stream() -> None:
    call, target = made()
    lane = EdgedLane(DirectLane(call, target), edges_for(call, target, Kind.CHAT))
    sent = (await lane.request()).body
    placeholder = json.loads(sent)["messages"][0]["content"].removeprefix("I am ")
    status, told = lane.tell(ApiError(500, f"no mail to {placeholder}"))
    assert (status, json.loads(told)["error"]["message"]) == (500, f"no mail to {ADDRESS}")


async def test_nor_does_an_answer_that_cannot_be_read_show_the_value_to_the_history() -> None:
    call, target = made(kind=Kind.MESSAGES)
    lane = lane_for(call, target)
    assert lane.name == "translated"
    sent = json.loads((await lane.request()).body)["messages"][0]["content"]
    placeholder = sent.removeprefix("I am ")
    choice = {"index": 0, "error": {"message": f"no mail to {placeholder}"}, "finish_reason": "error"}
    with pytest.raises(Unreadable, match=f"no mail to {placeholder}"):
        await lane.plain(json.dumps({"choices": [choice]}).encode())


async def test_what_cannot_be_redacted_is_not_sent() -> None:
    broken = RedactionEdge("cloud", Kind.CHAT, Redaction(problem="the redaction rule x cannot be used: …"))
    with pytest.raises(ProxyError, match="rule x cannot be used") as caught:
        await broken.outgoing(Outgoing(BODY, []))
    assert caught.value.status == 503
    with pytest.raises(ProxyError, match="nothing can be redacted") as caught:
        await RedactionEdge("cloud", Kind.CHAT, RULES).outgoing(Outgoing(b'{"messages": [', []))
    assert caught.value.status == 400


async def test_a_large_body_does_not_stop_the_others() -> None:
    mails = " ".join(f"user{number}@example.com" for number in range(20_000))
    body = json.dumps({"messages": [{"role": "user", "content": mails}]}).encode()
    going, ticks = Outgoing(body, []), 0
    edge = RedactionEdge("cloud", Kind.CHAT, RULES)
    working = asyncio.ensure_future(edge.outgoing(going))
    while not working.done():
        await asyncio.sleep(0.001)
        ticks += 1
    await working
    assert b"@example.com" not in going.body
    assert ticks > 5


async def test_a_large_answer_does_not_stop_the_others_and_a_small_one_needs_no_thread() -> None:
    call, target = made()
    lane = EdgedLane(DirectLane(call, target), edges_for(call, target, Kind.CHAT))
    placeholder = json.loads((await lane.request()).body)["messages"][0]["content"].removeprefix("I am ")
    for words, is_large in ((300_000, True), (10, False)):
        said = f"{placeholder} " * words
        body = json.dumps({"choices": [{"message": {"role": "assistant", "content": said}}]}).encode()
        restoring = asyncio.ensure_future(lane.plain(body))
        turns = 0
        while not restoring.done():
            await asyncio.sleep(0)
            turns += 1
        [choice] = json.loads(await restoring)["choices"]
        assert choice["message"]["content"] == f"{ADDRESS} " * words
        assert (turns > 10) is is_large
