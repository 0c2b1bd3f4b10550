"""The proxy endpoints: thin. Each reads the request, hands it to the pipeline, and answers in its protocol."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import wraps

from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.http.response import HttpResponseBase

from accounts.client_auth import Caller, authenticate
from accounts.snapshot import Snapshot, keeper
from analytics.drafts import Outcome, RecordDraft, new_request_id
from analytics.live.hub import hub
from backends.wire.agents import lineage_of
from backends.wire.errors import ApiError
from backends.wire.kinds import Kind, Protocol, protocol_of_path
from backends.wire.session import session_of
from backends.wire.splice import BadBody, peek
from proxyapp.call import ClientCall
from proxyapp.callers import refused_caller
from proxyapp.capture import captured
from proxyapp.errors import ProxyError, error_response
from proxyapp.followed import followed
from proxyapp.models_list import model_entry, model_list
from proxyapp.pipeline import handle
from proxyapp.request import ApiRequest, ClientGone
from proxyapp.responses import finish, refuse
from proxyapp.stopping import Unanswered, stopped

logger = logging.getLogger("patchbay.proxy")
View = Callable[..., Awaitable[HttpResponseBase]]


def methods(*allowed: str) -> Callable[[View], View]:
    """Refuse other methods with 405 and `Allow`, in the path's protocol."""

    def wrap(view: View) -> View:
        @wraps(view)
        async def checked(request: ApiRequest, **kwargs: object) -> HttpResponseBase:
            if request.method in allowed:
                return await view(request, **kwargs)
            error = ProxyError(
                405,
                f"{request.method} is not answered here. Use {' or '.join(allowed)}.",
                headers={"Allow": ", ".join(allowed)},
                is_rejection=True,
            )
            return refuse(open_draft(request, None), error)

        return checked

    return wrap


@methods("POST")
async def proxy(request: ApiRequest, *, kind: Kind) -> HttpResponseBase:
    """Every proxied POST: who calls, what is asked, then the pipeline. Each ends in exactly one record."""
    draft = open_draft(request, kind)
    return await serve(request, draft, read_call(request, kind, draft))


async def serve(request: ApiRequest, draft: RecordDraft, reading: Awaitable[ClientCall]) -> HttpResponseBase:
    """Read the call, hand it to the pipeline, and end its record whatever happens."""
    work = Unanswered()
    call: ClientCall | None = None
    try:
        call = await reading
        hub.began(draft, work)
        return captured(call, await handle(call))
    except ProxyError as error:
        return captured(call, refuse(draft, error))
    except (asyncio.CancelledError, ClientGone):
        if work.is_stopped and not request.client_gone:
            work.take_back()
            return captured(call, stopped(draft))
        captured(call, None)
        finish(draft, Outcome.CANCELLED, None, "the client left")
        raise
    except Exception:
        finish(draft, Outcome.ERROR, 500, "internal error")
        raise


async def read_call(request: ApiRequest, kind: Kind, draft: RecordDraft) -> ClientCall:
    """The checked request. The key is checked before the body is read. Raises ProxyError."""
    snapshot, caller = await identify(request)
    draft.key = caller.key
    body = await request.read_body(settings.PATCHBAY_MAX_BODY_MB * 2**20)
    draft.request_bytes = request.body_size
    try:
        facts = peek(kind, body, model_required=not snapshot.routing.force_model)
    except BadBody as exc:
        raise ProxyError(400, exc.message, param=exc.field, is_rejection=True) from exc
    draft.model_asked, draft.stream = facts.model or "", facts.stream
    session = session_of(kind, request.raw_headers, facts)
    if not session.id and facts.clues.follows:
        session = followed.session(caller.key, facts.clues.follows)
    lineage = lineage_of(request.raw_headers, session.id)
    draft.session, draft.session_source = lineage.session, session.source
    draft.agent, draft.parent_agent = lineage.agent, lineage.parent
    query = request.scope["query_string"]
    return ClientCall(kind, body, facts, request.raw_headers, query, caller, draft, snapshot, session)


async def identify(request: ApiRequest) -> tuple[Snapshot, Caller]:
    """The configuration for this request, and its caller under it. Raises ProxyError 401, or 429 for who guesses."""
    snapshot = keeper.current
    caller = authenticate(request.raw_headers, snapshot, is_loopback=request.is_loopback)
    if caller is None:
        snapshot = await keeper.catch_up()
        caller = authenticate(request.raw_headers, snapshot, is_loopback=request.is_loopback)
    if caller is None:
        raise refused_caller(request.raw_headers, request.scope.get("client"))
    return snapshot, caller


@methods("GET", "HEAD")
async def models(request: ApiRequest, *, model_id: str | None = None) -> HttpResponseBase:
    """`GET /v1/models` and `/v1/models/{id}`, in the one shape that satisfies both SDKs."""
    try:
        snapshot, caller = await identify(request)
        if model_id is None:
            return JsonResponse(await model_list(snapshot, caller))
        return JsonResponse(await model_entry(snapshot, caller, model_id))
    except ProxyError as error:
        draft = open_draft(request, None)
        draft.protocol = (
            Protocol.ANTHROPIC if b"anthropic-version" in request.raw_headers else Protocol.OPENAI
        )
        return refuse(draft, error)


def not_found(request: ApiRequest) -> HttpResponse:
    """404 in the shape of the path's protocol."""
    known = "/v1/messages, /v1/chat/completions, /v1/responses, /v1/embeddings, /v1/completions, /v1/models"
    message = f"There is nothing at {request.path[:200]!r}. Patchbay answers {known}."
    return refuse(open_draft(request, None), ProxyError(404, message, code="unknown_url", is_rejection=True))


def server_error(request: ApiRequest) -> HttpResponse:
    """500 without a word about why; the log has the traceback, the id connects the two."""
    error = ApiError(500, "Patchbay failed on this request. Its log says why; please report it.")
    return error_response(protocol_of_path(request.path), error, new_request_id())


def open_draft(request: ApiRequest, kind: Kind | None) -> RecordDraft:
    """The record of this request, as far as it is known before anything was read."""
    return RecordDraft(
        id=new_request_id(),
        protocol=kind.protocol if kind else protocol_of_path(request.path),
        kind=kind,
        method=request.method or "",
        path=request.path,
        client=request.raw_headers.get(b"user-agent", b"").decode("latin-1"),
        trace_parent=request.raw_headers.get(b"traceparent", b"").decode("latin-1"),
        began=request.received_at,
    )
