"""Which conversation a request belongs to, so that the pool can keep it on one account for its prompt cache.

Rules: an id that the client names wins; else the first message by a user stands for the conversation, since it
stays the same while turns are added. The system prompt alone never does: it is the same for everybody who uses
one tool. Nothing here raises, and nothing here proves anything: a client may name any id it likes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from itertools import islice

import msgspec
from msgspec import Raw, Struct

from backends.wire.kinds import Kind
from backends.wire.shapes import NOTHING, Clues
from backends.wire.splice import Peek

# Best first. Claude Code; Codex, today and before (codex-rs/codex-api/src/requests/headers.rs: its `thread-id`
# tells sub-agents apart, its `session-id` is what OpenAI keeps the cache by); OpenCode, against its own service
# and against others (packages/opencode/src/session/llm/request.ts); xAI's cache routing; anybody else.
_HEADERS = (
    b"x-claude-code-session-id",
    b"session-id",
    b"session_id",
    b"thread-id",
    b"conversation-id",
    b"conversation_id",
    b"x-opencode-session",
    b"x-session-affinity",
    b"x-session-id",
    b"x-grok-conv-id",
)
_PLAIN = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:~@/+=-]{0,79}")
_PIECES = 32  # of the first message, at most; …
_END = 2048  # … and of each piece so many bytes from its start and from its end: 128 KiB in all
_LARGE = 256 * 1024  # blocks of more bytes than this are not taken apart
_QUOTE, _BRACKET = b'"['
_NO_SESSION_KINDS = frozenset((Kind.EMBEDDINGS, Kind.COMPLETIONS))


class Session(Struct, frozen=True):
    """`id`: at most 80 characters of printable ASCII without spaces; "" when there is nothing to go by.

    `source`: where it is from: "header", "metadata", "cache_key", "conversation", "first_message",
    "previous_response" or "".
    """

    id: str
    source: str


NO_SESSION = Session("", "")


def session_of(kind: Kind, headers: Mapping[bytes, bytes], peek: Peek) -> Session:
    """The session of a client's request. `headers`: by lower-case name.

    A follow-up that names only the response before it (`previous_response_id`) has none: its first message is
    not the conversation's first, and a new id for every turn would be worse than no id. It belongs to whoever
    has that response; the caller of this function may remember who that was.
    """
    for name in _HEADERS:
        if (value := headers.get(name)) and (found := safe_id(value)):
            return Session(found, "header")
    if kind in _NO_SESSION_KINDS:
        return NO_SESSION
    return _from_body(peek.clues)


def _from_body(clues: Clues) -> Session:
    if clues.metadata is not NOTHING and (found := _from_metadata(clues.metadata)):
        return Session(found, "metadata")
    if clues.cache_key is not NOTHING and (found := safe_id(_text(clues.cache_key).encode())):
        return Session(found, "cache_key")
    if clues.conversation is not NOTHING and (found := _from_conversation(clues.conversation)):
        return Session(found, "conversation")
    if clues.follows is None and (found := _from_opening(clues.opening)):
        return Session(found, "first_message")
    return NO_SESSION


# --- ids that the client names ------------------------------------------------------------------------------


class _Metadata(Struct):
    user_id: Raw = NOTHING


class _UserId(Struct):
    session_id: str | None = None


class _Conversation(Struct):
    id: str | None = None


_METADATA = msgspec.json.Decoder(_Metadata | None)
_USER_ID = msgspec.json.Decoder(_UserId)
_CONVERSATION = msgspec.json.Decoder(_Conversation | str | None)
_STRING = msgspec.json.Decoder(str)


def _from_metadata(metadata: Raw) -> str:
    """The session's part of `metadata.user_id`, in either form that Claude Code has sent: `user_…_session_<id>`,
    or a JSON object in a string. The rest names a person and is no session.
    """
    known = _METADATA.decode(metadata)
    user_id = _text(known.user_id) if known else ""
    if user_id.startswith("{"):
        try:
            return safe_id((_USER_ID.decode(user_id).session_id or "").encode())
        except (msgspec.DecodeError, RecursionError):
            return ""
    return safe_id(user_id.partition("_session_")[2].encode())


def _from_conversation(conversation: Raw) -> str:
    try:
        known = _CONVERSATION.decode(conversation)
    except msgspec.ValidationError:  # an object whose id is no string
        return ""
    named = known.id if isinstance(known, _Conversation) else known
    return safe_id((named or "").encode())


def _text(raw: Raw) -> str:
    """The string; "" for a value of another type."""
    return _STRING.decode(raw) if memoryview(raw)[0] == _QUOTE else ""


def safe_id(value: bytes) -> str:
    """An id as a client sent it: itself if it can be stored and shown as it is, else a hash of it; "" for nothing."""
    value = value.strip()
    if _PLAIN.fullmatch(value):
        return value.decode("ascii")
    return _hash([memoryview(value)]) if value else ""


# --- the first message --------------------------------------------------------------------------------------

_BLOCKS = msgspec.json.Decoder(list[dict[str, Raw]])


def _from_opening(content: Raw | str | None) -> str:
    """A hash of the first message's content, "" where it has none.

    It must not change when a client moves `cache_control` to another turn, nor when it wraps a plain string into
    a text block to carry that mark. So the texts count as they are, other blocks without the mark, and how either
    is wrapped does not. Of a very large list only the start counts, mark or not.
    """
    if content is None or content == "":
        return ""
    raw = Raw(msgspec.json.encode(content)) if isinstance(content, str) else content
    pieces = list(islice(_pieces(raw), _PIECES))
    return _hash(pieces) if pieces else ""


def _pieces(content: Raw) -> Iterator[memoryview]:
    view = memoryview(content)
    if view[0] == _QUOTE and len(view) > 2:
        yield view
    elif view[0] == _BRACKET and len(view) > _LARGE:
        yield view[: _PIECES * _END]
    elif view[0] == _BRACKET:
        for block in _blocks(content):
            yield from _block_pieces(block)


def _blocks(content: Raw) -> list[dict[str, Raw]]:
    """Empty where an entry is no object: the upstream will say what it thinks of that."""
    try:
        return _BLOCKS.decode(content)
    except msgspec.ValidationError:
        return []


def _block_pieces(block: dict[str, Raw]) -> Iterator[memoryview]:
    text = memoryview(block.get("text", NOTHING))
    if text[0] == _QUOTE:
        if len(text) > 2:
            yield text
        return
    for name in sorted(block.keys() - {"cache_control"}):
        yield memoryview(name.encode())
        yield memoryview(block[name])


def _hash(pieces: list[memoryview]) -> str:
    """`h-` and 24 hexadecimal digits. Each piece counts with its length and both its ends."""
    digest = blake2b(digest_size=12)
    for piece in pieces:
        digest.update(len(piece).to_bytes(8, "big"))
        digest.update(piece[:_END])
        digest.update(piece[max(_END, len(piece) - _END) :])
    return f"h-{digest.hexdigest()}"
