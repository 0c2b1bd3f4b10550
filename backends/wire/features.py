"""What a request asks of a model besides text: tools, images, documents, a schema for the answer, reasoning.

Rules: tools, schema and reasoning are told by the slices that `peek` kept; images and documents need a look at the
messages, which is made only when somebody asks. Nothing here raises: what is malformed asks for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
from msgspec import Raw, Struct

from backends.wire.kinds import Kind
from backends.wire.shapes import NOTHING, Clues

BYTES_PER_TOKEN = 4
TOKENS_PER_MEDIA = 1600  # an image of the largest size that is not scaled down
_END = 256
_MAX_DEPTH = 4  # messages, parts, the parts of a tool's result, a document's parts


@dataclass(frozen=True, slots=True)
class Media:
    """Images and documents of a request. `size`: bytes of the body that are theirs, and no text for the model."""

    images: int = 0
    documents: int = 0
    size: int = 0


# --- told by the head -----------------------------------------------------------------------------------------


def asks_for_tools(clues: Clues) -> bool:
    """Whether any tool is offered."""
    head = bytes(memoryview(clues.tools)[:64])
    return head[:1] == b"[" and not head[1:].lstrip().startswith(b"]")


def asks_for_schema(kind: Kind, clues: Clues) -> bool:
    """Whether the answer must follow a JSON schema."""
    shape = _object(clues.format)
    if shape is None:
        return False
    if kind is Kind.RESPONSES or shape.format is not NOTHING:
        shape = _object(shape.format)
    return shape is not None and shape.type == "json_schema"


def asks_for_reasoning(clues: Clues) -> bool:
    """Whether the model is told to think: not when thinking is switched off, or the effort is `none`."""
    raw = bytes(memoryview(clues.reasoning)[:16])
    if raw.startswith(b'"'):
        return not raw.startswith(b'"none"')
    shape = _object(clues.reasoning)
    return shape is not None and shape.type != "disabled" and shape.effort != "none" and shape.enabled is True


class _Object(Struct):
    """The fields that the three questions above look at, of whatever object they are in."""

    type: str | None = None
    effort: str | None = None
    enabled: bool = True
    format: Raw = NOTHING


_OBJECT = msgspec.json.Decoder(_Object)


def _object(raw: Raw) -> _Object | None:
    if memoryview(raw)[0] != 0x7B:
        return None
    try:
        return _OBJECT.decode(raw)
    except msgspec.DecodeError:
        return None


# --- told by the messages -------------------------------------------------------------------------------------

_IMAGES = frozenset(("image", "image_url", "input_image"))
_DOCUMENTS = frozenset(("document", "file", "input_file"))
_SPELLED = tuple(f'"{word}"'.encode() for word in sorted(_IMAGES | _DOCUMENTS))


class _Body(Struct):
    messages: Raw = NOTHING
    input: Raw = NOTHING


class _Entry(Struct):
    """A message, an item, a block or a part. Lists that may hold more of them stand in these two fields."""

    type: str | None = None
    content: Raw = NOTHING
    output: Raw = NOTHING


_BODY = msgspec.json.Decoder(_Body)
_LIST = msgspec.json.Decoder(list[Raw])
_ENTRY = msgspec.json.Decoder(_Entry)


def media_of(body: bytes) -> Media:
    """Count images and documents, also those in the results of tools. `body` is known to be well-formed."""
    if not any(word in body for word in _SPELLED):
        return Media()
    try:
        head = _BODY.decode(body)
        found = [*_media(head.messages, 0), *_media(head.input, 0)]
    except msgspec.DecodeError:
        return Media()
    images = sum(kind in _IMAGES for kind, _ in found)
    return Media(images, len(found) - images, sum(size for _, size in found))


def _media(raw: Raw, depth: int) -> Iterator[tuple[str, int]]:
    """The type and the size of each medium in a list of entries, and in the lists inside them."""
    if memoryview(raw)[0] != 0x5B or depth > _MAX_DEPTH:
        return
    for item in _LIST.decode(raw):
        if memoryview(item)[0] != 0x7B:
            continue
        entry = _ENTRY.decode(item)
        if entry.type in _IMAGES or entry.type in _DOCUMENTS:
            yield entry.type or "", _encoded_size(item)
        else:
            yield from _media(entry.content, depth + 1)
            yield from _media(entry.output, depth + 1)


def _encoded_size(medium: Raw) -> int:
    """The bytes of a medium that is encoded in the body; 0 for one that is text, or that is only named."""
    view = memoryview(medium)
    is_encoded = b"base64" in bytes(view[:_END]) or b"base64" in bytes(view[-_END:])
    return len(view) if is_encoded else 0


def estimated_tokens(size: int, media: Media) -> int:
    """How many tokens a body of `size` bytes may be: a token for four bytes, and a flat number for each medium."""
    flat = TOKENS_PER_MEDIA * (media.images + media.documents)
    return max(0, size - media.size) // BYTES_PER_TOKEN + flat
