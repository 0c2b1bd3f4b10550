"""The shapes that `/openapi.json` names: what Patchbay reads of a request, and what it answers itself. Pure data.

Bodies of providers are theirs: of a request only the fields that Patchbay checks are told, and any other passes.
"""

from __future__ import annotations

Schema = dict[str, object]

STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
BOOLEAN: Schema = {"type": "boolean"}


def ref(name: str) -> Schema:
    """A shape by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def listed(items: Schema) -> Schema:
    """A list of it."""
    return {"type": "array", "items": items}


def or_null(schema: Schema) -> Schema:
    """The same, or null."""
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    return {**schema, "type": [schema["type"], "null"]}


def one_of_types(*types: str) -> Schema:
    """A value of any of these JSON types, or null."""
    return {"type": [*types, "null"]}


def described(schema: Schema, text: str) -> Schema:
    """With a sentence for people."""
    return {**schema, "description": text}


def record(fields: dict[str, Schema], *, required: tuple[str, ...] | None = None) -> Schema:
    """An object. All fields are required unless said otherwise; more may come."""
    needed = list(fields) if required is None else list(required)
    return {"type": "object", "properties": fields, "required": needed}


def by_name(schema: Schema) -> Schema:
    """An object from names to values of one shape."""
    return {"type": "object", "additionalProperties": schema}


# --- requests -----------------------------------------------------------------------------------------------------

_COUNT = or_null({"type": "integer", "minimum": 0})
_POSITIVE = or_null({"type": "integer", "minimum": 1})
_FRACTION = or_null(NUMBER)
_OBJECT, _LIST, _TEXT_OR_LIST = one_of_types("object"), one_of_types("array"), one_of_types("string", "array")
_ANY: Schema = {}
_HEAD: dict[str, Schema] = {
    "model": described(
        {"type": "string", "minLength": 1, "maxLength": 200}, "A model, an alias, or backend:model."
    ),
    "stream": described(or_null(BOOLEAN), "Answer in server-sent events."),
}
_SAMPLED: dict[str, Schema] = {
    **_HEAD,
    "temperature": _FRACTION,
    "top_p": _FRACTION,
    "tools": _LIST,
    "tool_choice": one_of_types("string", "object"),
    "metadata": _OBJECT,
    "prompt_cache_key": _ANY,
}
_MESSAGES = listed(record({"role": STRING, "content": _ANY}, required=("role",)))
_PENALTIES: dict[str, Schema] = {
    "n": _POSITIVE,
    "frequency_penalty": _FRACTION,
    "presence_penalty": _FRACTION,
    "stop": {"anyOf": [or_null(STRING), listed(STRING)]},
    "stream_options": _OBJECT,
}
REQUESTS: dict[str, Schema] = {
    "MessagesRequest": record(
        {
            **_SAMPLED,
            "messages": _MESSAGES,
            "max_tokens": _COUNT,
            "top_k": _COUNT,
            "stop_sequences": or_null(listed(STRING)),
            "system": _TEXT_OR_LIST,
            "thinking": _OBJECT,
            "output_config": _ANY,
            "output_format": _ANY,
        },
        required=("model", "messages"),
    ),
    "CountTokensRequest": record(
        {
            **_HEAD,
            "messages": _MESSAGES,
            "system": _TEXT_OR_LIST,
            "tools": _LIST,
            "tool_choice": one_of_types("string", "object"),
            "thinking": _OBJECT,
            "metadata": _OBJECT,
        },
        required=("model", "messages"),
    ),
    "ChatRequest": record(
        {
            **_SAMPLED,
            **_PENALTIES,
            "messages": _MESSAGES,
            "max_tokens": _POSITIVE,
            "max_completion_tokens": _POSITIVE,
            "response_format": _OBJECT,
            "reasoning_effort": _ANY,
            "reasoning": _ANY,
            "functions": _ANY,
        },
        required=("model", "messages"),
    ),
    "ResponsesRequest": record(
        {
            **_SAMPLED,
            "input": {
                "anyOf": [
                    or_null(STRING),
                    listed(record({"role": or_null(STRING), "content": _ANY}, required=())),
                ]
            },
            "max_output_tokens": _POSITIVE,
            "instructions": or_null(STRING),
            "previous_response_id": or_null(STRING),
            "prompt": _OBJECT,
            "conversation": one_of_types("string", "object"),
            "reasoning": _OBJECT,
            "text": _OBJECT,
            "store": or_null(BOOLEAN),
        },
        required=("model",),
    ),
    "EmbeddingsRequest": record(
        {
            **_HEAD,
            "input": {"type": ["string", "array"]},
            "dimensions": _POSITIVE,
            "encoding_format": or_null(STRING),
        },
        required=("model", "input"),
    ),
    "CompletionsRequest": record(
        {
            **_HEAD,
            **_PENALTIES,
            "prompt": {"type": ["string", "array"]},
            "max_tokens": _COUNT,
            "temperature": _FRACTION,
            "top_p": _FRACTION,
        },
        required=("model", "prompt"),
    ),
}

# --- answers ------------------------------------------------------------------------------------------------------

_MS = or_null({"type": "number", "minimum": 0})
_MOMENT = described(or_null(INTEGER), "Milliseconds since the epoch.")
_TOKENS: Schema = {"type": "integer", "minimum": 0}
_SHARE = or_null({"type": "number", "minimum": 0, "maximum": 1})
_COST = described(or_null(NUMBER), "US dollars of what could be priced; null when nothing could.")

_TOTALS: dict[str, Schema] = {
    "requests": _TOKENS,
    "rejectedRequests": _TOKENS,
    "totalInputTokens": described(_TOKENS, "Cache reads and writes included."),
    "totalOutputTokens": _TOKENS,
    "totalCacheReadTokens": _TOKENS,
    "totalCacheWriteTokens": _TOKENS,
    "totalReasoningTokens": _TOKENS,
    "estimatedCost": _COST,
    "unpricedRequests": _TOKENS,
    "avgLatencyMs": _MS,
    "p50LatencyMs": _MS,
    "p99LatencyMs": _MS,
    "avgTtftMs": _MS,
    "errorRate": _SHARE,
    "claimBreakdown": by_name(_TOKENS),
}
_GROUP: dict[str, Schema] = {
    "requests": _TOKENS,
    "inputTokens": _TOKENS,
    "outputTokens": _TOKENS,
    "cacheReadTokens": _TOKENS,
    "cacheWriteTokens": _TOKENS,
    "estimatedCost": _COST,
    "unpricedRequests": _TOKENS,
    "avgLatencyMs": _MS,
    "errorRate": _SHARE,
}
_CREDENTIAL: dict[str, Schema] = {
    "authenticated": BOOLEAN,
    "status": {"enum": ["healthy", "expiring", "expired", "needs-login", "none"]},
    "expiresAt": _MOMENT,
    "expiresIn": or_null(STRING),
    "canRefresh": BOOLEAN,
}
_NAMED: dict[str, Schema] = {"alias": STRING, "backend": STRING, "kind": STRING}
_WINDOW = record(
    {
        "name": STRING,
        "modelClass": or_null(STRING),
        "utilization": {"type": "number", "minimum": 0, "maximum": 1},
        "remaining": or_null(NUMBER),
        "limit": or_null(NUMBER),
        "rejected": BOOLEAN,
        "resetsAt": _MOMENT,
        "observedAt": _MOMENT,
    }
)
_ACCOUNT = record(
    {
        **_NAMED,
        "status": {"enum": ["ready", "limited", "cooling", "expired", "needs-login", "paused"]},
        "util5h": _SHARE,
        "util7d": _SHARE,
        "headroom": or_null(NUMBER),
        "claim": or_null(STRING),
        "windows": listed(_WINDOW),
        "lastObservedAt": _MOMENT,
        "utilAgeMs": or_null(INTEGER),
        "requestCount": _TOKENS,
        "inFlight": _TOKENS,
        "stickyBindings": _TOKENS,
        "cooldownMs": INTEGER,
        "reason": or_null(STRING),
        "expiresInMs": or_null(INTEGER),
    }
)
ANSWERS: dict[str, Schema] = {
    "Answer": described(
        {"type": "object"}, "The provider's own answer, as it came or translated into this protocol."
    ),
    "AnthropicError": record(
        {
            "type": {"const": "error"},
            "error": record(
                {"type": STRING, "message": STRING, "details": record({"error_code": STRING})},
                required=("type", "message"),
            ),
            "request_id": or_null(STRING),
        },
        required=("type", "error"),
    ),
    "OpenAIError": record(
        {
            "error": record(
                {"message": STRING, "type": or_null(STRING), "param": or_null(STRING), "code": _ANY},
                required=("message",),
            )
        }
    ),
    "Alive": record({"status": {"enum": ["ok", "ready", "draining"]}}),
    "Front": record({"name": {"const": "patchbay"}, "status": {"const": "ok"}}),
    "Health": record(
        {
            "status": {"enum": ["ok", "degraded"]},
            "oauth": {"enum": ["none", "healthy", "expiring", "expired"]},
            "expiresIn": or_null(STRING),
            "requests": _TOKENS,
            "queued": _TOKENS,
            "version": STRING,
            "configVersion": INTEGER,
            "backends": _TOKENS,
            "historyWaiting": _TOKENS,
            "reasons": listed(STRING),
        },
        required=("status",),
    ),
    "Status": record({**_CREDENTIAL, "accounts": listed(record({**_NAMED, **_CREDENTIAL}))}),
    "Pool": record(
        {
            "mode": {"const": "pool"},
            "accounts": listed(_ACCOUNT),
            "healthy": _TOKENS,
            "exhausted": _TOKENS,
            "totalHeadroom": {"type": "number", "minimum": 0, "maximum": 100},
            "bestAccount": or_null(STRING),
            "queued": _TOKENS,
            "stickyBindings": _TOKENS,
        }
    ),
    "Model": record(
        {
            "id": STRING,
            "object": {"const": "model"},
            "created": INTEGER,
            "owned_by": STRING,
            "type": {"const": "model"},
            "display_name": STRING,
            "created_at": {"type": "string", "format": "date-time"},
            "lifecycle": STRING,
            "max_input_tokens": INTEGER,
        },
        required=("id", "object", "created", "owned_by", "type", "display_name", "created_at", "lifecycle"),
    ),
    "Models": record(
        {
            "object": {"const": "list"},
            "data": listed(ref("Model")),
            "has_more": {"const": False},
            "first_id": or_null(STRING),
            "last_id": or_null(STRING),
        }
    ),
    "Analytics": record(
        {
            "window": record({"minutes": INTEGER, **_TOTALS}),
            "allTime": record(_TOTALS),
            "perAccount": by_name(record({**_GROUP, "currentUtil5h": _SHARE, "currentUtil7d": _SHARE})),
            "perModel": by_name(record(_GROUP)),
            "perBackend": by_name(record(_GROUP)),
            "perKey": by_name(record(_GROUP)),
            "utilization": listed(record({"at": INTEGER, "accounts": by_name(by_name(NUMBER))})),
            "predictions": {"type": "object"},
        }
    ),
}
SCHEMAS: dict[str, Schema] = REQUESTS | ANSWERS
