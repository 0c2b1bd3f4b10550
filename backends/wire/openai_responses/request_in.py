"""A client's request → the neutral form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backends.wire.conversation import (
    CannotCarry,
    Conversation,
    Json,
    OutputFormat,
    Reasoning,
    Sampling,
    Text,
)
from backends.wire.openai_responses.fields import (
    load_body,
    need_name,
    opt_count,
    opt_flag,
    opt_list,
    opt_number,
    opt_object,
    opt_text,
    wrong,
)
from backends.wire.openai_responses.history import ORIGINAL, resolve
from backends.wire.openai_responses.items_in import ItemsReader
from backends.wire.openai_responses.tools_in import read_choice, read_tools

# Fields that change the answer and have no neutral meaning: a builder finds them in `extras` and calls them lost.
_OTHERS = ("top_logprobs", "max_tool_calls", "context_management", "moderation")
# What can only be done where the provider keeps the state.
_KEPT_ELSEWHERE = {
    "background": "Answers in the background are not kept here. Send the request without `background`.",
    "conversation": "Stored conversations are not kept here. Send the history in `input`, or `previous_response_id`.",
    "prompt": "Stored prompts are not kept here. Send the prompt's text in `instructions` or `input`.",
}


def parse_request(body: bytes, stored: Mapping[str, Json] | None = None) -> Conversation:
    """The request in `body`; `stored` holds earlier items by id, for `item_reference`.

    `previous_response_id` is kept: `history.with_history` puts the earlier turns in front. The request object stands
    in `extras["$"]`, since an answer repeats much of it; all other extras are paths of fields that nobody carries.
    Raises BadBody for wrong types and CannotCarry for what needs the provider's own storage.
    """
    ask = load_body(body)
    for name, advice in _KEPT_ELSEWHERE.items():
        if ask.get(name):
            raise CannotCarry(name, advice)
    reader = ItemsReader()
    given = ask.get("input")
    reader.read(resolve(given, stored) if stored and isinstance(given, list) else given)
    instructions = opt_text(ask, "instructions")
    tools = [(tool, f"tools[{index}]") for index, tool in enumerate(opt_list(ask, "tools"))]
    talk = Conversation(
        model=need_name(ask, "model"),
        turns=reader.turns(),
        system=[Text(instructions), *reader.system] if instructions else reader.system,
        tools=read_tools(tools + reader.tools),
        tool_choice=read_choice(ask.get("tool_choice")),
        extras={ORIGINAL: ask} | {f"$.{name}": ask[name] for name in _OTHERS if ask.get(name)},
    )
    _read_settings(talk, ask)
    return talk


def _read_settings(talk: Conversation, ask: Json) -> None:
    talk.parallel_tools = opt_flag(ask, "parallel_tool_calls")
    talk.max_tokens = opt_count(ask, "max_output_tokens")
    talk.sampling = Sampling(opt_number(ask, "temperature"), opt_number(ask, "top_p"))
    talk.reasoning = _read_reasoning(opt_object(ask, "reasoning"))
    talk.stream = bool(opt_flag(ask, "stream"))
    talk.include_usage = True  # the last event always tells it
    talk.user = opt_text(ask, "safety_identifier") or opt_text(ask, "user")
    talk.session = opt_text(ask, "prompt_cache_key")
    talk.previous_response_id = opt_text(ask, "previous_response_id")
    talk.store = opt_flag(ask, "store")
    talk.service_tier = opt_text(ask, "service_tier")
    text = opt_object(ask, "text")
    talk.verbosity = opt_text(text, "verbosity", "text")
    talk.output = _read_format(text.get("format"))
    for name in ("metadata", "stream_options"):
        opt_object(ask, name)
    opt_list(ask, "include")


def _read_reasoning(given: Json) -> Reasoning:
    effort = opt_text(given, "effort", "reasoning")
    summary = opt_text(given, "summary", "reasoning") or opt_text(given, "generate_summary", "reasoning")
    return Reasoning(mode="off" if effort == "none" else None, effort=effort, summary=summary)


def _read_format(value: Any) -> OutputFormat | None:
    path = "text.format"
    form = opt_object({"format": value}, "format", "text")
    kind = opt_text(form, "type", path)
    if kind in (None, "text"):
        return None
    if kind == "json_object":
        return OutputFormat("json")
    if kind != "json_schema":
        raise wrong(f"{path}.type", "text, json_object or json_schema")
    nested = form.get("json_schema")  # as chat completions write it
    form = nested if isinstance(nested, dict) else form
    return OutputFormat(
        "schema",
        opt_object(form, "schema", path),
        opt_text(form, "name", path),
        opt_text(form, "description", path),
        opt_flag(form, "strict", path),
    )
