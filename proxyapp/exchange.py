"""One attempt: build the upstream request, send it, read the answer up to the commit point, classify it."""

from __future__ import annotations

import asyncio
import time

import msgspec

from accounts.credentials import MissingCredential, credential_headers, with_oauth_beta
from accounts.redact import redact, redact_body
from accounts.reports import NEUTRAL, Report, Result
from accounts.snapshot import AccountConfig
from backends.errors import SendTimedOut, UpstreamError
from backends.routing import Target
from backends.upstream import Deadlines, UpstreamResponse, current_upstream
from backends.wire.conversation import Unreadable
from backends.wire.errors import ApiError, read_error
from backends.wire.kinds import Kind
from backends.wire.limits import NO_LIMITS, Limits, read_limits
from backends.wire.overflow import is_overflow
from backends.wire.quirks import Quirk
from backends.wire.tap import read_response
from backends.wire.usage import Usage
from proxyapp.call import ClientCall
from proxyapp.errors import ProxyError
from proxyapp.findings import answered, of_count, unanswered
from proxyapp.headers import client_headers
from proxyapp.lane import Lane, Outgoing
from proxyapp.lanes import lane_for
from proxyapp.policy import Fault, fault_of_status
from proxyapp.quirks import leave_out, newly_refused
from proxyapp.relay import Relay
from proxyapp.unavailable import broken_error

MAX_PLAIN_BYTES = 64 * 2**20
MAX_ERROR_BYTES = 2**20
EXCERPT_CHARS = 2000
ONE_WRITE_BYTES = 256 * 1024
JSON = {"content-type": "application/json"}


class Exchange(msgspec.Struct):
    """What came of one attempt: an answer to pass on (`relay` or `body`), or an `error` of our own."""

    fault: Fault
    code: str  # for the attempt's row: "ok", "status_429", "connect_refused", …
    status: int | None = None  # for the client
    upstream_status: int | None = None  # as upstream meant it; None: no answer that could be used
    headers: dict[str, str] = {}
    body: bytes = b""
    relay: Relay | None = None
    error: ProxyError | None = None
    message: str = ""
    usage: Usage | None = None
    mutations: list[str] = []
    lane: Lane | None = None
    refusal: ApiError | None = None  # upstream's error as it came, not as the client is told
    said: bytes = b""  # the same as bytes, without secrets
    refused: tuple[Quirk, ...] = ()  # what it refuses by name, and what the request can do without
    report: Report = NEUTRAL  # what it shows about the account


async def exchange(call: ClientCall, target: Target, account: AccountConfig) -> Exchange:
    """Send the request to one account. Only cancellation comes out as an exception."""
    try:
        lane = lane_for(call, target)
        going = await lane.request()
    except ProxyError as exc:
        return Exchange(Fault.TARGET, "cannot_carry", error=exc, message=str(exc))
    call.draft.lane, call.draft.lost = lane.name, going.lost
    leave_out(call, target, lane.kind, going)
    try:
        _add_credential(call, account, lane, going)
    except MissingCredential as exc:
        return _no_credential(exc)
    try:
        with UpstreamTime(call):
            response = await _send(call, target, lane.kind, going)
    except UpstreamError as exc:
        return _concluded(call, _no_answer(exc), NO_LIMITS)
    limits = read_limits(response.headers, model=target.model, now=time.time())
    call.draft.connect_ms = response.connect_seconds * 1000
    call.draft.ttfb_ms = call.draft.since_start_ms()
    result = await _read_answer(call, target, lane, response)
    result.mutations, result.lane = going.mutations + result.mutations, lane
    return _looked_into(call, target, going, _concluded(call, result, limits))


def _concluded(call: ClientCall, result: Exchange, limits: Limits) -> Exchange:
    """What came, with what it shows about the account."""
    if result.upstream_status is None:
        report = unanswered(result.code, limits)
    else:
        report = answered(result.upstream_status, result.refusal, limits)
    if report.result is Result.QUOTA:  # some say it with status 400, which is not the client's fault
        result.fault = Fault.ACCOUNT
    result.report = of_count(report) if call.kind is Kind.COUNT_TOKENS else report
    return result


def _looked_into(call: ClientCall, target: Target, going: Outgoing, result: Exchange) -> Exchange:
    """Errors that the request caused, and that another target or a smaller request may not get."""
    status, said = result.upstream_status, result.said
    if status is None or not said or result.lane is None or result.fault is Fault.ACCOUNT:
        return result
    if is_overflow(status, said):
        result.fault, result.report = Fault.OVERFLOW, Report(Result.NEUTRAL, result.report.limits)
    elif result.fault is Fault.REQUEST:
        result.refused = newly_refused(call, target, result.lane.kind, going, status, said)
        result.fault = Fault.QUIRK if result.refused else result.fault
    return result


def _add_credential(call: ClientCall, account: AccountConfig, lane: Lane, going: Outgoing) -> None:
    protocol = lane.kind.protocol
    going.headers, mutations = with_oauth_beta(account, protocol, going.headers)
    going.headers += credential_headers(account, protocol, call.headers, snapshot=call.snapshot)
    going.mutations += mutations


def _no_credential(exc: MissingCredential) -> Exchange:
    """The caller has not sent the credential that this account forwards, or ours has just become unusable.

    Another account may do without the caller's; ours may be refreshed.
    """
    message = str(exc)
    if exc.is_callers:
        error = ProxyError(401, message, headers={"WWW-Authenticate": "Bearer"}, is_rejection=True)
        return Exchange(Fault.ACCOUNT, "no_credential", error=error, message=message)
    return Exchange(Fault.CREDENTIAL, "no_credential", error=broken_error(message), message=message)


async def _send(call: ClientCall, target: Target, kind: Kind, going: Outgoing) -> UpstreamResponse:
    timeouts = target.backend.timeouts
    call.start_deadline(timeouts)
    left = max(0.05, call.seconds_left)
    wait = timeouts.first_byte if call.peek.stream else timeouts.first_byte_plain
    sending = current_upstream().send(
        method="POST",
        base=target.backend.base,
        path=target.backend.path(kind),
        query=going.query,
        headers=going.headers,
        body=going.body,
        deadlines=Deadlines(min(timeouts.connect, left), min(wait, left), timeouts.idle),
    )
    if len(going.body) <= ONE_WRITE_BYTES:
        return await sending
    try:  # a large body may be taken in ever so slowly, and each slice of it has a limit of its own
        async with asyncio.timeout(left):
            return await sending
    except TimeoutError as exc:
        raise SendTimedOut(f"{target.backend.name} did not take the request in time. Try again.") from exc


class UpstreamTime:
    """Count what is spent waiting for upstream; the rest of the time is Patchbay's own overhead."""

    __slots__ = ("_began", "_draft")

    def __init__(self, call: ClientCall) -> None:
        self._draft = call.draft

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *exc: object) -> None:
        self._draft.upstream_s += time.monotonic() - self._began


async def _read_answer(call: ClientCall, target: Target, lane: Lane, response: UpstreamResponse) -> Exchange:
    """Everything up to the commit point. The response is closed unless a relay took it over."""
    relay = None
    try:
        with UpstreamTime(call):
            if response.status >= 300 or response.status < 200:
                return await _read_error(lane, response)
            if not call.peek.stream:
                return await _read_plain(lane, response)
            result = await _read_stream(call, target, lane, response)
            relay = result.relay
            return result
    except UpstreamError as exc:
        broken = _broken_answer(str(exc), exc.code)
        if 200 <= response.status < 300 and not call.peek.stream:
            broken.fault = Fault.BILLED
        return broken
    finally:
        if relay is None:
            response.close()


async def _read_error(lane: Lane, response: UpstreamResponse) -> Exchange:
    status, headers = response.status, lane.headers(client_headers(response.headers))
    if 300 <= status < 400:
        message = (
            f"The upstream answered with a redirect ({status}), which is never followed. Check the base URL."
        )
        error = ProxyError(502, message, code="upstream_redirect")
        return Exchange(
            Fault.BACKEND, "upstream_redirect", status, headers=headers, error=error, message=message
        )
    body = await response.read(MAX_ERROR_BYTES)
    safe = redact_body(body)
    told_status, told = lane.refusal(status, safe)
    return Exchange(
        fault_of_status(status),
        f"status_{status}",
        told_status,
        status,
        headers if told is safe else headers | JSON,
        body=told,
        message=_excerpt(safe),
        mutations=[] if safe is body else ["response=redacted"],
        refusal=_error_in(safe),
        said=safe,
    )


async def _read_plain(lane: Lane, response: UpstreamResponse) -> Exchange:
    if _content_type(response).startswith("text/event-stream"):
        return _broken_answer("it sent a stream although none was asked for", "wrong_content_type")
    body = await response.read(MAX_PLAIN_BYTES)
    facts = read_response(lane.kind, body)
    headers = lane.headers(client_headers(response.headers))
    if facts.error is not None:
        return _error_in_success(lane, facts.error, headers, body)
    if not facts.valid:
        return _broken_answer(
            f"it sent no JSON: {_excerpt(body)!r}" if body else "the answer is empty", "bad_answer"
        )
    try:
        answer = await lane.plain(body)
    except Unreadable as exc:
        return _broken_answer(str(exc), "unreadable")
    if answer is not body:
        headers |= JSON
    return Exchange(
        Fault.NONE, "ok", response.status, response.status, headers, body=answer, usage=facts.usage
    )


async def _read_stream(call: ClientCall, target: Target, lane: Lane, response: UpstreamResponse) -> Exchange:
    content_type = _content_type(response)
    if content_type and not content_type.startswith("text/event-stream"):
        return await _not_a_stream(lane, response)
    relay = Relay(response, lane.flow(), call.draft, idle_seconds=target.backend.timeouts.idle)
    await relay.prime()
    headers = lane.headers(client_headers(response.headers))
    if relay.failed_early:
        if relay.flow.error is None:
            return _broken_answer(relay.failure, "empty_stream")
        return _error_in_success(lane, relay.flow.error, headers)
    return Exchange(Fault.NONE, "ok", response.status, response.status, headers, relay=relay)


async def _not_a_stream(lane: Lane, response: UpstreamResponse) -> Exchange:
    """A stream was asked for and something else came: often an error object with status 200."""
    body = await response.read(MAX_ERROR_BYTES)
    facts = read_response(lane.kind, body)
    if facts.error is not None:
        return _error_in_success(lane, facts.error, lane.headers(client_headers(response.headers)), body)
    return _broken_answer(
        f"a stream was asked for, but it sent {_content_type(response)}", "wrong_content_type"
    )


def _error_in_success(lane: Lane, error: ApiError, headers: dict[str, str], body: bytes = b"") -> Exchange:
    """An error that came with a 2xx status: judged and passed on as the status it stands for.

    `body` is upstream's, if the error was all of it.
    """
    status, told = lane.refusal(error.status, body) if body else lane.tell(error)
    safe = redact_body(told)
    redacted = [] if safe is told else ["response=redacted"]
    return Exchange(
        fault_of_status(error.status),
        "error_in_success",
        status,
        error.status,
        headers | JSON,
        body=safe,
        message=redact(error.message),
        mutations=["response=error-status", *redacted],
        refusal=error,
        said=redact_body(body or msgspec.json.encode({"code": error.code, "message": error.message})),
    )


def _broken_answer(why: str, code: str) -> Exchange:
    """Upstream answered, but with nothing a client could use."""
    message = f"The upstream's answer cannot be used: {redact(why)}. Try again, or run `backend test`."
    error = ProxyError(502, message, code="upstream_bad_answer")
    return Exchange(Fault.TRANSIENT, code, error=error, message=message)


def _no_answer(exc: UpstreamError) -> Exchange:
    fault = _FAULT_OF_CODE.get(exc.code) or _FAULT_BY_SENT[exc.request_sent]
    message = redact(str(exc))
    status = 400 if fault is Fault.REQUEST else 504 if exc.code in _TIMEOUTS else 502
    return Exchange(fault, exc.code, error=ProxyError(status, message, code=exc.code), message=message)


_FAULT_BY_SENT = {"none": Fault.TRANSIENT, "partly": Fault.TRANSIENT, "fully": Fault.AMBIGUOUS}
_FAULT_OF_CODE = {
    "address_refused": Fault.BACKEND,
    "tls_failed": Fault.BACKEND,
    "header_refused": Fault.REQUEST,
}
_TIMEOUTS = {"connect_timeout", "send_timeout", "first_byte_timeout"}


def _content_type(response: UpstreamResponse) -> str:
    value = next((value for name, value in response.headers if name == b"content-type"), b"")
    return value.decode("latin-1").strip().lower()


def _error_in(body: bytes) -> ApiError | None:
    """What an error body says, if it is JSON."""
    try:
        return read_error(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _excerpt(body: bytes) -> str:
    return redact(body[:EXCERPT_CHARS].decode("utf-8", "replace"))
