"""What is known about the model a request is written for, and names and ids that such a model accepts.

Rule: what servers do differently stands here as data, one row per known provider; the builders ask for a
property and never for a provider's name.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

import msgspec

_LEVELS = ("low", "medium", "high")
_ALL_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


@dataclass(frozen=True, slots=True)
class Quirks:
    """How one OpenAI-compatible server differs. The defaults are for a server that nobody knows."""

    developer_role: bool = False  # takes the role `developer`; else it is written as `system`
    max_completion_tokens: bool = False  # reasoning models want that field and refuse `max_tokens`
    replay: str = (
        ""  # the field that takes earlier reasoning: reasoning_content, reasoning, reasoning_details
    )
    replay_always: bool = False  # with tools, every assistant message needs that field, empty if need be
    cache_control: bool = False
    files: bool = False  # `file` parts (PDF)
    audio: bool = False  # `input_audio` parts
    strict: bool = True  # `strict` on a function
    custom_tools: bool = False  # tools with free text as input
    allowed_tools: bool = False  # tool_choice of the type allowed_tools
    top_k: bool = False
    penalties: bool = True  # frequency_penalty, presence_penalty
    seed: str = "seed"  # the field's name; "" where there is none
    schema_output: bool = True  # response_format json_schema; else only json_object
    strict_schemas: bool = False  # refuses `strict` on a schema that is not closed and fully required
    picky_schema: bool = False  # refuses `$schema` in a tool's parameters
    # (regular expression for the model, the values of reasoning_effort it takes); the first match counts
    efforts: tuple[tuple[str, tuple[str, ...]], ...] = (("", _LEVELS),)
    effort_style: str = (
        "plain"  # plain: reasoning_effort; openrouter: reasoning{…}; deepseek: also thinking{…}
    )
    user_field: str = "user"  # "" where there is none
    cache_key: bool = False  # prompt_cache_key
    verbosity: bool = False
    stream_options: bool = True  # False where usage always comes and the field is refused
    parallel_tools: bool = True  # parallel_tool_calls
    text_parts: bool = (
        False  # several text parts stay apart; else they are joined, many templates want a string
    )
    late_system: bool = True  # system messages after the first turn; else they are written as user text
    user_after_tool: bool = True  # a user message may follow a tool message directly
    sampled_thinking: bool = True  # models that think take `stop` and sampling too
    refusals: bool = False  # the field `refusal` in an earlier answer; else it is text
    names: bool = True  # `name` on a message
    call_ids: str = ""  # "mistral": exactly nine letters and digits
    thought_signatures: bool = (
        False  # tool calls of an earlier turn need extra_content.google.thought_signature
    )


_REASONERS = r"(^|/)(o\d|gpt-([5-9]|\d\d)|codex)"  # OpenAI's models that think
_GPT_OSS = (("gpt-oss", _LEVELS),)
_O_SERIES = r"(^|/)o\d"
_OPENAI_EFFORTS = (
    (_O_SERIES, _LEVELS),
    (r"gpt-5(-mini|-nano)?(-\d{4}|$)", ("minimal", *_LEVELS)),
    (r"gpt-5\.1", ("none", *_LEVELS)),
    (r"gpt-5|codex", ("none", *_LEVELS, "xhigh")),
    (_REASONERS, _ALL_EFFORTS),
)

QUIRKS: dict[str, Quirks] = {
    "": Quirks(),
    "openai": Quirks(
        developer_role=True,
        max_completion_tokens=True,
        files=True,
        audio=True,
        custom_tools=True,
        allowed_tools=True,
        strict_schemas=True,
        efforts=_OPENAI_EFFORTS,
        sampled_thinking=False,
        refusals=True,
        text_parts=True,
        user_field="safety_identifier",
        cache_key=True,
        verbosity=True,
    ),
    "groq": Quirks(replay="reasoning", efforts=_GPT_OSS, picky_schema=True),
    "openrouter": Quirks(
        replay="reasoning_details",
        cache_control=True,
        files=True,
        audio=True,
        top_k=True,
        efforts=(("", _ALL_EFFORTS),),
        effort_style="openrouter",
        text_parts=True,
        verbosity=True,
    ),
    "mistral": Quirks(
        picky_schema=True,
        seed="random_seed",
        efforts=(),
        names=False,
        late_system=False,
        user_after_tool=False,
        text_parts=True,
        user_field="",
        stream_options=False,
        call_ids="mistral",
    ),
    "deepseek": Quirks(
        replay="reasoning_content",
        replay_always=True,
        schema_output=False,
        efforts=(("", ("low", "high", "max")),),
        effort_style="deepseek",
        user_field="",
    ),
    "together": Quirks(top_k=True),
    "fireworks": Quirks(replay="reasoning_content", top_k=True, efforts=(("", ("none", *_LEVELS)),)),
    "xai": Quirks(efforts=(("grok-3-mini", ("low", "high")),)),
    "cerebras": Quirks(picky_schema=True, penalties=False, efforts=_GPT_OSS),
    "gemini": Quirks(
        picky_schema=True,
        efforts=(("", ("none", "minimal", *_LEVELS)),),
        user_field="",
        thought_signatures=True,
    ),
    "ollama": Quirks(replay="reasoning", efforts=(("gpt-oss", _LEVELS), ("", ("none",)))),
    "lmstudio": Quirks(top_k=True, late_system=False),
    "vllm": Quirks(replay="reasoning", top_k=True, late_system=False),
    "llamacpp": Quirks(replay="reasoning_content", top_k=True, late_system=False),
    "litellm": Quirks(
        replay="reasoning_content",
        cache_control=True,
        files=True,
        audio=True,
        top_k=True,
        efforts=(("", _ALL_EFFORTS[:-1]),),
        text_parts=True,
        cache_key=True,
    ),
}


@dataclass(frozen=True, slots=True)
class Target:
    """The model a request is written for.

    `model`: its name upstream. `preset`: the known provider, "" for an unknown OpenAI-compatible server.
    `max_output`: what to ask for where the protocol demands `max_tokens` and the client gave none.
    """

    model: str
    preset: str = ""
    max_output: int | None = None

    @property
    def quirks(self) -> Quirks:
        """What is special about this server."""
        return QUIRKS.get(self.preset, QUIRKS[""])

    @property
    def name_limit(self) -> int:
        """The longest tool name, in characters."""
        return 128 if self.preset == "anthropic" else 64

    @property
    def is_reasoner(self) -> bool:
        """Whether the model's name is one of OpenAI's that think."""
        return re.search(_REASONERS, self.model) is not None

    @property
    def efforts(self) -> tuple[str, ...]:
        """The values of `reasoning_effort` that this model takes, in ascending order; none at all if empty."""
        rows = self.quirks.efforts
        return next((values for pattern, values in rows if re.search(pattern, self.model)), ())

    @property
    def takes_parallel(self) -> bool:
        """Whether `parallel_tool_calls` may be sent: OpenAI's o-series refuses it."""
        return self.quirks.parallel_tools and not (
            self.preset == "openai" and re.search(_O_SERIES, self.model)
        )

    @property
    def max_tokens_field(self) -> str:
        """The name of the field that limits the answer."""
        is_new = self.quirks.max_completion_tokens and self.is_reasoner
        return "max_completion_tokens" if is_new else "max_tokens"


@dataclass(frozen=True, slots=True)
class ToolName:
    """A tool as the client knows it. `is_custom`: its input is free text."""

    name: str
    namespace: str | None = None
    is_custom: bool = False


@dataclass(slots=True)
class Names:
    """The tool names of one request: upstream name → the client's own. Made while the request is built."""

    tools: dict[str, ToolName] = field(default_factory=dict)
    _taken: dict[tuple[str, str | None], str] = field(default_factory=dict, repr=False, compare=False)

    def upstream(
        self, name: str, namespace: str | None = None, *, limit: int = 64, is_custom: bool = False
    ) -> str:
        """The name to send for a tool; the same for its definition, its calls and a choice of it.

        Tools of a namespace become `namespace__name`. A name that is taken by another tool gets a hash.
        """
        known = self._taken.get((name, namespace))
        if known is not None:
            return known
        flat = f"{namespace}__{name}" if namespace else name
        sent = safe_tool_name(flat, limit)
        if sent in self.tools:
            sent = _shortened(f"{namespace}\0{name}", sent, limit)
        self._taken[name, namespace] = sent
        self.tools[sent] = ToolName(name, namespace, is_custom)
        return sent

    def client(self, name: str) -> ToolName:
        """The client's name for a tool that the upstream called by `name`; unknown ones are as they are."""
        return self.tools.get(name) or ToolName(name)


@dataclass(frozen=True, slots=True)
class Built:
    """A request ready to be sent: its body, the names used in it, headers it needs (e.g. anthropic-version)."""

    body: bytes
    names: Names
    headers: tuple[tuple[bytes, bytes], ...] = ()


_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NINE = re.compile(r"[a-zA-Z0-9]{9}")
_BAD = re.compile(r"[^a-zA-Z0-9_-]")
_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def safe_call_id(call_id: str, protocol: str = "") -> str:
    """A call id that the target accepts: the same for the same id, so calls and results still agree.

    `protocol` is a Protocol or `Quirks.call_ids`; "mistral" wants nine letters and digits, all others up to
    64 of letters, digits, `_` and `-`. An id that is fine stays as it is.
    """
    if protocol == "mistral":
        return call_id if _NINE.fullmatch(call_id) else _nine(call_id)
    return call_id if _ID.fullmatch(call_id) else _shortened(call_id, call_id or "call", 64)


def safe_tool_name(name: str, limit: int) -> str:
    """A tool name of letters, digits, `_` and `-` within the limit; a hash keeps changed names apart."""
    if 0 < len(name) <= limit and not _BAD.search(name):
        return name
    return _shortened(name, name or "tool", limit)


def wrap_custom(text: str) -> str:
    """The arguments of a function that stands in for a custom tool: its text as the property `input`."""
    return msgspec.json.encode({"input": text}).decode()


def unwrap_custom(arguments: str) -> str:
    """The text for a custom tool in such arguments; the arguments themselves if they are anything else."""
    try:
        value = msgspec.json.decode(arguments)
    except (ValueError, RecursionError):
        return arguments
    text = value.get("input") if isinstance(value, dict) else None
    return text if isinstance(text, str) else arguments


CUSTOM_SCHEMA = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}


def short_hash(text: str, length: int = 64) -> str:
    """The first hexadecimal digits of the text's SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:length]


def _shortened(original: str, shown: str, limit: int) -> str:
    return f"{_BAD.sub('_', shown)[: limit - 13]}_{short_hash(original, 12)}"


def _nine(call_id: str) -> str:
    number = int(short_hash(call_id, 16), 16)
    digits = []
    for _ in range(9):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(digits)
