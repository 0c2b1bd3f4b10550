"""A client's Messages request, read into a Conversation."""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec
from msgspec import Raw
from msgspec.json import Decoder

from backends.wire.anthropic import shapes
from backends.wire.anthropic.blocks_in import ORIGIN, Extras, cache_of, read_block, read_blocks
from backends.wire.anthropic.shapes import decode
from backends.wire.conversation import (
    Block,
    Conversation,
    HostedTool,
    OutputFormat,
    Reasoning,
    Sampling,
    Text,
    Tool,
    ToolChoice,
    ToolResult,
    Turn,
)
from backends.wire.splice import BadBody

_REQUEST = Decoder(shapes.Request)
_FIELDS = Decoder(dict[str, Raw])
_TYPED, _TOOL, _ANY = Decoder(shapes.Typed), Decoder(shapes.ToolDefinition), Decoder(dict[str, Any])
_KNOWN = frozenset(shapes.Request.__struct_fields__)
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")
_MOST_EXTRAS = 64
_BILLING = "x-anthropic-billing-header:"
_ROLES: dict[str, Literal["system", "user", "assistant"]] = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
}
_TIERS = {"standard_only": "default"}
_OLD_SESSION = re.compile(r"user_(?P<user>.+?)_account_.*_session_(?P<session>.+)")
_TOOL_EXTRAS = ("defer_loading", "allowed_callers", "input_examples")


def parse_request(body: bytes) -> Conversation:
    """The conversation of a request under either version of the API. Raises BadBody naming the field."""
    request = decode(_REQUEST, body)
    extras = _unknown_fields(body)
    turns = [_turn(message, f"messages[{index}]", extras) for index, message in enumerate(request.messages)]
    talk = Conversation(request.model, turns, extras=extras)
    talk.system = _system(request.system, extras)
    talk.tools = [_tool(raw, f"tools[{index}]", extras) for index, raw in enumerate(request.tools or ())]
    talk.tool_choice, talk.parallel_tools = _choice(request.tool_choice)
    talk.max_tokens, talk.stop = request.max_tokens, list(request.stop_sequences or ())
    talk.sampling = Sampling(request.temperature, request.top_p, request.top_k)
    talk.reasoning = _reasoning(request, extras)
    talk.output = _output(request)
    talk.stream = bool(request.stream)
    talk.user, talk.session = _user(request.metadata)
    if request.service_tier:
        talk.service_tier = _TIERS.get(request.service_tier, request.service_tier)
    return talk


def _unknown_fields(body: bytes) -> Extras:
    """Top-level fields that have no neutral meaning, with plain names only: they are shown in a header."""
    extras: Extras = {}
    for name, raw in decode(_FIELDS, body).items():
        if name in _KNOWN or len(extras) >= _MOST_EXTRAS or not _PLAIN_NAME.fullmatch(name):
            continue
        if bytes(raw) != b"null":
            extras[f"$.{name}"] = _value(raw, name)
    return extras


def _value(raw: Raw, path: str) -> object:
    return decode(Decoder(), raw, path)


def _turn(message: shapes.Message, path: str, extras: Extras) -> Turn:
    role = _ROLES.get(message.role)
    if role is None:
        field = f"{path}.role"
        raise BadBody(f"The field `{field}` must be user, assistant or system. Correct it.", field)
    if isinstance(message.content, str):
        return Turn(role, [Text(message.content)])
    blocks = read_blocks(message.content, f"{path}.content", extras)
    if role == "user" and any(isinstance(block, ToolResult) for block in blocks):
        blocks.sort(key=_is_no_result)
    return Turn(role, blocks)


def _is_no_result(block: Block) -> bool:
    return not isinstance(block, ToolResult)


def _system(system: str | list[Raw] | None, extras: Extras) -> list[Text]:
    """The system texts. Claude Code's attribution entry is for its own endpoint only, so it is set aside."""
    if isinstance(system, str):
        return [Text(system)]
    texts: list[Text] = []
    for index, raw in enumerate(system or ()):
        path = f"system[{index}]"
        block = read_block(raw, path, extras)
        if not isinstance(block, Text):
            raise BadBody(f"The field `{path}` must be a text block. Correct it.", path)
        if block.text.startswith(_BILLING):
            extras[f"$.{path}"] = block.text
        else:
            texts.append(block)
    return texts


def _tool(raw: Raw, path: str, extras: Extras) -> Tool | HostedTool:
    kind = decode(_OPTIONAL_TYPE, raw, path).type
    if kind not in (None, "", "custom"):
        fields = decode(_ANY, raw, path)
        name = fields.get("name")
        return HostedTool(ORIGIN, name if isinstance(name, str) and name else str(kind), fields)
    tool = decode(_TOOL, raw, path)
    if tool.input_schema is None:
        field = f"{path}.input_schema"
        raise BadBody(f"The field `{field}` is missing. Add it.", field)
    unknown = decode(_FIELDS, raw, path)
    for name in _TOOL_EXTRAS:
        if name in unknown and bytes(unknown[name]) not in (b"null", b"false"):
            extras[f"$.{path}.{name}"] = _value(unknown[name], f"{path}.{name}")
    return Tool(
        tool.name, tool.description, tool.input_schema, tool.strict, cache=cache_of(tool.cache_control)
    )


class _OptionalType(msgspec.Struct, gc=False):
    type: str | None = None


_OPTIONAL_TYPE = Decoder(_OptionalType)


def _choice(choice: shapes.Choice | None) -> tuple[ToolChoice | None, bool | None]:
    """The tool choice, and whether several calls at once are allowed (None: not said)."""
    if choice is None:
        return None, None
    parallel = None if choice.disable_parallel_tool_use is None else not choice.disable_parallel_tool_use
    if choice.type == "tool":
        if not choice.name:
            raise BadBody(
                "The field `tool_choice.name` is missing. Name the tool to use.", "tool_choice.name"
            )
        return ToolChoice("one", (choice.name,)), parallel
    if choice.type == "auto":
        return ToolChoice("auto"), parallel
    if choice.type == "any":
        return ToolChoice("any"), parallel
    if choice.type == "none":
        return ToolChoice("none"), parallel
    raise BadBody(
        "The field `tool_choice.type` must be auto, any, tool or none. Correct it.", "tool_choice.type"
    )


def _reasoning(request: shapes.Request, extras: Extras) -> Reasoning:
    config, wanted = request.thinking, Reasoning()
    if request.output_config:
        wanted.effort = request.output_config.effort
    if config is None:
        return wanted
    if config.type == "disabled":
        wanted.mode = "off"
    elif config.type == "enabled":
        wanted.mode, wanted.budget = "on", config.budget_tokens
    else:
        wanted.mode = "adaptive"
        if config.type != "adaptive":
            extras["$.thinking.type"] = config.type
    wanted.summary = {"summarized": "auto"}.get(config.display or "", config.display)
    return wanted


def _output(request: shapes.Request) -> OutputFormat | None:
    """Structured output. This protocol always holds the model to the schema, hence `strict`."""
    wanted = (request.output_config and request.output_config.format) or request.output_format
    if wanted is None or wanted.type != "json_schema":
        return None
    if wanted.schema is None:
        field = "output_config.format.schema"
        raise BadBody(f"The field `{field}` is missing. Add the JSON Schema of the answer.", field)
    return OutputFormat("schema", wanted.schema, strict=True)


class _Identity(msgspec.Struct, gc=False):
    session_id: str | None = None
    user_id: str | None = None
    account_uuid: str | None = None
    device_id: str | None = None


_IDENTITY = Decoder(_Identity)


def _user(metadata: shapes.Metadata | None) -> tuple[str | None, str | None]:
    """End user and session. Claude Code packs both into `user_id`: as JSON, formerly joined by underscores."""
    given = metadata.user_id if metadata else None
    if not given:
        return None, None
    if old := _OLD_SESSION.fullmatch(given):
        return old["user"], old["session"]
    try:
        packed = _IDENTITY.decode(given)
    except (ValueError, RecursionError):
        return given, None
    user = packed.user_id or packed.account_uuid or packed.device_id
    return (user or (None if packed.session_id else given)), packed.session_id or None
