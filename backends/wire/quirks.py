"""What a backend refused by name, and how it is left out of later requests: byte spans only, with its pair.

A pair is a beta header and the field that it switches on: a lone half is refused as well, both absent only do less
(code.claude.com/docs/en/llm-gateway-protocol). What carries the request itself is never left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from backends.wire.kinds import Kind
from backends.wire.spans import EACH, Edit, Path, removals, renaming, value_at
from backends.wire.splice import splice

BETA_HEADER = b"anthropic-beta"
ALL_BETAS = "*"
"""The name of a quirk for a backend that refuses beta values without saying which."""
_BETA = re.compile(r"[A-Za-z0-9._-]{1,100}")


class QuirkKind(StrEnum):
    """What kind of thing was refused."""

    PARAMETER = "parameter"
    BETA = "beta"


@dataclass(frozen=True, slots=True, order=True)
class Quirk:
    """One thing that a backend does not take for a model. `name`: a field's path, or a value of the beta header."""

    kind: QuirkKind
    name: str


@dataclass(frozen=True, slots=True)
class Without:
    """A request less its quirks. `mutations`: `$.temperature=quirk`; empty if nothing had to go."""

    body: bytes
    headers: list[tuple[bytes, bytes]]
    mutations: tuple[str, ...]


# --- what may go ---------------------------------------------------------------------------------------------

# Fields without which it would be another request, or an answer that the client cannot use.
_CARRYING = frozenset(
    (
        *("model", "messages", "input", "prompt", "system", "instructions", "stream", "n", "thread"),
        *("tools", "functions", "tool_choice", "function_call", "mcp_servers", "container"),
        *("response_format", "text", "output_format", "previous_response_id", "conversation"),
    )
)
# Fields of which only this much carries the request.
_CARRYING_PARTS = {"output_config": ("format",), "text": ("format",)}
_TOOL_FIELDS = frozenset(
    ["strict", "defer_loading", "eager_input_streaming", "input_examples", "allowed_callers", "cache_control"]
)
_CACHE_FIELDS = frozenset(("scope", "ttl"))
# Under another name the same: the newer one is refused by older servers, the older one by newer models.
_SAME_AS = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}

# The beginning of a beta value, and the fields that it switches on.
_PAIRS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("context-management-", ("context_management",)),
    ("compact-", ("context_management",)),
    ("effort-", ("output_config.effort",)),
    ("structured-outputs-", ("tools[].strict",)),
    ("advanced-tool-use-", ("tools[].defer_loading", "tools[].allowed_callers", "tools[].input_examples")),
    ("tool-search-tool-", ("tools[].defer_loading",)),
    ("tool-examples-", ("tools[].input_examples",)),
    ("fine-grained-tool-streaming-", ("tools[].eager_input_streaming",)),
    ("prompt-caching-scope-", ("cache_control.scope",)),
    ("extended-cache-ttl-", ("cache_control.ttl",)),
    ("fast-mode-", ("speed",)),
)
# Beta values that a part of this request needs: a sign of it in the body. Without the value the part is refused.
_NEEDED: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("mid-conversation-system-", re.compile(rb'"role"\s*:\s*"system"')),
    ("structured-outputs-", re.compile(rb'"(output_format|format)"\s*:\s*\{')),
    ("mcp-client-", re.compile(rb'"mcp_servers"\s*:')),
    ("files-api-", re.compile(rb'"file_id"\s*:')),
    ("oauth-", re.compile(rb"")),
)


def paths_of(name: str, kind: Kind) -> tuple[Path, ...]:
    """Where a field of this name may stand."""
    if name.startswith("cache_control."):
        leaf = ("cache_control", name.partition(".")[2])
        lists = (("system", EACH), ("tools", EACH), ("messages", EACH, "content", EACH))
        return (leaf, *((*where, *leaf) for where in lists))
    if name.startswith("tools[]."):
        field = name.partition(".")[2]
        nested = (("tools", EACH, "function", field),) if kind is Kind.CHAT else ()
        return (("tools", EACH, field), *nested)
    return (tuple(name.split(".")),)


def may_go(name: str, body: bytes) -> bool:
    """Whether a request can do without this field, as far as names tell."""
    top, _, rest = name.partition(".")
    if top == "tools[]":
        return rest in _TOOL_FIELDS
    if name.startswith("cache_control."):
        return rest in _CACHE_FIELDS
    if not rest:
        carries = any(value_at(body, (top, part)) for part in _CARRYING_PARTS.get(top, ()))
        return top not in _CARRYING and not carries
    return "." not in rest and "[" not in name and rest not in _CARRYING_PARTS.get(top, ())


def betas_in(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    """The values of the beta header, in order."""
    values = b",".join(value for name, value in headers if name == BETA_HEADER).decode("latin-1")
    return [part for value in values.split(",") if (part := value.strip())]


def beta_may_go(beta: str, body: bytes) -> bool:
    """Whether a request can do without this value: not if a part of it would then be refused."""
    if _BETA.fullmatch(beta) is None:
        return False
    return not any(beta.startswith(prefix) and sign.search(body) for prefix, sign in _NEEDED)


# --- leaving it out --------------------------------------------------------------------------------------------


def without(quirks: Sequence[Quirk], kind: Kind, body: bytes, headers: list[tuple[bytes, bytes]]) -> Without:
    """The request less what these quirks name, and less the pairs of that. What is not in it needs no change."""
    betas = _betas_to_drop(quirks, body, headers)
    fields = {quirk.name for quirk in quirks if quirk.kind is QuirkKind.PARAMETER}
    fields |= {field for beta in betas for field in _fields_of(beta)}
    edits, gone = _edits(fields, kind, body)
    for name in gone:
        betas |= {beta for beta in betas_in(headers) if _is_paired(beta, name) and beta_may_go(beta, body)}
    mutations = [f"$.{name}=quirk" for name in gone]
    if betas:
        headers = _less(headers, betas)
        mutations.append("header:anthropic-beta=quirk")
    return Without(splice(body, edits) if edits else body, headers, tuple(mutations))


def _betas_to_drop(quirks: Sequence[Quirk], body: bytes, headers: list[tuple[bytes, bytes]]) -> set[str]:
    refused = {quirk.name for quirk in quirks if quirk.kind is QuirkKind.BETA}
    if not refused:
        return set()
    sent = [beta for beta in betas_in(headers) if beta in refused or ALL_BETAS in refused]
    return {beta for beta in sent if beta_may_go(beta, body)}


def _fields_of(beta: str) -> tuple[str, ...]:
    return next((fields for prefix, fields in _PAIRS if beta.startswith(prefix)), ())


def _is_paired(beta: str, name: str) -> bool:
    """Whether the value switches on this field, or a part of it."""
    return any(field == name or field.startswith(f"{name}.") for field in _fields_of(beta))


def _edits(fields: Iterable[str], kind: Kind, body: bytes) -> tuple[list[Edit], list[str]]:
    """The edits that leave these fields out, and the names of those that were there."""
    here = [name for name in sorted(fields) if _is_spelled(name, body) and may_go(name, body)]
    edits: list[Edit] = []
    gone = []
    for name in here:
        if kind is Kind.CHAT and name in _SAME_AS and (renamed := renaming(body, name, _SAME_AS[name])):
            edits += renamed
            gone.append(name)
    paths = {path: name for name in here if name not in gone for path in paths_of(name, kind)}
    if paths:
        removed = removals(body, paths)
        edits += removed.edits
        gone += sorted({paths[path] for path in removed.found})
    return edits, gone


def _is_spelled(name: str, body: bytes) -> bool:
    """Whether the field's own name stands anywhere: most requests need no closer look."""
    return f'"{name.rpartition(".")[2]}"'.encode() in body


def _less(headers: list[tuple[bytes, bytes]], betas: set[str]) -> list[tuple[bytes, bytes]]:
    kept = []
    for name, value in headers:
        if name == BETA_HEADER:
            parts = [part.strip() for part in value.decode("latin-1").split(",")]
            value = ",".join(part for part in parts if part and part not in betas).encode("latin-1")
            if not value:
                continue
        kept.append((name, value))
    return kept
