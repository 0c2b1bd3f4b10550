"""The neutral form between protocols: an ordered list of typed blocks, and what a reply or a stream of one is.

Rules: order is meaning (thinking, text and tool blocks interleave and stay where they are); tool arguments are JSON
text and are never re-serialised; what a target cannot carry is put on a `Lost` list by whoever builds the request,
or refused there with `CannotCarry` when dropping it would change the result. A new protocol is one new package that
reads into this form and writes from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, TypeAlias

from backends.wire.errors import ApiError
from backends.wire.usage import Usage

Json: TypeAlias = Mapping[str, Any]


class CannotCarry(ValueError):
    """The target cannot serve this request: HTTP 400 in the client's shape, naming the field and what to change."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field, self.message = field, message


class Unreadable(ValueError):
    """An upstream's answer is not what its protocol says. HTTP 502 in the client's shape."""


# --- what a turn is made of --------------------------------------------------------------------------------


@dataclass(slots=True)
class Cache:
    """A cache breakpoint behind a block. `ttl` is "5m" or "1h", None for the provider's default."""

    ttl: str | None = None


@dataclass(slots=True)
class Text:
    """Plain text. `citations` are kept as they came, for a target of the same protocol family."""

    text: str
    cache: Cache | None = None
    citations: list[Any] | None = None


@dataclass(slots=True)
class Media:
    """An image, a document or a sound: one of `data` (base64), `url`, `file_id` or `text` (a plain-text file)."""

    kind: Literal["image", "document", "audio"]
    media_type: str = ""  # image/png, application/pdf, text/plain, audio/wav; "" when unknown
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    text: str | None = None
    name: str | None = None  # title or file name
    detail: str | None = None
    cache: Cache | None = None


@dataclass(slots=True)
class Thinking:
    """Reasoning. `signature` and `encrypted` (redacted data, encrypted content) mean something to their origin only."""

    text: str = ""
    origin: str = ""  # "anthropic", "chat", "responses": whose block it is; signatures go back there only
    signature: str | None = None
    encrypted: str | None = None
    id: str | None = None
    is_summary: bool = False


@dataclass(slots=True)
class ToolCall:
    """The model wants a tool run. `arguments` is the JSON text as the model wrote it; for `is_custom` any text."""

    id: str
    name: str
    arguments: str
    is_custom: bool = False
    namespace: str | None = None
    item_id: str | None = None  # the Responses item id (fc_…), which is not the call id
    extra: Json | None = None  # vendor fields that must be replayed with the call (thought signatures)
    cache: Cache | None = None


@dataclass(slots=True)
class ToolResult:
    """What a tool gave back."""

    call_id: str
    content: list[Text | Media]
    is_error: bool = False
    is_custom: bool = False
    cache: Cache | None = None


@dataclass(slots=True)
class Refusal:
    """The model declined, in its own words."""

    text: str
    category: str | None = None


@dataclass(slots=True)
class Foreign:
    """A block only its own protocol knows (server tools and their results, hosted calls, compaction …), as it came."""

    origin: str
    kind: str
    raw: Json


Block: TypeAlias = Text | Media | Thinking | ToolCall | ToolResult | Refusal | Foreign


@dataclass(slots=True)
class Turn:
    """One turn. Tool results stand in user turns, before everything else; a system turn may stand anywhere."""

    role: Literal["system", "user", "assistant"]
    blocks: list[Block]
    name: str | None = None


# --- what a request asks for ---------------------------------------------------------------------------------


@dataclass(slots=True)
class Tool:
    """A tool the client runs. `schema` is a JSON Schema object; `is_custom`: free text input, `grammar` may bind it."""

    name: str
    description: str | None = None
    schema: Json | None = None
    strict: bool | None = None
    is_custom: bool = False
    grammar: Json | None = None
    namespace: str | None = None
    cache: Cache | None = None


@dataclass(slots=True)
class HostedTool:
    """A tool the provider runs (web search, code execution, MCP …), as it came. `name` names it in an error."""

    origin: str
    name: str
    raw: Json


@dataclass(slots=True)
class ToolChoice:
    """auto, any (must call one), one (must call `names[0]`), none; `names` with auto or any: only these are allowed."""

    mode: Literal["auto", "any", "one", "none"]
    names: tuple[str, ...] = ()


@dataclass(slots=True)
class Reasoning:
    """How much to think. `effort`: none minimal low medium high xhigh max; `budget` in tokens; None: not said."""

    mode: Literal["off", "on", "adaptive"] | None = None
    effort: str | None = None
    budget: int | None = None
    summary: str | None = None  # auto, concise, detailed; "omitted" hides the text


@dataclass(slots=True)
class OutputFormat:
    """json (any object) or schema."""

    kind: Literal["json", "schema"]
    schema: Json | None = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


@dataclass(slots=True)
class Sampling:
    """As the client wrote them; a builder clamps or drops."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None


@dataclass(slots=True)
class Conversation:
    """One request, in no protocol."""

    model: str
    turns: list[Turn]
    system: list[Text] = field(default_factory=list)  # leading system and developer text
    tools: list[Tool | HostedTool] = field(default_factory=list)
    tool_choice: ToolChoice | None = None
    parallel_tools: bool | None = None
    max_tokens: int | None = None
    stop: list[str] = field(default_factory=list)
    sampling: Sampling = field(default_factory=Sampling)
    reasoning: Reasoning = field(default_factory=Reasoning)
    output: OutputFormat | None = None
    verbosity: str | None = None
    stream: bool = False
    include_usage: bool = False  # chat: the client wants the usage chunk
    legacy_functions: bool = False  # chat: the client sent `functions` and reads `function_call`
    user: str | None = None  # opaque end-user id
    session: str | None = None  # stable per conversation: a cache key
    previous_response_id: str | None = None
    store: bool | None = None
    service_tier: str | None = None
    # Fields with no neutral meaning: "$.path" → value. "$": the whole request object, where answers repeat parts of it.
    extras: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Lost:
    """Field paths that a target could not carry, each once, in order: `$.top_k`, `$.messages[3].content[0]`."""

    paths: list[str] = field(default_factory=list)

    def add(self, path: str) -> None:
        """Note one; repetitions of a path are folded. "$", the request as a whole, is no field that could be lost."""
        if path != "$" and path not in self.paths:
            self.paths.append(path)


# --- what comes back --------------------------------------------------------------------------------------------


class Stop(StrEnum):
    """Why a reply ended, derived from what was emitted where a provider's word contradicts it."""

    END = "end"
    LENGTH = "length"
    SEQUENCE = "sequence"
    TOOLS = "tools"
    REFUSAL = "refusal"
    CONTEXT = "context"
    PAUSE = "pause"


@dataclass(slots=True)
class Reply:
    """A whole answer."""

    id: str
    model: str
    blocks: list[Block]
    stop: Stop
    stop_sequence: str | None = None
    usage: Usage | None = None
    created: int | None = None  # seconds since the epoch, if the protocol says so
    service_tier: str | None = None


# --- a stream of one: readers make these, writers consume them -----------------------------------------------------
# Readers guarantee: Began first; blocks do not interleave (later ones wait for the open one) and each is Opened, then
# any number of Pieces, then Closed; exactly one Ended or Failed comes last, nothing after it.


@dataclass(slots=True)
class Began:
    """The reply's identity; `usage` if it is known already (input tokens)."""

    id: str
    model: str
    usage: Usage | None = None
    created: int | None = None


@dataclass(slots=True)
class Opened:
    """A block begins, still empty: Text, Thinking, Refusal, ToolCall (with id and name), or a Foreign one whole."""

    index: int
    block: Block


@dataclass(slots=True)
class Piece:
    """More of the open block: its text, or argument text of a ToolCall. `signature`, `encrypted`: Thinking only.

    `citation`: one more of a Text's citations, as it came; such a piece may have no text.
    """

    index: int
    text: str = ""
    signature: str | None = None
    encrypted: str | None = None
    citation: Any | None = None


@dataclass(slots=True)
class Closed:
    """The block is complete."""

    index: int


@dataclass(slots=True)
class Alive:
    """Upstream is alive but has nothing to say (ping, comment)."""


@dataclass(slots=True)
class Ended:
    """The reply is complete."""

    stop: Stop
    stop_sequence: str | None = None
    usage: Usage | None = None


@dataclass(slots=True)
class Failed:
    """The upstream reported an error, or stopped before its terminal event (`error.code` = "stream_cut").

    `usage`: of all that was done, where the error tells it.
    """

    error: ApiError
    usage: Usage | None = None


Event: TypeAlias = Began | Opened | Piece | Closed | Alive | Ended | Failed
