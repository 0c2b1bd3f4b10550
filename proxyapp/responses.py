"""The client's response: upstream's answer with headers that name what happened, and the record's end."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from decimal import Decimal

from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase

from accounts.models import Account
from accounts.pool import Lease
from accounts.reports import Report, Result
from analytics.drafts import Outcome, RecordDraft
from analytics.live.hub import hub
from analytics.pricing import cost_of
from analytics.recorder import recorder
from analytics.tallies import tallies
from backends.routing import Target
from backends.wire.limits import NO_LIMITS
from proxyapp.call import ClientCall
from proxyapp.errors import ProxyError, error_response
from proxyapp.exchange import Exchange
from proxyapp.findings import answered
from proxyapp.forecast_headers import forecast_headers
from proxyapp.key_estimates import Served
from proxyapp.notes import decision_header
from proxyapp.policy import Fault
from proxyapp.relay import Relay
from proxyapp.streaming import Answer, StreamResponse
from proxyapp.tally import tally
from proxyapp.trail import Trail
from proxyapp.unavailable import broken_error, retry_after

logger = logging.getLogger("patchbay.request")


def respond(call: ClientCall, trail: Trail, result: Exchange, lease: Lease) -> HttpResponseBase:
    """Pass upstream's answer on, or raise our own error when there is none. Settles the lease, now or at the end."""
    draft = call.draft
    draft.mutations += result.mutations
    if result.relay is not None:
        return _stream(call, trail, result, result.relay, lease)
    is_served = result.fault is Fault.NONE
    used = tally(call, trail.target, Served(result.usage, len(result.body))) if is_served else None
    lease.settle(_cost(call, trail, lease))
    if call.hold is not None:  # before the headers: they tell what is left of the client key's budget
        call.hold.served(trail.target, used)
    if is_served and result.lane is not None:
        result.lane.completed(result.usage)
    error = result.error or _unusable_key(lease, result)
    if error is not None:
        error.headers |= _told(call, trail, _advice(draft, error.headers, error.status))
        raise error
    headers = {"content-type": "application/json"} | result.headers
    if result.fault is not Fault.NONE:
        headers |= _sooner(trail, result, headers)
        headers |= _advice(draft, headers, result.status)
    response = Answer(result.body, result.status or 200, _told(call, trail, headers))
    draft.response_bytes = len(result.body)
    finish(
        draft,
        Outcome.OK if response.status_code < 400 else Outcome.ERROR,
        response.status_code,
        result.message,
    )
    return response


def unserved(call: ClientCall, trail: Trail, error: ProxyError) -> ProxyError:
    """The error of a request that no account was found for, with what there is to tell about it."""
    if call.hold is not None:
        call.hold.refund()
    error.headers |= _told(call, trail, {})
    return error


def answer_locally(call: ClientCall, target: Target, response: HttpResponse) -> HttpResponse:
    """The end of a request that needed no upstream."""
    draft = call.draft
    draft.backend, draft.model_used, draft.lane = target.backend.name, target.model, "translated"
    for name, value in (_facts(draft) | _budget(call)).items():
        response[name] = value
    draft.response_bytes = len(response.content)
    finish(draft, Outcome.OK, response.status_code)
    return response


def refuse(draft: RecordDraft, error: ProxyError) -> HttpResponse:
    """The end of a request that Patchbay itself answers."""
    response = error_response(draft.protocol, error.api_error, draft.id, error.headers)
    draft.response_bytes = len(response.content)
    finish(draft, Outcome.REJECTED if error.is_rejection else Outcome.ERROR, error.status, str(error))
    return response


def finish(draft: RecordDraft, outcome: Outcome, status: int | None, error: str = "") -> None:
    """End the draft and hand it to the recorder, once."""
    draft.status = draft.status or status
    if draft.end(outcome, error):
        tallies.count(draft)
        recorder.record(draft)
        hub.ended(draft)
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s", draft.line())


def _stream(call: ClientCall, trail: Trail, result: Exchange, relay: Relay, lease: Lease) -> StreamResponse:
    draft = call.draft
    status = result.status or 200
    draft.status = status

    def closed(outcome: Outcome, message: str) -> None:
        served = Served.of_stream(relay, is_complete=outcome is Outcome.OK)
        draft.response_bytes = relay.passed + relay.added
        used = tally(call, trail.target, served)
        if outcome is Outcome.TRUNCATED:
            lease.report(Report(Result.FAULT, reason=f"a stream broke off: {message}"))
        elif relay.flow.error is not None:
            lease.report(answered(relay.flow.error.status, relay.flow.error, NO_LIMITS))
        lease.settle(_cost(call, trail, lease))
        if call.hold is not None:
            call.hold.served(trail.target, used)
        if outcome is Outcome.OK and result.lane is not None:
            result.lane.completed(relay.flow.usage)
        finish(draft, outcome, status, message)

    relay.on_close = closed
    hub.handed_over(draft, relay)
    headers = _told(call, trail, result.headers)
    headers |= {"cache-control": "no-cache", "x-accel-buffering": "no"}
    return StreamResponse(relay, status, headers)


def _cost(call: ClientCall, trail: Trail, lease: Lease) -> Decimal | None:
    """What the request cost, where a limit on money wants to know it at once."""
    if not lease.account.has_limits or call.draft.usage is None:
        return None
    target, prices = trail.target, call.snapshot.prices
    usage, backend = call.draft.usage, target.backend
    return cost_of(target.model, backend.preset, usage, backend=backend.name, own=prices)


def _budget(call: ClientCall) -> dict[str, str]:
    return call.hold.headers() if call.hold is not None else {}


def _unusable_key(lease: Lease, result: Exchange) -> ProxyError | None:
    """Upstream refused our credential: not the caller's fault, so never a 401 to the caller, unless it is his own."""
    if result.status != 401 or lease.account.kind == Account.CALLER:
        return None
    cure = (
        "Set a new key in the admin, or remove the account and add it again."
        if lease.account.kind == Account.API_KEY
        else f"Log in again: python manage.py login {lease.account.alias}."
    )
    message = (
        f"Backend {lease.account.backend} refused the credential of account {lease.account.alias}. {cure}"
    )
    return broken_error(message)


def _told(call: ClientCall, trail: Trail, headers: dict[str, str]) -> dict[str, str]:
    """The headers that tell the truth about this request, over upstream's."""
    draft = call.draft
    told = {**headers, **_facts(draft), **_budget(call), **forecast_headers(call)}
    if draft.mutations:
        told["x-patchbay-mutations"] = header_text(", ".join(draft.mutations))
    if draft.lost:
        told["x-patchbay-lost"] = header_text(", ".join(draft.lost)[:4000])
    if trail.is_fallback:
        told["x-patchbay-fallback"] = header_text(
            f"{draft.model_asked} -> {draft.backend}:{draft.model_used}"
        )
    return told


def _sooner(trail: Trail, result: Exchange, headers: Mapping[str, str]) -> dict[str, str]:
    """A 429 tells when this account is back; when another is back sooner, that is what the client needs."""
    recovers_at = trail.recovers_at() if result.status == 429 else None
    if recovers_at is None:
        return {}
    seconds, told = retry_after(recovers_at), headers.get("retry-after", "")
    if told.isdigit() and int(told) <= seconds:
        return {}
    trail.call.draft.mutations.append("header:retry-after=pool")
    exact = {"retry-after-ms": str(1000 * seconds)} if "retry-after-ms" in headers else {}
    return {"retry-after": str(seconds), **exact}


def _facts(draft: RecordDraft) -> dict[str, str]:
    """What stands on every proxied answer."""
    draft.overhead_ms = max(0.0, draft.since_start_ms() - (draft.upstream_s + draft.queued_s) * 1000)
    facts = {
        "x-patchbay-request-id": draft.id,
        "x-patchbay-backend": draft.backend,
        "x-patchbay-account": draft.account,
        "x-patchbay-model": draft.model_used,
        "x-patchbay-lane": draft.lane,
        "x-patchbay-attempts": str(len(draft.attempts)),
        "x-patchbay-overhead-ms": f"{draft.overhead_ms:.2f}",
        "x-patchbay-decision": decision_header(draft.choices[-1], draft.route_note) if draft.choices else "",
    }
    return {
        name: value if value.isascii() and value.isprintable() else header_text(value)
        for name, value in facts.items()
        if value
    }


def _advice(draft: RecordDraft, headers: Mapping[str, str], status: int | None) -> dict[str, str]:
    """Where we have tried again already, clients should not multiply it; upstream's own advice stands.

    A 429 says itself when it is worth trying again.
    """
    wait = headers.get("retry-after", "")
    is_soon = status == 429 and wait.isdigit() and int(wait) <= settings.PATCHBAY_QUEUE_SECONDS
    if len(draft.attempts) < 2 or is_soon or "x-should-retry" in headers:
        return {}
    return {"x-should-retry": "false"}


def header_text(text: str) -> str:
    """A text as a header can carry it: what is not printable ASCII is escaped."""
    return text if text.isascii() and text.isprintable() else text.encode("unicode_escape").decode("ascii")
