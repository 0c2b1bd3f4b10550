"""The playground's requests: the operator's own, through the same pipeline as everybody's, streamed to the page."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
from django.conf import settings
from django.http.response import HttpResponseBase

from accounts.client_auth import ANYBODY
from accounts.snapshot import keeper
from analytics.drafts import RecordDraft
from analytics.live.hub import hub
from backends.wire.kinds import Kind
from backends.wire.session import NO_SESSION
from backends.wire.splice import BadBody, peek
from proxyapp.call import ClientCall
from proxyapp.errors import ProxyError
from proxyapp.page_login import ACT, demand_operator
from proxyapp.request import ApiRequest
from proxyapp.responses import refuse
from proxyapp.streaming import Source, StreamResponse
from proxyapp.views import methods, open_draft, serve

CLIENT = "playground"
KINDS = {kind.value: kind for kind in (Kind.MESSAGES, Kind.CHAT, Kind.RESPONSES)}
# What a client of the protocol would send; the browser's own headers, its cookies above all, go nowhere.
_HEADERS = {
    b"content-type": b"application/json",
    b"user-agent": b"patchbay-playground",
    b"anthropic-version": b"2023-06-01",
}
_encode = msgspec.json.Encoder().encode


@methods("POST")
async def run(request: ApiRequest) -> HttpResponseBase:
    """`?kind=` says whose protocol the body is in; `?account=` may name the one account that shall serve it.

    A stream ends with an event of our own, `patchbay.record`: the request's record as `history --json` has it.
    """
    kind = KINDS.get(request.GET.get("kind", ""))
    draft = open_draft(request, kind)
    draft.client = CLIENT
    if kind is None:
        message = f"The playground speaks: {', '.join(KINDS)}. Name one of them as kind."
        return refuse(draft, ProxyError(400, message, param="kind", is_rejection=True))
    response = await serve(request, draft, _read(request, kind, draft))
    if isinstance(response, StreamResponse):
        response.source = WithRecord(response.source, draft)
    return response


async def _read(request: ApiRequest, kind: Kind, draft: RecordDraft) -> ClientCall:
    await demand_operator(request, ACT)
    body = await request.read_body(settings.PATCHBAY_MAX_BODY_MB * 2**20)
    draft.request_bytes = len(body)
    snapshot = keeper.current
    try:
        facts = peek(kind, body, model_required=not snapshot.routing.force_model)
    except BadBody as exc:
        raise ProxyError(400, exc.message, param=exc.field, is_rejection=True) from exc
    draft.model_asked, draft.stream = facts.model or "", facts.stream
    # No session: an answer that is compared must not depend on which account the last one came from.
    call = ClientCall(kind, body, facts, _HEADERS, b"", ANYBODY, draft, snapshot, NO_SESSION)
    call.only_account = request.GET.get("account", "").strip()
    return call


class WithRecord:
    """A stream, and after its end the record of the request in an event of ours. A stream's source."""

    def __init__(self, source: Source, draft: RecordDraft) -> None:
        self._source, self._draft = source, draft

    @property
    def has_bytes(self) -> bool:
        return self._source.has_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._source:
            yield chunk
        self._source.close()  # ends the record
        record = await hub.record(self._draft)
        yield b"event: patchbay.record\ndata: %b\n\n" % _encode(record)

    def close(self) -> None:
        self._source.close()
