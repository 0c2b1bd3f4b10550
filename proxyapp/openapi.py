"""`/openapi.json`: every endpoint that Patchbay publishes, as OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.1.html).

It needs no key, since it says only what the documentation says; the gate's rules hold for it as for everything.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import msgspec
from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase

from backends.wire.kinds import Kind, Protocol
from proxyapp.openapi_schemas import INTEGER, NUMBER, SCHEMAS, STRING, Schema, ref
from proxyapp.request import ApiRequest
from proxyapp.views import methods

KINDS = {
    Kind.MESSAGES: ("MessagesRequest", "Anthropic Messages"),
    Kind.COUNT_TOKENS: ("CountTokensRequest", "Count the input tokens of a message"),
    Kind.CHAT: ("ChatRequest", "OpenAI Chat Completions"),
    Kind.RESPONSES: ("ResponsesRequest", "OpenAI Responses"),
    Kind.EMBEDDINGS: ("EmbeddingsRequest", "OpenAI Embeddings"),
    Kind.COMPLETIONS: ("CompletionsRequest", "OpenAI Completions"),
}
_STREAMED = {Kind.MESSAGES, Kind.CHAT, Kind.RESPONSES, Kind.COMPLETIONS}
# What may come with any answer to a proxied request.
_HEADERS: dict[str, tuple[Schema, str]] = {
    "x-patchbay-request-id": (STRING, "The id of the record in the history."),
    "x-patchbay-backend": (STRING, "Who answered."),
    "x-patchbay-account": (STRING, "On which account."),
    "x-patchbay-model": (STRING, "Which model was asked for upstream."),
    "x-patchbay-lane": ({"enum": ["direct", "translated"]}, "Whether bytes passed or were translated."),
    "x-patchbay-attempts": (INTEGER, "Tries at upstreams."),
    "x-patchbay-overhead-ms": (NUMBER, "Patchbay's own share of the time to the first byte."),
    "x-patchbay-decision": (STRING, "Why this account."),
    "x-patchbay-mutations": (STRING, "What was changed, where=why."),
    "x-patchbay-fallback": (STRING, "asked -> backend:used, when a later target of a route answered."),
    "x-patchbay-lost": (STRING, "What a translated request could not carry."),
    "x-patchbay-estimated": (STRING, "Which figures of the answer are estimates."),
    "x-patchbay-budget-remaining": (NUMBER, "US dollars left of the client key's budget."),
    "x-patchbay-headroom": (STRING, "0 to 1, or unknown; when asked for with x-patchbay-forecast: 1."),
    "x-patchbay-exhausts-at": (STRING, "RFC 3339, or none; when asked for with x-patchbay-forecast: 1."),
    "retry-after": (STRING, "When to try again."),
}
_ERRORS = {
    400: "The request is malformed, or a field is wrong, missing or given twice.",
    401: "A valid key is needed.",
    403: "From another web site, or a model that this key may not use.",
    404: "No backend for this model, or nothing at this address.",
    405: "Another method is needed; `Allow` says which.",
    408: "The request took too long to come.",
    413: "The body is too large.",
    415: "The body is not declared as JSON.",
    426: "WebSocket is not spoken here.",
    429: "A limit of the client key, or every account is spent; `retry-after` says until when.",
    431: "The headers are too large.",
    500: "Patchbay itself failed.",
    502: "The provider cannot be reached or understood.",
    503: "Nothing can serve this now, or Patchbay is leaving.",
    504: "The provider took too long.",
}
_GATE = (400, 403, 405, 408, 431, 500, 503)  # may meet any request
_KEYED = (401, 429, *_GATE)
_PROXIED = (*_ERRORS,)

Operation = dict[str, object]


@methods("GET", "HEAD")
async def openapi(request: ApiRequest) -> HttpResponseBase:
    """The document."""
    return HttpResponse(_encoded(), content_type="application/json")


@cache
def _encoded() -> bytes:
    return msgspec.json.encode(document(settings.VERSION))


def document(version: str) -> dict[str, object]:
    """The whole document, for this version of Patchbay."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Patchbay",
            "version": version,
            "description": "One local URL in front of every LLM you have. What docs/api.md tells in words.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": dict(sorted(_paths().items())),
        "security": [{}, {"bearer": []}, {"apiKey": []}, {"patchbayKey": []}],
        "components": {
            "schemas": SCHEMAS,
            "headers": {
                name: {"schema": kind, "description": text} for name, (kind, text) in _HEADERS.items()
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                "patchbayKey": {"type": "apiKey", "in": "header", "name": "x-patchbay-key"},
            },
        },
    }


def _paths() -> dict[str, object]:
    paths: dict[str, object] = {}
    for prefix in ("/v1", ""):
        paths |= {f"{prefix}{kind.path}": {"post": _proxied(kind, prefix)} for kind in Kind}
        paths[f"{prefix}/models"] = _reads(
            "models", prefix, "Every name that can be asked for", "Models", _KEYED
        )
        one = _reads("model", prefix, "One model", "Model", (404, *_KEYED))
        paths[f"{prefix}/models/{{model_id}}"] = {**one, "parameters": [_in_path("model_id")]}
    return paths | _own_paths()


def _own_paths() -> dict[str, object]:
    """What is about Patchbay itself."""
    minutes = {"type": "integer", "minimum": 1, "maximum": 525_600, "default": 60}
    analytics = _reads("analytics", "", "Requests, tokens, cost, windows and forecasts", "Analytics", _KEYED)
    return {
        "/": _reads("front", "", "A line for probes; a page for browsers on this machine", "Front", _GATE),
        "/health": _reads(
            "health", "", "Whether anything can be served", "Health", (*_GATE,), also={503: "Health"}
        ),
        "/livez": _reads("livez", "", "Whether the process runs", "Alive", _GATE),
        "/readyz": _reads("readyz", "", "Whether requests are taken", "Alive", _GATE, also={503: "Alive"}),
        "/accounts": _reads("accounts", "", "The pool as it is now", "Pool", _KEYED),
        "/status": _reads("status", "", "The state of every credential", "Status", _KEYED),
        "/analytics": {**analytics, "parameters": [{"name": "minutes", "in": "query", "schema": minutes}]},
        "/analytics/stream": {"get": _stream()},
        "/metrics": _reads("metrics", "", "For Prometheus", None, _KEYED, media="text/plain"),
        "/openapi.json": _reads("openapi", "", "This document", None, _GATE),
        "/dashboard/playground/run": {"post": _playground()},
    }


def _proxied(kind: Kind, prefix: str) -> Operation:
    request, title = KINDS[kind]
    content: dict[str, object] = {"application/json": {"schema": ref("Answer")}}
    if kind in _STREAMED:
        content["text/event-stream"] = {"schema": STRING}
    told = {name: {"$ref": f"#/components/headers/{name}"} for name in _HEADERS}
    return {
        "operationId": f"{kind.value}{_ending(prefix)}",
        "summary": title,
        "tags": ["proxy"],
        "parameters": [{"name": "x-patchbay-forecast", "in": "header", "schema": {"const": "1"}}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": ref(request)}}},
        "responses": {
            "200": {"description": "The provider's answer.", "headers": told, "content": content},
            **_errors(_PROXIED, kind.protocol),
            "default": _error("An error of the provider, with its status and body.", "Answer"),
        },
    }


def _reads(
    name: str,
    prefix: str,
    summary: str,
    schema: str | None,
    errors: Iterable[int],
    *,
    also: dict[int, str] | None = None,
    media: str = "application/json",
) -> dict[str, object]:
    """The GET and HEAD of something that is only looked at. `also`: further answers in Patchbay's own shape."""
    shape = {"schema": ref(schema) if schema else (STRING if media == "text/plain" else {"type": "object"})}
    responses: dict[str, object] = {
        "200": {"description": summary + ".", "content": {media: shape}},
        **_errors(errors, Protocol.OPENAI, either=name.startswith("model")),
    }
    for status, other in (also or {}).items():
        either = {"anyOf": [ref(other), ref("OpenAIError")]}
        responses[str(status)] = {
            "description": _ERRORS[status],
            "content": {"application/json": {"schema": either}},
        }
    bodiless = {status: {"description": _description(told)} for status, told in responses.items()}
    tags = ["models"] if name.startswith("model") else ["patchbay"]
    common = {"summary": summary, "tags": tags}
    return {
        "get": {"operationId": f"{name}{_ending(prefix)}", **common, "responses": responses},
        "head": {"operationId": f"{name}{_ending(prefix)}_head", **common, "responses": bodiless},
    }


def _stream() -> Operation:
    seen = {
        "name": "last-event-id",
        "in": "header",
        "schema": STRING,
        "description": "Only records after this one.",
    }
    return {
        "operationId": "analytics_stream",
        "summary": "The last 50 records, then each as its request ends",
        "tags": ["patchbay"],
        "parameters": [seen],
        "responses": {
            "200": {
                "description": "Server-sent events.",
                "content": {"text/event-stream": {"schema": STRING}},
            },
            **_errors(_KEYED, Protocol.OPENAI),
        },
    }


def _playground() -> Operation:
    kind = {"enum": [Kind.MESSAGES.value, Kind.CHAT.value, Kind.RESPONSES.value]}
    content = {"application/json": {"schema": ref("Answer")}, "text/event-stream": {"schema": STRING}}
    return {
        "operationId": "playground_run",
        "summary": "A request of the admin's playground; needs a login and its page's token",
        "tags": ["pages"],
        "parameters": [
            {"name": "kind", "in": "query", "required": True, "schema": kind},
            {"name": "account", "in": "query", "schema": STRING},
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
        "responses": {
            "200": {"description": "The answer.", "content": content},
            **_errors(_PROXIED, None),
            "default": _error("An error of the provider.", "Answer"),
        },
    }


def _ending(prefix: str) -> str:
    return "_v1" if prefix else ""


def _errors(statuses: Iterable[int], protocol: Protocol | None, *, either: bool = False) -> dict[str, object]:
    """Patchbay's own errors in the shape of a protocol; None or `either`: of one of them."""
    names = {Protocol.ANTHROPIC: ("AnthropicError",), Protocol.OPENAI: ("OpenAIError",)}
    both = ("AnthropicError", "OpenAIError")
    shapes = both if protocol is None or either else names[protocol]
    return {str(status): _error(_ERRORS[status], *shapes) for status in sorted(set(statuses))}


def _error(text: str, *shapes: str) -> dict[str, object]:
    schema = ref(shapes[0]) if len(shapes) == 1 else {"anyOf": [ref(shape) for shape in shapes]}
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _description(told: object) -> object:
    assert isinstance(told, dict)
    return told["description"]


def _in_path(name: str) -> dict[str, object]:
    return {"name": name, "in": "path", "required": True, "schema": STRING}


__all__ = ["KINDS", "document", "openapi"]
