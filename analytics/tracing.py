"""OpenTelemetry: one span a request and one an attempt, in the words of the GenAI semantic conventions.

Rule: nothing is imported or sent unless OTEL_EXPORTER_OTLP_ENDPOINT (or …_TRACES_ENDPOINT) names a collector; the
SDK reads its own OTEL_* settings. Spans are made from finished records, away from the requests, and hold no text of
theirs. Names: opentelemetry.io/docs/specs/semconv/gen-ai.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from django.conf import settings

from analytics.drafts import AttemptDraft, Outcome, RecordDraft
from analytics.pricing import cost_of
from backends.prices import PriceBook
from backends.wire.kinds import Kind

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

logger = logging.getLogger("patchbay.tracing")
Value = str | int | float | bool
_OPERATIONS = {Kind.EMBEDDINGS: "embeddings", Kind.COMPLETIONS: "text_completion"}
_PROVIDERS = {"gemini": "gcp.gemini", "mistral": "mistral_ai", "xai": "x_ai"}  # others: our preset's name
_MS = 1_000_000  # nanoseconds


def is_wanted() -> bool:
    """Whether there is somewhere to send spans to."""
    return bool(settings.OTEL_ENDPOINT)


class Tracing:
    """`export()` turns finished drafts into spans, which a thread of the SDK sends in batches."""

    def __init__(self, version: str, prices: Callable[[], PriceBook]) -> None:
        self._prices = prices
        self._provider = _provider(version)
        self._tracer: Tracer = self._provider.get_tracer("patchbay", version)

    def export(self, drafts: Iterable[RecordDraft]) -> None:
        """Spans for these requests. Never waits for the network, never raises: history must go on."""
        for draft in drafts:
            try:
                self._export(draft)
            except Exception:
                logger.exception("Request %s has no span.", draft.id)

    def stop(self) -> None:
        """Send what is left, within the SDK's own limits."""
        self._provider.shutdown()

    def _export(self, draft: RecordDraft) -> None:
        from opentelemetry.trace import SpanKind, set_span_in_context

        span = self._tracer.start_span(
            f"{_operation(draft)} {draft.model_asked or '-'}",
            context=_context(draft.trace_parent),
            kind=SpanKind.SERVER,
            start_time=_nanoseconds(draft.started_at),
            attributes=request_attributes(draft, self._prices()),
        )
        within = set_span_in_context(span)
        for attempt in draft.attempts:
            self._export_attempt(draft, attempt, within)
        _close(span, draft.error, draft.outcome is Outcome.OK, draft.started_at, draft.duration_ms)

    def _export_attempt(self, draft: RecordDraft, attempt: AttemptDraft, within: Context) -> None:
        from opentelemetry.trace import SpanKind

        span = self._tracer.start_span(
            f"{_operation(draft)} {attempt.model}",
            context=within,
            kind=SpanKind.CLIENT,
            start_time=_nanoseconds(attempt.started_at),
            attributes=attempt_attributes(draft, attempt),
        )
        _close(span, attempt.error, attempt.outcome == "ok", attempt.started_at, attempt.duration_ms)


def request_attributes(draft: RecordDraft, prices: PriceBook) -> dict[str, Value]:
    """What a request's span says. Absent is what the request never came to. `prices`: the operator's own."""
    usage = draft.usage
    found: dict[str, Value | None] = {
        "gen_ai.operation.name": _operation(draft),
        "gen_ai.provider.name": _provider_name(draft.provider, draft.backend),
        "gen_ai.request.model": draft.model_asked,
        "gen_ai.response.model": draft.model_used,
        "gen_ai.request.stream": draft.stream,
        "gen_ai.conversation.id": draft.session,
        "gen_ai.usage.input_tokens": usage.input_tokens if usage else None,
        "gen_ai.usage.output_tokens": usage.output if usage else None,
        "gen_ai.usage.cache_read.input_tokens": usage.cache_read if usage else None,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write if usage else None,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning if usage else None,
        "gen_ai.response.time_to_first_chunk": draft.ttft_ms / 1000 if draft.ttft_ms is not None else None,
        "http.response.status_code": draft.status,
        "error.type": _error_type(draft),
        "patchbay.request_id": draft.id,
        "patchbay.outcome": draft.outcome.value if draft.outcome else None,
        "patchbay.backend": draft.backend,
        "patchbay.account": draft.account,
        "patchbay.key": draft.key,
        "patchbay.lane": draft.lane,
        "patchbay.attempts": len(draft.attempts),
        "patchbay.queued_ms": round(draft.queued_s * 1000, 3),
        "patchbay.overhead_ms": draft.overhead_ms,
        "patchbay.cost_usd": _dollars(_cost(draft, prices)),
    }
    return {name: value for name, value in found.items() if value is not None and value != ""}


def attempt_attributes(draft: RecordDraft, attempt: AttemptDraft) -> dict[str, Value]:
    """What the span of one try says."""
    is_last = attempt is draft.attempts[-1]
    found: dict[str, Value | None] = {
        "gen_ai.operation.name": _operation(draft),
        "gen_ai.provider.name": _provider_name(draft.provider if is_last else "", attempt.backend),
        "gen_ai.request.model": attempt.model,
        "http.response.status_code": attempt.status,
        "error.type": None if attempt.outcome == "ok" else attempt.outcome,
        "patchbay.backend": attempt.backend,
        "patchbay.account": attempt.account,
        "patchbay.verdict": attempt.verdict,
    }
    return {name: value for name, value in found.items() if value is not None and value != ""}


def _operation(draft: RecordDraft) -> str:
    return _OPERATIONS.get(draft.kind, "chat") if draft.kind else "chat"


def _provider_name(preset: str, backend: str) -> str:
    """The conventions' name of a known provider, else the operator's own name of the backend."""
    return _PROVIDERS.get(preset, preset) or backend


def _error_type(draft: RecordDraft) -> str | None:
    if draft.outcome in (None, Outcome.OK):
        return None
    return str(draft.status) if draft.status and draft.status >= 400 else draft.outcome.value


def _cost(draft: RecordDraft, prices: PriceBook) -> Decimal | None:
    if draft.usage is None:
        return None
    named = draft.model_used, draft.provider
    return cost_of(*named, draft.usage, draft.started_at, backend=draft.backend, own=prices)


def _dollars(cost: Decimal | None) -> float | None:
    return None if cost is None else float(cost)


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1000


def _close(span: Span, error: str, is_ok: bool, started_at: datetime, duration_ms: float) -> None:
    from opentelemetry.trace import Status, StatusCode

    from accounts.redact import redact

    if not is_ok:
        span.set_status(Status(StatusCode.ERROR, redact(error)[:500]))
    span.end(_nanoseconds(started_at) + int(duration_ms * _MS))


def _context(trace_parent: str) -> Context | None:
    """The caller's own trace, so that its span is the parent of ours (W3C Trace Context)."""
    if not trace_parent:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": trace_parent})


def _provider(version: str) -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = {"service.name": os.environ.get("OTEL_SERVICE_NAME", "patchbay"), "service.version": version}
    provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
