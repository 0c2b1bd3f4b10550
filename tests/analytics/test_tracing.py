"""Spans reach a collector over OTLP, with the GenAI conventions' names and the caller's trace."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from analytics.drafts import AttemptDraft, Outcome, RecordDraft
from analytics.live.events import ended_json
from analytics.tracing import request_attributes
from backends.prices import NO_PRICES, Price, PriceBook
from backends.wire.kinds import Kind, Protocol
from backends.wire.usage import Usage
from tests.patchbay import Patchbay

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


class Collector:
    """Takes OTLP over HTTP."""

    def __init__(self) -> None:
        self.spans: Queue[Any] = Queue()
        spans = self.spans

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told = ExportTraceServiceRequest()
                told.ParseFromString(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(200)
                self.end_headers()
                for resource in told.resource_spans:
                    for scope in resource.scope_spans:
                        for span in scope.spans:
                            spans.put(span)

            def log_message(self, *args: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.server.shutdown()
    made.server.server_close()


def told(span: Any) -> dict[str, Any]:
    """A span's attributes."""
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in span.attributes}


def test_a_request_and_its_attempt_are_spans_of_the_callers_trace(collector: Collector) -> None:
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    with Patchbay(settings) as patchbay:
        body = {"model": "demo", "max_tokens": 5, "messages": [{"role": "user", "content": "canary-prompt"}]}
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-claude-code-session-id": "s-1"}
        assert patchbay.post("/v1/messages", body, headers).status == 200
        spans = {span.kind: span for span in (collector.spans.get(timeout=20) for _ in range(2))}
    server, client = spans[2], spans[3]  # SPAN_KIND_SERVER, SPAN_KIND_CLIENT
    assert (server.name, server.trace_id.hex(), server.parent_span_id.hex()) == ("chat demo", TRACE, PARENT)
    assert client.parent_span_id == server.span_id
    facts = told(server)
    assert facts["gen_ai.operation.name"] == "chat"
    assert facts["gen_ai.request.model"] == "demo"
    assert facts["gen_ai.conversation.id"] == "s-1"
    assert facts["gen_ai.usage.input_tokens"] > 0
    assert facts["patchbay.outcome"] == "ok"
    assert server.start_time_unix_nano <= client.start_time_unix_nano
    assert client.end_time_unix_nano <= server.end_time_unix_nano + 1_000_000
    assert "canary-prompt" not in str(server) + str(client)


def test_what_a_request_never_came_to_is_absent_and_a_failure_has_its_type() -> None:
    draft = RecordDraft(
        "req_1", Protocol.ANTHROPIC, Kind.MESSAGES, started_at=datetime(2026, 11, 22, tzinfo=UTC)
    )
    draft.status, draft.model_asked = 429, "opus"
    draft.end(Outcome.ERROR, "spent")
    facts = request_attributes(draft, NO_PRICES)
    assert facts["error.type"] == "429"
    assert not {"gen_ai.usage.input_tokens", "patchbay.cost_usd", "patchbay.account"} & facts.keys()


def test_a_price_is_told_where_it_is_known() -> None:
    draft = RecordDraft("req_1", Protocol.ANTHROPIC, Kind.MESSAGES)
    draft.provider, draft.backend, draft.model_used = "anthropic", "mine", "claude-sonnet-4-5"
    draft.usage = Usage(1_000_000, 0, 0, 0, 0, 0, b"")
    draft.attempts.append(AttemptDraft("mine", "a", "claude-sonnet-4-5"))
    facts = request_attributes(draft, NO_PRICES)
    assert facts["gen_ai.provider.name"] == "anthropic"
    assert facts["patchbay.cost_usd"] in (3.0, 6.0)  # above 200,000 tokens the long-context price may apply


def test_the_operators_own_price_counts_in_spans_and_in_the_live_feed() -> None:
    own = PriceBook([Price(model="own-*", since=date(2026, 1, 1), input=Decimal(7))])
    draft = RecordDraft("req_1", Protocol.ANTHROPIC, Kind.MESSAGES)
    draft.backend, draft.model_used = "mine", "own-model"
    draft.usage = Usage(1_000_000, 0, 0, 0, 0, 0, b"")
    draft.attempts.append(AttemptDraft("mine", "a", "own-model"))
    draft.end(Outcome.OK)
    assert request_attributes(draft, own)["patchbay.cost_usd"] == 7.0
    assert ended_json(draft, own)["cost"] == 7.0
    assert "patchbay.cost_usd" not in request_attributes(draft, NO_PRICES)
