"""The two lanes of an attempt: how the request goes up and how the answer comes down.

Direct: the backend knows the client's operation, bytes pass. Translated: the request is read into the neutral form
once, written for the backend's operation, and the answer comes back the same way.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from backends.routing import Target as RouteTarget
from backends.wire import anthropic, openai_responses
from backends.wire.assemble import Assembly
from backends.wire.conversation import CannotCarry, Conversation, Lost, Reply
from backends.wire.errors import ApiError, error_body
from backends.wire.kinds import Kind, carrier
from backends.wire.kinds import Protocol as WireProtocol
from backends.wire.openai_responses import ResponsesTap
from backends.wire.pairs import BUILDERS
from backends.wire.splice import BadBody, json_string, splice
from backends.wire.stream import StreamTap
from backends.wire.tap import read_id, stream_tap
from backends.wire.target import Target
from backends.wire.usage import Usage
from proxyapp.calibration import calibration
from proxyapp.call import ClientCall
from proxyapp.edges import Edge, with_edges
from proxyapp.errors import ProxyError
from proxyapp.flows import DirectFlow, Flow, TranslatedFlow
from proxyapp.followed import followed
from proxyapp.headers import translated_headers, upstream_headers
from proxyapp.lane import Lane, Outgoing
from proxyapp.redaction import redaction_edge
from proxyapp.remembered import remembered
from proxyapp.templates import template_edge

_PACKAGES = BUILDERS | {Kind.COUNT_TOKENS: BUILDERS[Kind.MESSAGES]}
# A status that the client's protocol does not use, and the one that says the same there.
_STATUS_OF: dict[WireProtocol, dict[int, int]] = {
    WireProtocol.OPENAI: {529: 503},
    WireProtocol.ANTHROPIC: {503: 529},
}
Edit = tuple[int, int, bytes]
_ID_PREFIX = {Kind.MESSAGES: "msg_", Kind.CHAT: "chatcmpl-"}


def lane_for(call: ClientCall, target: RouteTarget) -> Lane:
    """The lane of a target that is known to have one, with the edges that its rules ask for."""
    kind = carrier(call.kind, target.backend.kinds)
    assert kind is not None, "targets without a lane are refused when the trail opens"
    lane: Lane = DirectLane(call, target) if kind is call.kind else TranslatedLane(call, target, kind)
    return with_edges(lane, edges_for(call, target, kind))


def edges_for(call: ClientCall, target: RouteTarget, kind: Kind) -> list[Edge]:
    """The operator's rules for this attempt, in the order in which the request meets them."""
    found = [
        template_edge(call, target, kind),
        redaction_edge(call, target, kind),
    ]
    return [edge for edge in found if edge is not None]


class DirectLane:
    """Bytes pass; the model's span is spliced if the target names it otherwise."""

    name = "direct"

    def __init__(self, call: ClientCall, target: RouteTarget) -> None:
        self.kind = call.kind
        self._call, self._target = call, target
        self._tap: StreamTap | None = None
        self._answer = b""

    async def request(self) -> Outgoing:
        body, mutations = self._body()
        return Outgoing(body, upstream_headers(self._call.headers), self._call.query, mutations)

    def headers(self, headers: dict[str, str]) -> dict[str, str]:
        return headers

    async def plain(self, body: bytes) -> bytes:
        self._answer = body
        return body

    def refusal(self, status: int, body: bytes) -> tuple[int, bytes]:
        return status, body

    def tell(self, error: ApiError) -> tuple[int, bytes]:
        return error.status, error_body(self._call.kind.protocol, error, self._call.draft.id)

    def flow(self) -> Flow:
        self._tap = stream_tap(self.kind)
        return DirectFlow(self._tap)

    def completed(self, usage: Usage | None) -> None:
        """Remember whose a stored response is; else nothing was read, so nothing is known."""
        if self.kind is Kind.RESPONSES:
            response_id = (
                self._tap.response_id if isinstance(self._tap, ResponsesTap) else read_id(self._answer)
            )
            followed.keep(self._call.caller.key, response_id, self._call.session.id)

    def _body(self) -> tuple[bytes, list[str]]:
        """The client's bytes, with a few spans replaced; the same object when there is nothing to replace."""
        edits, mutations = self._renaming()
        if self.kind is Kind.RESPONSES and (sealed := openai_responses.without_sealed(self._call.body)):
            # Reasoning that we sealed for another backend earlier in this conversation: OpenAI cannot open it.
            edits, mutations = [*edits, *sealed], [*mutations, "$.input=sealed"]
        return (splice(self._call.body, sorted(edits)), mutations) if edits else (self._call.body, [])

    def _renaming(self) -> tuple[list[Edit], list[str]]:
        call, target = self._call, self._target
        if call.peek.model == target.model:
            return [], []
        name, mutation = json_string(target.model), f"$.model={target.mutation}"
        if call.peek.model_span is None:  # `--model` forces one that the client did not name at all
            start = call.body.index(b"{") + 1
            return [(start, start, b'"model":' + name + b",")], [mutation]
        start, end = call.peek.model_span
        return [(start, end, name)], [mutation]


class TranslatedLane:
    """Two protocols, one neutral form between them."""

    name = "translated"

    def __init__(self, call: ClientCall, target: RouteTarget, kind: Kind) -> None:
        self.kind = kind
        self._call = call
        self._client, self._upstream = _PACKAGES[call.kind], _PACKAGES[kind]
        self._target = Target(model=target.model, preset=target.backend.preset)
        self._mutation = target.mutation
        self._ask = conversation(call)
        self._names: Any = None
        self._route_target = target
        self._reply: Reply | None = None
        keeps = call.kind is Kind.RESPONSES and self._ask.store is not False
        self._assembly = Assembly() if keeps else None  # a stream's whole reply is held only where it is kept

    async def request(self) -> Outgoing:
        lost = Lost()
        _refuse_thread(self._ask)
        try:
            built = self._upstream.build_request(self._ask, self._target, lost)
        except CannotCarry as exc:
            raise ProxyError(400, exc.message, param=exc.field, is_rejection=True) from exc
        self._names = built.names
        headers = [*translated_headers(self._call.headers), *built.headers]
        mutations = [f"$.model={self._mutation}"] if self._mutation else []
        return Outgoing(built.body, headers, mutations=mutations, lost=lost.paths)

    def headers(self, headers: dict[str, str]) -> dict[str, str]:
        theirs, ours = ("x-request-id", "request-id")
        if self._call.kind.protocol is WireProtocol.OPENAI:
            theirs, ours = ours, theirs
        if theirs in headers:
            headers[ours] = headers.pop(theirs)
        return headers

    async def plain(self, body: bytes) -> bytes:
        reply = self._reply = self._upstream.parse_response(body, self._names)
        reply.id = self._reply_id()
        reply.created = reply.created or int(time.time())
        answer: bytes = self._client.build_response(reply, self._ask)
        return answer

    def refusal(self, status: int, body: bytes) -> tuple[int, bytes]:
        return self.tell(self._upstream.parse_error(status, body))

    def tell(self, error: ApiError) -> tuple[int, bytes]:
        protocol = self._call.kind.protocol
        told = replace(error, status=_STATUS_OF[protocol].get(error.status, error.status))
        if protocol is WireProtocol.ANTHROPIC:
            told = anthropic.client_error(told)
        return told.status, error_body(protocol, told, self._call.draft.id)

    def flow(self) -> Flow:
        writer = self._client.StreamWriter(self._ask, self._reply_id(), int(time.time()))
        if self._call.kind is Kind.MESSAGES:
            writer.request_id = self._call.draft.id
        return TranslatedFlow(self._upstream.StreamReader(self._names), writer, self._assembly)

    def _reply_id(self) -> str:
        """The answer's id, in the look of the client's protocol (Responses makes several ids of it itself)."""
        return _ID_PREFIX.get(self._call.kind, "") + self._call.draft.id.removeprefix("req_")

    def completed(self, usage: Usage | None) -> None:
        """Remember the conversation for `previous_response_id`; learn how many characters a token has."""
        if usage is not None and self._call.kind is Kind.MESSAGES:  # the only clients that ask for counts
            calibration.observe(self._route_target, self._ask, usage.input_tokens)
        if self._assembly is not None:
            reply = self._reply or self._assembly.reply
            reply.id = self._reply_id()
            key = self._call.caller.key
            followed.keep(key, remembered.keep(key, self._ask, reply), self._call.session.id)


def _refuse_thread(ask: Conversation) -> None:
    """Anthropic's SDKs let the server keep a tool loop's history; by this code they learn to send all of it instead."""
    if "$.thread" in ask.extras:
        raise ProxyError(
            400,
            "The backend of this model keeps no threads. Send the whole conversation, without `thread`.",
            code="thread_unsupported_request",
            param="thread",
            is_rejection=True,
        )


def conversation(call: ClientCall) -> Conversation:
    """The client's request in the neutral form, read once. Raises ProxyError 400."""
    if call.conversation is None:
        try:
            call.conversation = _parsed(call)
        except BadBody as exc:
            raise ProxyError(400, exc.message, param=exc.field, is_rejection=True) from exc
        except CannotCarry as exc:
            raise ProxyError(400, exc.message, param=exc.field, is_rejection=True) from exc
        call.conversation = remembered.continued(call.caller.key, call.conversation)
    return call.conversation


def _parsed(call: ClientCall) -> Conversation:
    if call.kind is Kind.RESPONSES:
        return openai_responses.parse_request(call.body, remembered.items_of(call.caller.key))
    talk: Conversation = _PACKAGES[call.kind].parse_request(call.body)
    return talk
