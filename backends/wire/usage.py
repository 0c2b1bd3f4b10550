"""Token counts as the provider reported them, in one form for all protocols.

Rule: the four input buckets never overlap, whatever the provider's own totals include. A count that cannot be
one (negative, fractional, text, absurdly large) is treated as if it were absent; nothing here raises.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from backends.wire.kinds import Kind

_MOST = (
    2**53 - 1
)  # the largest whole number that every JSON reader agrees on; sums of it still fit a database


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one request, all ≥ 0. `output` includes `reasoning`. `raw`: the provider's object as JSON."""

    fresh_input: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    output: int
    reasoning: int
    raw: bytes

    @property
    def cache_write(self) -> int:
        """Input tokens written to the provider's prompt cache."""
        return self.cache_write_5m + self.cache_write_1h

    @property
    def input_tokens(self) -> int:
        """All input tokens: fresh, read from the cache and written to it."""
        return self.fresh_input + self.cache_read + self.cache_write


def usage_from(kind: Kind, obj: Mapping[str, object], raw: bytes = b"") -> Usage | None:
    """Read the provider's usage object. None when it holds no count at all.

    `raw` is the object's JSON where the caller has it; else it is written anew.
    """
    read = _READERS.get(kind)
    counts = read(obj) if read else None
    if counts is None:
        return None
    return Usage(*counts, raw=raw or msgspec.json.encode(obj))


def merge_usage(earlier: Mapping[str, object], later: Mapping[str, object]) -> dict[str, object]:
    """Two reports of one Anthropic stream: the counts are cumulative, so the later value of a field wins.

    A field that the later report leaves out, or fills with no count, keeps its earlier value.
    """
    merged = dict(earlier)
    for name, value in later.items():
        before = merged.get(name)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            merged[name] = merge_usage(before, value)
        elif value is not None and (_count(before) is None or _count(value) is not None):
            merged[name] = value
    return merged


_Counts = tuple[int, int, int, int, int, int]


def _anthropic(obj: Mapping[str, object]) -> _Counts | None:
    """`input_tokens` leaves the cache out. The total of writes rules; the two lifetimes only divide it."""
    details = _mapping(obj, "cache_creation")
    fresh, output = _count(obj.get("input_tokens")), _count(obj.get("output_tokens"))
    read, written = _count(obj.get("cache_read_input_tokens")), _count(obj.get("cache_creation_input_tokens"))
    short, long = (_count(details.get(f"ephemeral_{life}_input_tokens")) for life in ("5m", "1h"))
    if fresh is output is read is written is short is long is None:
        return None
    hour = long or 0
    if written is None:
        written = (short or 0) + hour
    hour = min(hour, written)
    reasoning = _count(_mapping(obj, "output_tokens_details").get("thinking_tokens")) or 0
    return fresh or 0, read or 0, written - hour, hour, output or 0, min(reasoning, output or 0)


def _openai(obj: Mapping[str, object], given: str, answered: str) -> _Counts | None:
    """Both generations of OpenAI's usage. The prompt includes what was read from and written to a cache."""
    details = _mapping(obj, f"{given}_details")
    hit, miss = _count(obj.get("prompt_cache_hit_tokens")), _count(obj.get("prompt_cache_miss_tokens"))
    prompt, output, total = _count(obj.get(given)), _count(obj.get(answered)), _count(obj.get("total_tokens"))
    if prompt is None and (hit is not None or miss is not None):
        prompt = (hit or 0) + (miss or 0)
    if prompt is output is total is None:
        return None
    read = _first(details.get("cached_tokens"), hit, obj.get("cache_read_input_tokens"))
    written = _first(details.get("cache_write_tokens"), obj.get("cache_creation_input_tokens"))
    reasoning = _first(_mapping(obj, f"{answered}_details").get("reasoning_tokens"))
    if prompt is None:
        prompt = max(0, (total or 0) - (output or 0))
    output = _output(prompt, output, total, reasoning)
    read = min(read, prompt)
    written = min(written, prompt - read)
    return prompt - read - written, read, written, 0, output, min(reasoning, output)


def _output(prompt: int, output: int | None, total: int | None, reasoning: int) -> int:
    """Output tokens with reasoning. Where a provider leaves either out, the total tells."""
    if output is None:
        return max(0, (total or 0) - prompt)
    left_out = total is not None and total - prompt - output == reasoning
    return output + reasoning if left_out or reasoning > output else output


def _chat(obj: Mapping[str, object]) -> _Counts | None:
    return _openai(obj, "prompt_tokens", "completion_tokens")


def _responses(obj: Mapping[str, object]) -> _Counts | None:
    return _openai(obj, "input_tokens", "output_tokens")


def _embeddings(obj: Mapping[str, object]) -> _Counts | None:
    counts = _chat(obj)
    return counts and (sum(counts[:4]), 0, 0, 0, 0, 0)


_READERS = {
    Kind.MESSAGES: _anthropic,
    Kind.CHAT: _chat,
    Kind.COMPLETIONS: _chat,
    Kind.RESPONSES: _responses,
    Kind.EMBEDDINGS: _embeddings,
}


def _count(value: object) -> int | None:
    """The value if it can be a number of tokens. `true` is an int to Python, so the exact type is asked."""
    return value if type(value) is int and 0 <= value <= _MOST else None


def _first(*values: object) -> int:
    for value in values:
        if (count := _count(value)) is not None:
            return count
    return 0


def _mapping(obj: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = obj.get(name)
    return value if isinstance(value, dict) else {}  # as JSON gives it; an abstract class takes longer to ask
