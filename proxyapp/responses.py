"""The client's response: upstream's answer with headers that name what happened, and the record's end."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping

from django.http import HttpResponse
from django.http.response import HttpResponseBase

from accounts.pool import Lease
from analytics.drafts import Outcome, RecordDraft
from analytics.recorder import recorder
from backends.routing import Target
from proxyapp.call import ClientCall
from proxyapp.errors import ProxyError, error_response
from proxyapp.exchange import Exchange
from proxyapp.policy import Fault
from proxyapp.relay import Relay
from proxyapp.trail import Trail

logger = logging.getLogger("patchbay.request")


class RelayResponse(HttpResponseBase):
    """A streaming response over a relay. Our handler and Django's call `close()` whenever one exists."""

    streaming = True

    def __init__(self, relay: Relay, status: int, headers: dict[str, str]) -> None:
        super().__init__(status=status, headers=headers)
        self.relay = relay

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self.relay)

    def close(self) -> None:
        """End the relay. Django's request_finished signal is for database connections, which nobody here holds."""
        self.relay.close()


def respond(call: ClientCall, trail: Trail, result: Exchange, lease: Lease) -> HttpResponseBase:
    """Pass upstream's answer on, or raise our own error when there is none. Settles the lease, now or at the end."""
    draft = call.draft
    draft.mutations += result.mutations
    if result.relay is not None:
        return _stream(call, trail, result, result.relay, lease)
    lease.settle()
    draft.usage = result.usage
    if result.fault is Fault.NONE and result.lane is not None:
        result.lane.completed(result.usage)
    error = result.error or _unusable_key(trail, result)
    if error is not None:
        error.headers |= _told(call, trail, _advice(draft, {}))
        raise error
    headers = {"content-type": "application/json"} | result.headers
    if result.fault is not Fault.NONE:
        headers |= _advice(draft, headers)
    response = HttpResponse(result.body, status=result.status, headers=_told(call, trail, headers))
    finish(
        draft,
        Outcome.OK if response.status_code < 400 else Outcome.ERROR,
        response.status_code,
        result.message,
    )
    return response


def answer_locally(call: ClientCall, target: Target, response: HttpResponse) -> HttpResponse:
    """The end of a request that needed no upstream."""
    draft = call.draft
    draft.backend, draft.model_used, draft.lane = target.backend.name, target.model, "translated"
    for name, value in _facts(draft).items():
        response[name] = value
    finish(draft, Outcome.OK, response.status_code)
    return response


def refuse(draft: RecordDraft, error: ProxyError) -> HttpResponse:
    """The end of a request that Patchbay itself answers."""
    finish(draft, Outcome.REJECTED if error.is_rejection else Outcome.ERROR, error.status, str(error))
    return error_response(draft.protocol, error.api_error, draft.id, error.headers)


def finish(draft: RecordDraft, outcome: Outcome, status: int | None, error: str = "") -> None:
    """End the draft and hand it to the recorder, once."""
    draft.status = draft.status or status
    if draft.end(outcome, error):
        recorder.record(draft)
        logger.debug("%s", draft.line())


def _stream(call: ClientCall, trail: Trail, result: Exchange, relay: Relay, lease: Lease) -> RelayResponse:
    draft = call.draft
    status = result.status or 200
    draft.status = status

    def closed(outcome: Outcome, message: str) -> None:
        lease.settle()
        draft.usage = relay.flow.usage
        draft.usage_is_final = relay.flow.finished
        if outcome is Outcome.OK and result.lane is not None:
            result.lane.completed(relay.flow.usage)
        finish(draft, outcome, status, message)

    relay.on_close = closed
    headers = _told(call, trail, result.headers)
    headers |= {"cache-control": "no-cache", "x-accel-buffering": "no"}
    return RelayResponse(relay, status, headers)


def _unusable_key(trail: Trail, result: Exchange) -> ProxyError | None:
    """Upstream refused our key: that is not the caller's fault, so never a 401 to the caller."""
    if result.status != 401:
        return None
    backend, account = trail.call.draft.backend, trail.call.draft.account
    message = (
        f"Backend {backend} refused the key of account {account}."
        f" Set a new key in the admin, or remove the account and add it again."
    )
    return ProxyError(503, message, code="account_unavailable")


def _told(call: ClientCall, trail: Trail, headers: dict[str, str]) -> dict[str, str]:
    """The headers that tell the truth about this request, over upstream's."""
    draft = call.draft
    told = _facts(draft)
    if draft.mutations:
        told["x-patchbay-mutations"] = ", ".join(draft.mutations)
    if draft.lost:
        told["x-patchbay-lost"] = header_text(", ".join(draft.lost)[:4000])
    if trail.is_fallback:
        told["x-patchbay-fallback"] = header_text(
            f"{draft.model_asked} -> {draft.backend}:{draft.model_used}"
        )
    return headers | told


def _facts(draft: RecordDraft) -> dict[str, str]:
    """What stands on every proxied answer."""
    draft.overhead_ms = max(0.0, draft.since_start_ms() - draft.upstream_s * 1000)
    return {
        "x-patchbay-request-id": draft.id,
        "x-patchbay-backend": draft.backend,
        "x-patchbay-account": draft.account,
        "x-patchbay-model": header_text(draft.model_used),
        "x-patchbay-lane": draft.lane,
        "x-patchbay-attempts": str(len(draft.attempts)),
        "x-patchbay-overhead-ms": f"{draft.overhead_ms:.2f}",
    }


def _advice(draft: RecordDraft, headers: Mapping[str, str]) -> dict[str, str]:
    """Where we have tried again already, clients should not multiply it; upstream's own advice stands."""
    return {"x-should-retry": "false"} if len(draft.attempts) > 1 and "x-should-retry" not in headers else {}


def header_text(text: str) -> str:
    """A model name as a header can carry it: what is not printable ASCII is escaped."""
    return text if text.isascii() and text.isprintable() else text.encode("unicode_escape").decode("ascii")
