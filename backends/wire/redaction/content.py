"""Which strings of a request, an answer or an event carry content, and which belong to the protocol.

Rule: what a person, a tool or a model wrote is content, wherever it stands in a message, also in kinds of block that
are not known here. Names, ids, types, media, addresses that the provider fetches, cache marks and everything signed or
encrypted are the protocol's and stay as they are; so does every top-level field that is not listed here.

Reasoning is special: it is bound to its signature, and the signature comes last in a stream. So answers keep the
placeholders in it, and requests are changed only in reasoning that nobody signed.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

from backends.wire.kinds import Kind
from backends.wire.redaction.strings import Node, Pairs, member

Path = tuple[str | int, ...]


class Level(IntEnum):
    """How a string is to be read: as the value that it is, as text for people, or as the text of a JSON value."""

    VALUE = 0
    TEXT = 1
    JSON = 2


class Slot(NamedTuple):
    """One string. `ordinal`: its number among all strings of the text; `key`: its own in a tool's input, else ""."""

    ordinal: int
    path: Path
    text: str
    level: Level
    key: str = ""


def request_slots(kind: Kind, body: Node) -> list[Slot]:
    """The strings of a request that leave the house as content, in order."""
    walk = _Walk(is_answer=False)
    ways = _TOP.get(kind, {})
    for key, value in body if isinstance(body, tuple) else ():
        walk.at += 1
        ways.get(key, _Walk.skip)(walk, value, (key,))
    return walk.slots


def answer_slots(body: Node) -> list[Slot]:
    """The strings of an answer, of an error or of an event's data that a model may have put a placeholder into."""
    walk = _Walk(is_answer=True)
    walk.block(body, ())
    return walk.slots


def value_slots(value: Node) -> list[Slot]:
    """Every string of a JSON value, with its key: what a tool's arguments hold."""
    walk = _Walk(is_answer=False)
    walk.value(value, ())
    return walk.slots


def wants_json(kind: Kind, body: Node) -> bool:
    """Whether a request asks for an answer whose text is JSON."""
    places = {
        Kind.MESSAGES: (("output_config", "format"), ("output_format",)),
        Kind.CHAT: (("response_format",),),
        Kind.RESPONSES: (("text", "format"),),
    }
    return any(_type_at(body, place) in ("json_object", "json_schema") for place in places.get(kind, ()))


def _type_at(node: Node, place: tuple[str, ...]) -> Node:
    for key in place:
        node = member(node, key)
    return member(node, "type")


class _Walk:
    """One way through a parsed text, in the order of its bytes. `at` counts the strings that were passed."""

    __slots__ = ("_is_answer", "at", "slots")

    def __init__(self, *, is_answer: bool) -> None:
        self.at = 0
        self.slots: list[Slot] = []
        self._is_answer = is_answer

    def skip(self, node: Node, path: Path = ()) -> None:
        """Count only."""
        if isinstance(node, str):
            self.at += 1
        elif isinstance(node, tuple):
            self.at += len(node)
            for _, value in node:
                if isinstance(value, str | tuple | list):
                    self.skip(value)
        elif isinstance(node, list):
            for value in node:
                self.skip(value)

    def value(self, node: Node, path: Path, key: str = "") -> None:
        """A tool's input and the like: every string, the keys too. Keys may be secret, so the path ends here."""
        if isinstance(node, str):
            self._take(node, path, Level.VALUE, key)
        elif isinstance(node, tuple):
            for name, value in node:
                self._take(name, path, Level.VALUE)
                self.value(value, path, name)
        elif isinstance(node, list):
            for value in node:
                self.value(value, path, key)

    def block(self, node: Node, path: Path) -> None:
        """Messages, items, blocks, and whatever stands in them."""
        if isinstance(node, str):
            self._take(node, path, Level.TEXT)
        elif isinstance(node, list):
            for place, value in enumerate(node):
                self.block(value, (*path, place))
        elif isinstance(node, tuple):
            self._object(node, path)

    def text_of_json(self, node: Node, path: Path) -> None:
        """Arguments: JSON in a string; a few backends write the value itself."""
        if isinstance(node, str):
            self._take(node, path, Level.JSON)
        else:
            self.value(node, path)

    def variables(self, node: Node, path: Path) -> None:
        """Of a stored prompt: the names are the user's, the values are texts or content parts."""
        for name, value in node if isinstance(node, tuple) else ():
            self.at += 1
            self.block(value, (*path, name))
        if not isinstance(node, tuple):
            self.skip(node)

    def definitions(self, node: Node, path: Path) -> None:
        """Tools and schemas: only what is said in them. Hosted tools keep their addresses and credentials."""
        if isinstance(node, tuple):
            for key, value in node:
                self.at += 1
                self._definition(key, value, (*path, key))
        elif isinstance(node, list):
            for place, value in enumerate(node):
                self.definitions(value, (*path, place))
        else:
            self.skip(node)

    def _definition(self, key: str, value: Node, path: Path) -> None:
        if key == "description" and isinstance(value, str):
            self._take(value, path, Level.TEXT)
        elif key in _SAID_IN_SCHEMAS:
            self.value(value, path)
        else:
            self.definitions(value, path)

    def _object(self, pairs: Pairs, path: Path) -> None:
        if self._is_sealed(pairs):
            self.skip(pairs)
            return
        for key, value in pairs:
            self.at += 1
            if key in _PROTOCOL or (key in _MEDIA and isinstance(value, str) and _is_media(pairs, key)):
                self.skip(value)
            else:
                _WAYS.get(key, _Walk.block)(self, value, (*path, key))

    def _is_sealed(self, pairs: Pairs) -> bool:
        """Reasoning that must stay as it is."""
        types = [value for key, value in pairs if key == "type"]
        if not types or not all(isinstance(name, str) and name.startswith(_REASONING) for name in types):
            return False
        return self._is_answer or any(value for key, value in pairs if key in _SEALS)

    def _take(self, text: str, path: Path, level: Level, key: str = "") -> None:
        self.slots.append(Slot(self.at, path, text, level, key))
        self.at += 1


def _is_media(pairs: Pairs, key: str) -> bool:
    """Whether an object's `data` or `result` is base64: not in Anthropic's text documents, nor in other results."""
    types = [value for name, value in pairs if name == "type"]
    return "image_generation_call" in types if key == "result" else "text" not in types


_REASONING = (
    "thinking",
    "redacted_thinking",
    "signature_delta",
    "reasoning",
    "response.reasoning",
    "summary_text",
)
_SEALS = frozenset({"signature", "encrypted_content", "data"})
_MEDIA = frozenset({"data", "result"})
_SAID_IN_SCHEMAS = frozenset({"enum", "const", "default", "examples", "input_examples"})
_PROTOCOL = frozenset(
    (
        *(
            "type",
            "role",
            "id",
            "name",
            "model",
            "status",
            "object",
            "phase",
            "index",
            "format",
            "detail",
            "mode",
        ),
        *("tool_use_id", "tool_call_id", "call_id", "item_id", "approval_request_id", "previous_response_id"),
        *(
            "file_id",
            "container_id",
            "container",
            "vector_store_id",
            "prompt_cache_key",
            "safety_identifier",
            "user",
        ),
        *("server_label", "server_name", "namespace", "toolset_name", "tool_name", "caller", "service_tier"),
        *("signature", "thought_signature", "encrypted_content", "encrypted_index", "encrypted_stdout"),
        *(
            "cache_control",
            "prompt_cache_breakpoint",
            "media_type",
            "stop_reason",
            "finish_reason",
            "logprobs",
        ),
        *("file_data", "file_url", "image_url", "url", "b64_json", "partial_image_b64", "obfuscation"),
    )
)
_WAYS: dict[str, Callable[[_Walk, Node, Path], None]] = {
    "input": _Walk.value,
    "arguments": _Walk.text_of_json,
    "partial_json": _Walk.text_of_json,
    "env": _Walk.value,
    "attributes": _Walk.value,
    "metadata": _Walk.value,
    "variables": _Walk.variables,
    "tools": _Walk.definitions,
}
_TOP: dict[Kind, dict[str, Callable[[_Walk, Node, Path], None]]] = {
    Kind.MESSAGES: {
        "system": _Walk.block,
        "messages": _Walk.block,
        "stop_sequences": _Walk.block,
        "tools": _Walk.definitions,
        "output_config": _Walk.definitions,
        "output_format": _Walk.definitions,
    },
    Kind.CHAT: {
        "messages": _Walk.block,
        "documents": _Walk.block,  # vLLM's and Cohere's, for retrieval
        "prediction": _Walk.block,
        "stop": _Walk.block,
        "metadata": _Walk.value,
        "tools": _Walk.definitions,
        "functions": _Walk.definitions,
        "response_format": _Walk.definitions,
    },
    Kind.RESPONSES: {
        "input": _Walk.block,
        "instructions": _Walk.block,
        "prompt": _Walk.block,
        "metadata": _Walk.value,
        "tools": _Walk.definitions,
        "text": _Walk.definitions,
    },
    Kind.COMPLETIONS: {"prompt": _Walk.block, "suffix": _Walk.block, "stop": _Walk.block},
    Kind.EMBEDDINGS: {"input": _Walk.block},
}
_TOP[Kind.COUNT_TOKENS] = _TOP[Kind.MESSAGES]
