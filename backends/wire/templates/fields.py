"""Which parameters and headers a template may set, and why it may not set the others."""

from __future__ import annotations

import re

NEUTRAL = ("max_tokens", "temperature", "top_p", "top_k", "stop", "reasoning_effort")
"""Parameters that every protocol gets under its own name."""
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

# --- parameters ----------------------------------------------------------------------------------------------------

_OWN_NAMES = {
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "stop_sequences": "stop",
    "reasoning.effort": "reasoning_effort",
    "output_config.effort": "reasoning_effort",
}
_ELSEWHERE = {
    "system": "Write it under `system`.",
    "instructions": "Write it under `system`.",
    "tools": "Write them under `tools`.",
    "functions": "Write them under `tools`.",
    "model": "The route's target names the model.",
}
_CARRYING = frozenset(
    (
        *("messages", "input", "prompt", "stream", "stream_options", "n", "thread", "background"),
        *("tool_choice", "function_call", "mcp_servers", "container", "context_management"),
        *("response_format", "output_format", "previous_response_id", "conversation", "suffix"),
        *("text.format", "output_config.format", "thread.id", "extra_body", "extra_headers"),
    )
)
# Objects of which a part carries the request: only their other parts can be set.
_PARTED = {"text": "text.verbosity", "output_config": "output_config.task_budget"}


def parameter_problem(name: str) -> str:
    """Why a template may not set this parameter, and what to write instead; "" if it may."""
    top = name.partition(".")[0]
    if name in _OWN_NAMES:
        return f"Write {_OWN_NAMES[name]}: each backend gets it under its own name."
    if top in _ELSEWHERE:
        return f"It carries the request itself. {_ELSEWHERE[top]}"
    if top in _CARRYING or name in _CARRYING:
        return "It carries the request itself, and only the client may say it. Leave it out."
    if name in _PARTED:
        return (
            f"A part of it carries the request. Set the other parts by their names, such as {_PARTED[name]}."
        )
    return ""


# --- headers -------------------------------------------------------------------------------------------------------

_TOKEN = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,100}")
_CREDENTIAL = "Credentials belong to accounts, where they are stored sealed: accounts add."
_CONNECTION = "It belongs to the connection, which is Patchbay's to make."
_IDENTITY = "It says which product is asking or paying, and only the client that asks may say that."
_PER_REQUEST = "It must differ from request to request, and a template's never does."
_ORIGIN = "It says where a request comes from."
_REFUSED: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"anthropic-beta"), "Write its values under `beta`."),
    (re.compile(r"(proxy-)?authorization|cookie2?|set-cookie2?|(proxy|www)-authenticate"), _CREDENTIAL),
    (re.compile(r"connection|keep-alive|te|trailer|transfer-encoding|upgrade|proxy-.*|host"), _CONNECTION),
    (re.compile(r"expect|range|if-.*|accept-encoding|accept|http2-settings|date|max-forwards"), _CONNECTION),
    (re.compile(r"content-.*"), "It describes the body, which Patchbay writes."),
    (re.compile(r"user-agent|x-app|originator|version|x-stainless-.*|x-client-.*|.*-client"), _IDENTITY),
    (re.compile(r"anthropic-.*|x-anthropic-.*|x-claude-.*|x-codex-.*|x-openai-.*|chatgpt-.*"), _IDENTITY),
    (re.compile(r"forwarded|x-forwarded-.*|x-real-ip|via|origin|true-client-ip|cf-.*"), _ORIGIN),
    (
        re.compile(r"idempotency-key|.*-?request-id|thread-id|conversation-id|session-id|traceparent"),
        _PER_REQUEST,
    ),
    (re.compile(r"x-patchbay-.*"), "These are Patchbay's own."),
    (re.compile(r".*(api-?key|token|secret|password|credential|signature|session).*"), _CREDENTIAL),
    (re.compile(r".*(^|[-_])(auth|key|jwt|account-id|assertion)([-_]|$).*"), _CREDENTIAL),
)


def header_problem(name: str) -> str:
    """Why a template may not add this header (lower case), and what to do instead; "" if it may."""
    if not _TOKEN.fullmatch(name):
        return "This is no header name. Write letters, digits and hyphens."
    for pattern, why in _REFUSED:
        if pattern.fullmatch(name):
            return why
    return ""


def beta_problem(beta: str) -> str:
    """Why a template may not add this value of `anthropic-beta`; "" if it may."""
    if beta.startswith("oauth-"):
        return "It belongs to a login, and Patchbay sends it with the tokens that need it. Leave it out."
    if beta.startswith("claude-code-"):
        return f"{_IDENTITY} Leave it out."
    return ""
