"""Which part of a request an error refuses by name: a parameter, or a value of the beta header. Wordings as data.

Rule: only what the error says must not be there. An error about a value, a combination or an entitlement teaches
nothing, and neither does the name of something that the request does not hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from backends.wire.kinds import Kind
from backends.wire.quirks import ALL_BETAS, Quirk, QuirkKind, beta_may_go, betas_in, may_go, paths_of
from backends.wire.spans import removals

_STATUSES = frozenset((400, 422))
_LONGEST = 16_384
_CODES = frozenset(("unsupported_parameter", "unknown_parameter", "unrecognized_parameter"))
# Each names one thing, or several with commas, quotes or backticks between them.
_WORDINGS = tuple(
    re.compile(wording, re.IGNORECASE)
    for wording in (
        r"unsupported parameter:? ['\"`]?([\w.\[\]-]+)",  # OpenAI, GitHub Copilot
        r"unknown parameter:? ['\"`]?([\w.\[\]-]+)",  # OpenAI
        r"unrecognized request arguments? supplied: ([\w, .]+)",  # OpenAI, Azure
        r"([\w.\[\]-]{1,200}): (?:extra inputs are not permitted|additional input is not allowed)",  # Anthropic
        r"extra inputs are not permitted, field: ['\"`]([\w.\[\]-]+)",  # Fireworks
        r"property ['\"`]([\w.\[\]-]+)['\"`] is unsupported",  # Groq, Cerebras
        r"does not support parameter:? ['\"`]?(\w+)",  # xAI
        r"argument not supported on this model: (\w+)",  # xAI
        r"does not support parameters: \[([^\]]+)\]",  # LiteLLM
        r"[`']([\w.]+)[`'] is (?:deprecated|not supported) (?:for|with|by) this model",  # Anthropic, Groq
        r"unknown name \"(\w+)\": cannot find field",  # Gemini
        r"unsupported param: (\w+)",  # llama.cpp
        r"unknown field \"(\w+)\"",  # servers in Go
    )
)
_BETA_LIST = re.compile(
    r"unexpected values?(?:\(s\))? (.{0,600}?) for the [`'\"]?anthropic-beta", re.IGNORECASE
)
_BETA_BARE = re.compile(r"invalid beta flag|unsupported beta (?:header|flag)|unknown beta", re.IGNORECASE)
_NAMES = re.compile(r"[\w.\[\]-]+")


def refused_parts(
    status: int, answer: bytes, kind: Kind, body: bytes, headers: Sequence[tuple[bytes, bytes]]
) -> tuple[Quirk, ...]:
    """What the error `answer` to this request (its body and headers as sent) refuses, and the request can do without.

    Empty when it refuses nothing by name, or something that carries the request.
    """
    if status not in _STATUSES:
        return ()
    said = _texts(answer[:_LONGEST])
    betas = _refused_betas(said.text, betas_in(headers))
    if betas is not None:
        return tuple(
            Quirk(QuirkKind.BETA, beta) for beta in betas if beta == ALL_BETAS or beta_may_go(beta, body)
        )
    names = [field for name in (*said.names, *_named(said.text)) if (field := _field(name, kind, body))]
    return tuple(Quirk(QuirkKind.PARAMETER, name) for name in dict.fromkeys(names) if may_go(name, body))


# --- reading the error -----------------------------------------------------------------------------------------


class _Said(msgspec.Struct):
    """Names that the error gives in fields of their own, and what it says in words."""

    names: list[str]
    text: str


def _texts(answer: bytes) -> _Said:
    try:
        document = msgspec.json.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Said([], answer.decode("utf-8", "replace"))
    names, texts = list(_structured(document)), list(_strings(document, 0))
    return _Said(names, "\n".join(texts))


def _structured(document: Any) -> Iterator[str]:
    """OpenAI's `code` and `param`; what pydantic lists."""
    if not isinstance(document, dict):
        return
    error = document.get("error")
    if isinstance(error, dict) and error.get("code") in _CODES and isinstance(error.get("param"), str):
        yield error["param"]
    detail = document.get("detail")
    for entry in detail if isinstance(detail, list) else ():
        if isinstance(entry, dict) and entry.get("type") == "extra_forbidden":
            location = entry.get("loc")
            parts = [str(part) for part in location] if isinstance(location, list) else []
            yield ".".join(parts[1:] if parts[:1] == ["body"] else parts)


def _strings(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth < 6:
        inside: Iterable[Any] = (
            value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        )
        for each in inside:
            yield from _strings(each, depth + 1)


def _named(text: str) -> Iterator[str]:
    for wording in _WORDINGS:
        for match in wording.finditer(text):
            yield from _NAMES.findall(match[1])


def _refused_betas(text: str, sent: list[str]) -> list[str] | None:
    """Values of the header that are refused; None when the error is not about the header."""
    if listed := _BETA_LIST.search(text):
        named = set(_NAMES.findall(listed[1]))
        return [beta for beta in sent if beta in named]
    if not sent or not _BETA_BARE.search(text):
        return None
    if named_here := [beta for beta in sent if beta in text]:
        return named_here
    return sent if len(sent) == 1 else [ALL_BETAS]


# --- finding it in the request ---------------------------------------------------------------------------------


def _field(name: str, kind: Kind, body: bytes) -> str:
    """The field of this request that a name means, as quirks are named; "" if there is none."""
    path = [part for part in re.split(r"[.\[\]]+", name) if part]
    field = _normal(path)
    if field and _is_there(field, kind, body):
        return field
    return _respelled(path[0], body) if len(path) == 1 else ""


def _normal(path: list[str]) -> str:
    """`tools.0.custom.strict` → `tools[].strict`; "" for a place that no quirk can name."""
    if "cache_control" in path[1:] and path[-1] in ("scope", "ttl"):
        return f"cache_control.{path[-1]}"
    if len(path) > 2 and path[0] == "tools" and path[1].isdigit():
        inner = [part for part in path[2:] if part not in ("custom", "function")]
        return f"tools[].{inner[0]}" if len(inner) == 1 else ""
    return ".".join(path) if 0 < len(path) <= 2 and not any(part.isdigit() for part in path) else ""


def _is_there(field: str, kind: Kind, body: bytes) -> bool:
    if f'"{field.rpartition(".")[2]}"'.encode() not in body:
        return False
    return bool(removals(body, paths_of(field, kind)).found)


def _respelled(name: str, body: bytes) -> str:
    """The top-level field that differs in case and underscores only: some say `presencePenalty`."""
    wanted = name.replace("_", "").lower()
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        return ""
    return next((field for field in fields if field.replace("_", "").lower() == wanted), "")
