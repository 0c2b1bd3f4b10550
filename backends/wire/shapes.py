"""The well-known fields of each kind of request, and what is said about a body that gets one wrong.

Rule: only types are checked, and only of fields named here. Whether a value makes sense is the upstream's
matter, and an unknown field is never a fault: clients are ahead of any list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from backends.wire.kinds import Kind

NOTHING = Raw(b"null")
_OPENING = 65_536
_MAX_INT = 2**63 - 1
Count = Annotated[int, Meta(ge=0, le=_MAX_INT)] | None
Positive = Annotated[int, Meta(ge=1, le=_MAX_INT)] | None
Stop = str | list[str] | None


class BadBody(ValueError):
    """A request body that is refused with 400. `field` is the field at fault, None if it is the body."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class Head(Struct, gc=False):
    """What every kind has. Containers that need no look inside stay Raw: parsed, but nothing is built."""

    model: str | UnsetType = UNSET
    stream: bool | None = None


class Message(Struct, gc=False):
    """One turn: only its role is looked at, and the content of the first one by a user."""

    role: str
    content: Raw = NOTHING


class Item(Struct, gc=False):
    """One entry of a responses input. Only messages have a role; their `type` may be left out."""

    role: str | None = None
    content: Raw = NOTHING


class Sampled(Head, gc=False):
    """What every kind that generates text has."""

    temperature: float | None = None
    top_p: float | None = None
    tools: Raw = NOTHING
    tool_choice: Raw = NOTHING
    metadata: Raw = NOTHING
    prompt_cache_key: Raw = NOTHING


class CountTokens(Head, kw_only=True, gc=False):
    """POST /v1/messages/count_tokens."""

    messages: list[Message]
    system: Raw = NOTHING
    tools: Raw = NOTHING
    tool_choice: Raw = NOTHING
    thinking: Raw = NOTHING
    metadata: Raw = NOTHING


class Messages(Sampled, kw_only=True, gc=False):
    """POST /v1/messages. `max_tokens` 0 only warms the prompt cache."""

    messages: list[Message]
    max_tokens: Count = None
    top_k: Count = None
    stop_sequences: list[str] | None = None
    system: Raw = NOTHING
    thinking: Raw = NOTHING
    output_config: Raw = NOTHING
    output_format: Raw = NOTHING


class Chat(Sampled, kw_only=True, gc=False):
    """POST /v1/chat/completions."""

    messages: list[Message]
    max_tokens: Positive = None
    max_completion_tokens: Positive = None
    n: Positive = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    stop: Stop = None
    stream_options: Raw = NOTHING
    response_format: Raw = NOTHING
    reasoning_effort: Raw = NOTHING
    reasoning: Raw = NOTHING
    functions: Raw = NOTHING


class Responses(Sampled, kw_only=True, gc=False):
    """POST /v1/responses. `input` may be absent only where something stored stands in for it."""

    input: str | list[Item] | None = None
    max_output_tokens: Positive = None
    instructions: str | None = None
    previous_response_id: str | None = None
    prompt: Raw = NOTHING
    conversation: Raw = NOTHING
    reasoning: Raw = NOTHING
    text: Raw = NOTHING
    store: bool | None = None


class Embeddings(Head, kw_only=True, gc=False):
    """POST /v1/embeddings."""

    input: Raw = NOTHING
    dimensions: Positive = None
    encoding_format: str | None = None


class Completions(Head, kw_only=True, gc=False):
    """POST /v1/completions. `max_tokens` 0 with `echo` asks for the prompt's own log probabilities."""

    prompt: Raw = NOTHING
    max_tokens: Count = None
    n: Positive = None
    temperature: float | None = None
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    stop: Stop = None
    stream_options: Raw = NOTHING


class Clues(Struct, frozen=True, gc=False):
    """What tells one conversation from another (session.py reads it), and what a request asks for (features.py).
    Slices of the body; nothing is decoded.

    `opening`: the content of the first message by a user; of a plain `input` at most 65,536 characters, since they
    are a copy that lives as long as the request. `follows`: the response before, where the turns before this one are
    stored upstream, so that message is not the conversation's first. `format` and `reasoning`: where the kind says
    how the answer is to be shaped, and how much thought goes into it.
    """

    opening: Raw | str | None = None
    metadata: Raw = NOTHING
    cache_key: Raw = NOTHING
    conversation: Raw = NOTHING
    follows: str | None = None
    tools: Raw = NOTHING
    format: Raw = NOTHING
    reasoning: Raw = NOTHING


NO_CLUES = Clues()


def clues_of(head: Head) -> Clues:
    """What is there of it in this body. By position: names would cost more than the rest of the call."""
    if isinstance(head, Chat):
        return Clues(
            _opening(head.messages),
            head.metadata,
            head.prompt_cache_key,
            NOTHING,
            None,
            head.tools if head.functions is NOTHING else head.functions,
            head.response_format,
            head.reasoning_effort if head.reasoning is NOTHING else head.reasoning,
        )
    if isinstance(head, Messages):
        shape = head.output_config if head.output_format is NOTHING else head.output_format
        return Clues(
            _opening(head.messages),
            head.metadata,
            head.prompt_cache_key,
            NOTHING,
            None,
            head.tools,
            shape,
            head.thinking,
        )
    if isinstance(head, Responses):
        return Clues(
            head.input[:_OPENING] if isinstance(head.input, str) else _opening(head.input or ()),
            head.metadata,
            head.prompt_cache_key,
            head.conversation,
            head.previous_response_id,
            head.tools,
            head.text,
            head.reasoning,
        )
    if isinstance(head, CountTokens):
        return Clues(_opening(head.messages), head.metadata, tools=head.tools, reasoning=head.thinking)
    return NO_CLUES


def _opening(turns: Iterable[Message | Item]) -> Raw | None:
    for turn in turns:
        if turn.role == "user":
            return turn.content
    return None


# Raw fields: the first bytes that a value of an allowed type may begin with (`n` is null), and those types in
# words.
_LIST, _OBJECT = (b"[n", "a list"), (b"{n", "an object")
_CONTAINERS = {
    "system": (b'"[n', "a string or a list"),
    "input": (b'"[n', "a string or a list"),
    "prompt": (b'"[n', "a string or a list"),
    "conversation": (b'"{n', "a string or an object"),
    "tool_choice": (b'"{n', "a string or an object"),
    "tools": _LIST,
    "metadata": _OBJECT,
    "thinking": _OBJECT,
    "reasoning": _OBJECT,
    "text": _OBJECT,
    "stream_options": _OBJECT,
    "response_format": _OBJECT,
}
_SHAPES: dict[Kind, type[Head]] = {
    Kind.MESSAGES: Messages,
    Kind.COUNT_TOKENS: CountTokens,
    Kind.CHAT: Chat,
    Kind.RESPONSES: Responses,
    Kind.EMBEDDINGS: Embeddings,
    Kind.COMPLETIONS: Completions,
}
# Typed by its shape already; a vendor's extension, whose type is the vendor's matter.
_UNCHECKED = {Kind.RESPONSES: {"input"}, Kind.CHAT: {"reasoning"}}
_DECODERS = {kind: msgspec.json.Decoder(shape) for kind, shape in _SHAPES.items()}


def _containers_of(kind: Kind) -> list[tuple[str, bytes, str]]:
    """Name, first bytes and words of each Raw field. The stored `prompt` of responses is an object."""
    table = _CONTAINERS | ({"prompt": _OBJECT} if kind is Kind.RESPONSES else {})
    checked = table.keys() - _UNCHECKED.get(kind, set())
    return [(name, *table[name]) for name in _SHAPES[kind].__struct_fields__ if name in checked]


_CHECKS = {kind: _containers_of(kind) for kind in Kind}
_REQUIRED = {Kind.EMBEDDINGS: "input", Kind.COMPLETIONS: "prompt"}


def decode(kind: Kind, body: bytes, *, model_required: bool) -> Head:
    """The head of a body in valid UTF-8. Raises BadBody."""
    try:
        head = _DECODERS[kind].decode(body)
    except msgspec.ValidationError as exc:
        raise _wrong_type(str(exc)) from None
    except msgspec.DecodeError as exc:
        raise BadBody(f"The body is not valid JSON: {_fault(str(exc))}. Send one JSON object.") from None
    except RecursionError:
        raise BadBody("The JSON nests far too deep. Flatten it.") from None
    if head.model is UNSET and model_required:
        raise BadBody("The field `model` is missing. Name the model to use.", "model")
    for name, first_bytes, words in _CHECKS[kind]:
        raw = getattr(head, name)
        if raw is not NOTHING and memoryview(raw)[0] not in first_bytes:
            raise BadBody(f"The field `{name}` must be {words}. Correct it.", name)
    _check_required(kind, head)
    return head


def _check_required(kind: Kind, head: Head) -> None:
    required = _REQUIRED.get(kind)
    if isinstance(head, Responses):
        stands_in = head.previous_response_id or _given(head.prompt) or _given(head.conversation)
        required = None if stands_in else "input"
    if required and not _given(getattr(head, required)):
        raise BadBody(f"The field `{required}` is missing. Send a string or a list.", required)


def _given(value: Raw | str | list[Item] | None) -> bool:
    if isinstance(value, Raw):
        return value is not NOTHING and bytes(memoryview(value)[:5]) != b"null"
    return value is not None


_FAULT = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`")
_EXPECTED = re.compile(r"Expected `(.*?)`(?: (>=|<=) (\d+))?(?:, got `(.*)`)?")
_WORDS = {
    "array": "a list",
    "object": "an object",
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
}


def _wrong_type(text: str) -> BadBody:
    """A decoder's complaint (`Expected `int`, got `str` - at `$.n``) in words for a person."""
    fault = _FAULT.fullmatch(text)
    what, path = (fault["what"], fault["path"] or "") if fault else (text, "")
    if missing := _MISSING.fullmatch(what):
        field = f"{path}.{missing[1]}" if path else missing[1]
        return BadBody(f"The field `{field}` is missing. Add it.", field)
    if not path:
        return BadBody("The body is not a JSON object. Send an object with the request's fields.")
    if "out of range" in what:
        return BadBody(f"The number in the field `{path}` is out of range. Send a smaller one.", path)
    expected = _EXPECTED.match(what)
    if not expected:
        return BadBody(f"The field `{path}` has a wrong value. Correct it.", path)
    words = " or ".join(_WORDS.get(name, name) for name in expected[1].split(" | "))
    bound = {">=": "at least", "<=": "at most"}.get(expected[2] or "")
    return BadBody(
        f"The field `{path}` must be {words}{f' of {bound} {expected[3]}' if bound else ''}. Correct it.",
        path,
    )


def _fault(text: str) -> str:
    """What a decoder says of malformed JSON, as the end of a sentence."""
    if "surrogate" in text or "hex escape" in text:
        return "a \\u escape is half of a surrogate pair"
    if "truncated" in text:
        return "it ends too early, or a \\u escape near its end is half of a surrogate pair"
    return text.removeprefix("JSON is malformed: ")
