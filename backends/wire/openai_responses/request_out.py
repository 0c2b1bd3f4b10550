"""The neutral form → a request to a backend that speaks Responses.

Rule: what the client did not send is not sent, except where this protocol's default differs from what the client's
protocol means by silence: `store` (kept there unless told otherwise) and `strict` of a tool.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from backends.wire.conversation import (
    CannotCarry,
    Conversation,
    HostedTool,
    Json,
    Lost,
    Reasoning,
    Thinking,
    Tool,
    ToolChoice,
)
from backends.wire.openai_chat.schema import is_strict
from backends.wire.openai_responses.history import ORIGINAL
from backends.wire.openai_responses.items_out import ItemsWriter
from backends.wire.target import CUSTOM_SCHEMA, Built, Names, Target, short_hash

_LEAST_TOKENS = 16  # the provider of this protocol refuses a smaller max_output_tokens
_LONGEST_ID = 64
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_BUDGETS = ((4096, "high"), (2048, "medium"), (0, "low"))  # at least so many tokens
_SUMMARIES = frozenset(("auto", "concise", "detailed"))
_TIERS = frozenset(("auto", "default", "flex", "priority", "scale", "fast"))
_ATTRIBUTION = (
    "x-anthropic-billing-header:"  # a client's bookkeeping, no instruction; it changes with each request
)


def build_request(talk: Conversation, target: Target, lost: Lost) -> Built:
    """The body for the backend. Raises CannotCarry; what is dropped is noted on `lost`."""
    names = Names()
    body: dict[str, Any] = {"model": target.model}
    _put(body, "instructions", _instructions(talk, lost))
    tools = _tools(talk, target, names, lost)
    writer = ItemsWriter(target, names, lost)
    writer.write(talk)
    body["input"] = writer.items
    if tools:
        body["tools"] = tools
        _put(body, "tool_choice", _choice(talk.tool_choice, talk, target, names))
        _put_parallel(body, talk, target, lost)
    _put_limits(body, talk, target, lost)
    _put_text(body, talk, target, lost)
    _put_reasoning(body, talk.reasoning, target, lost)
    _put_sampling(body, talk, target, lost)
    _put_identity(body, talk, target, lost)
    _put_state(body, talk)
    _check_extras(talk, lost)
    return Built(msgspec.json.encode(body), names)


def _put(body: dict[str, Any], name: str, value: Any) -> None:
    if value is not None:
        body[name] = value


def _check_extras(talk: Conversation, lost: Lost) -> None:
    """Fields that only other protocols have. Raises CannotCarry where the answer would be another without."""
    for path, value in talk.extras.items():
        if path == "$.n" and isinstance(value, int) and value > 1:
            raise CannotCarry(
                "n", "This backend gives one answer to a request. Set `n` to 1 or send several requests."
            )
        if path == "$.modalities" and isinstance(value, list) and "audio" in value:
            raise CannotCarry(
                "modalities", "This backend answers in text only. Remove `audio` from `modalities`."
            )
        if path != ORIGINAL:
            lost.add(path)


def _put_parallel(body: dict[str, Any], talk: Conversation, target: Target, lost: Lost) -> None:
    if target.takes_parallel:
        _put(body, "parallel_tool_calls", talk.parallel_tools)
    elif talk.parallel_tools is False:
        lost.add("$.parallel_tool_calls")


def _instructions(talk: Conversation, lost: Lost) -> str | None:
    texts = []
    for index, text in enumerate(talk.system):
        if text.text.startswith(_ATTRIBUTION):
            lost.add(f"$.system[{index}]")
        elif text.text:
            texts.append(text.text)
    return "\n\n".join(texts) or None


def _tools(talk: Conversation, target: Target, names: Names, lost: Lost) -> list[Json]:
    tools: list[Json] = []
    for index, tool in enumerate(talk.tools):
        if isinstance(tool, Tool):
            tools.append(_tool(tool, f"$.tools[{index}]", target, names, lost))
        elif tool.origin == "responses":
            tools.append(tool.raw)
        else:
            raise CannotCarry(
                f"tools[{index}]",
                f"The tool `{tool.name}` is run by its own provider, which this backend is not. "
                "Remove it from `tools`, or use a model of that provider.",
            )
    return tools


def _tool(tool: Tool, path: str, target: Target, names: Names, lost: Lost) -> Json:
    name = names.upstream(tool.name, tool.namespace, limit=target.name_limit, is_custom=tool.is_custom)
    made: dict[str, Any] = {"type": "function", "name": name}
    _put(made, "description", tool.description)
    if not tool.is_custom:
        made["parameters"] = _schema(tool.schema)
        made["strict"] = _strict(tool.strict, tool.schema, f"{path}.strict", target, lost)
    elif target.quirks.custom_tools:
        made["type"] = "custom"
        if tool.grammar:
            made["format"] = {**tool.grammar, "type": "grammar"}
    else:
        made |= {"parameters": CUSTOM_SCHEMA, "strict": False}
        if tool.grammar:
            lost.add(f"{path}.format")
    return made


def _strict(asked: bool | None, schema: Json | None, path: str, target: Target, lost: Lost) -> bool:
    """Silence means no, unlike here; and what the server would refuse as too open a schema is not strict."""
    if asked and target.quirks.strict_schemas and not is_strict(schema or {}):
        lost.add(path)
        return False
    return bool(asked)


def _schema(schema: Json | None) -> Json:
    """An object's schema always names its properties: some servers refuse one that does not."""
    given = schema or {}
    return {"type": "object", "properties": {}, **given} if "properties" not in given else given


def _choice(choice: ToolChoice | None, talk: Conversation, target: Target, names: Names) -> Any:
    if choice is None:
        return None
    mode = "required" if choice.mode == "any" else choice.mode
    if mode == "none" or not choice.names:
        return "required" if mode == "one" else mode
    chosen = [_chosen(name, talk, target, names) for name in choice.names]
    if mode == "one":
        return chosen[0]
    return {"type": "allowed_tools", "mode": mode, "tools": chosen}


def _chosen(name: str, talk: Conversation, target: Target, names: Names) -> Json:
    for tool in talk.tools:
        if isinstance(tool, HostedTool) or tool.name != name:
            continue
        kind = "custom" if tool.is_custom and target.quirks.custom_tools else "function"
        return {"type": kind, "name": names.upstream(name, tool.namespace, limit=target.name_limit)}
    raise CannotCarry("tool_choice", f"The tool `{name}` is not among `tools`. Add it, or choose another.")


def _put_limits(body: dict[str, Any], talk: Conversation, target: Target, lost: Lost) -> None:
    if talk.max_tokens is not None:
        body["max_output_tokens"] = max(talk.max_tokens, _LEAST_TOKENS)
        if talk.max_tokens < _LEAST_TOKENS:
            lost.add("$.max_tokens")
    if talk.stop:
        lost.add("$.stop")
    if talk.stream:
        body["stream"] = True


def _put_sampling(body: dict[str, Any], talk: Conversation, target: Target, lost: Lost) -> None:
    """A thinking model refuses temperature and top_p; the other parameters do not exist here."""
    sampling = talk.sampling
    thinks = (
        target.is_reasoner
        and not target.quirks.sampled_thinking
        and body.get("reasoning", {}).get("effort") != "none"
    )
    for name in ("temperature", "top_p"):
        value = getattr(sampling, name)
        if value is not None and thinks:
            lost.add(f"$.{name}")
        else:
            _put(body, name, value)
    for name in ("top_k", "seed", "frequency_penalty", "presence_penalty"):
        if getattr(sampling, name) is not None:
            lost.add(f"$.{name}")


def _put_text(body: dict[str, Any], talk: Conversation, target: Target, lost: Lost) -> None:
    text: dict[str, Any] = {}
    if talk.output is not None and talk.output.kind == "json":
        text["format"] = {"type": "json_object"}
    elif talk.output is not None:
        form: dict[str, Any] = {"type": "json_schema", "name": talk.output.name or "output"}
        form["schema"] = talk.output.schema or {}
        _put(form, "description", talk.output.description)
        if talk.output.strict is not None:
            path = "$.response_format.json_schema.strict"
            form["strict"] = _strict(talk.output.strict, talk.output.schema, path, target, lost)
        text["format"] = form
    if talk.verbosity and target.quirks.verbosity:
        text["verbosity"] = talk.verbosity
    elif talk.verbosity:
        lost.add("$.verbosity")
    if text:
        body["text"] = text


def _put_reasoning(body: dict[str, Any], asked: Reasoning, target: Target, lost: Lost) -> None:
    """Effort and summary. What a model thinks by itself needs no word, and a model that does not takes none."""
    made: dict[str, Any] = {}
    wanted = _effort(asked)
    effort = _nearest(wanted, target.efforts) if wanted else None
    if wanted and effort is None and wanted != "none":
        lost.add("$.reasoning")
    _put(made, "effort", effort)
    if asked.summary in _SUMMARIES:
        made["summary"] = asked.summary
    elif asked.summary != "omitted" and asked.mode in ("on", "adaptive"):
        made["summary"] = "auto"
    if made and target.efforts:
        body["reasoning"] = made


def _effort(asked: Reasoning) -> str | None:
    if asked.mode == "off":
        return "none"
    if asked.effort is not None or asked.budget is None:
        return asked.effort
    return next((word for least, word in _BUDGETS if asked.budget >= least), None)


def _nearest(wanted: str, taken: tuple[str, ...]) -> str | None:
    """The word itself, else the next weaker one that the model takes, else the next stronger; no thinking is apart."""
    if wanted in taken or wanted not in _EFFORTS:
        return wanted if wanted in taken else None
    ranks = [_EFFORTS.index(word) for word in taken if word != "none"]
    if wanted == "none" or not ranks:
        return None
    rank = _EFFORTS.index(wanted)
    return _EFFORTS[max((at for at in ranks if at < rank), default=min(ranks))]


def _put_identity(body: dict[str, Any], talk: Conversation, target: Target, lost: Lost) -> None:
    quirks = target.quirks
    if talk.user and quirks.user_field:
        body[quirks.user_field] = talk.user if len(talk.user) <= _LONGEST_ID else short_hash(talk.user)
    if talk.session and quirks.cache_key:
        body["prompt_cache_key"] = (
            talk.session if len(talk.session) <= _LONGEST_ID else short_hash(talk.session)
        )
    if talk.service_tier in _TIERS:
        body["service_tier"] = talk.service_tier
    elif talk.service_tier:
        lost.add("$.service_tier")


def _put_state(body: dict[str, Any], talk: Conversation) -> None:
    """Who keeps what: by default nothing stays with the provider, so reasoning has to travel with the answer."""
    body["store"] = bool(talk.store)
    _put(body, "previous_response_id", talk.previous_response_id)
    original = talk.extras.get(ORIGINAL)
    include = original.get("include") if isinstance(original, Mapping) else None
    if include is None and ("reasoning" in body or _has_own_reasoning(talk)):
        include = ["reasoning.encrypted_content"]
    _put(body, "include", include)


def _has_own_reasoning(talk: Conversation) -> bool:
    return any(
        isinstance(block, Thinking) and block.origin == "responses" and block.encrypted
        for turn in talk.turns
        for block in turn.blocks
    )
