"""What a person is shown of a tool's files: changes, with every secret replaced by `***`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from proxyapp.connect.parts import PLACEHOLDER

_TOKENS = re.compile(r"\b(?:pb|sk|gsk|xai|ghp|gho|glpat|hf|AIza)[-_][\w-]{8,}|\bAIza[\w-]{20,}")
_NAMED = re.compile(
    r"""(?ix)
    (["']? [\w.-]* (?: api[_-]?key | token | secret | passwo?r?d | authorization | patchbay-key )
     (?: [_-]?(?:value|id) )? ["']? \s* [:=]{1,2} \s* (?: Bearer \s+ )? )
    ( "(?:[^"\\\n]|\\.)*" | '[^'\n]*' | [^\s"',}\]\#]+ )
    """
)
# Numbers and switches, our own stand-ins, and references to where a secret is kept.
_HARMLESS = re.compile(
    rf"""["']?(?:\d*|true|false|null|none|\*{{3}}|{PLACEHOLDER}|\$[({{].*|{{(?:env|file):.*)["']?""", re.I
)


def mask(text: str) -> str:
    """`text` without secrets: what looks like a key, and what stands behind a name such as `api_key`."""
    return _TOKENS.sub("***", _NAMED.sub(_masked, text))


def _masked(found: re.Match[str]) -> str:
    value = found[2]
    if _HARMLESS.fullmatch(value):
        return found[0]
    quote = value[0] if value[0] in "\"'" else ""
    return f"{found[1]}{quote}***{quote}"


def difference(before: str, after: str, name: str, *, old: str = "", new: str = "") -> list[str]:
    """The lines of a unified diff, masked. `old` and `new` say what the two sides are."""
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), f"{name}{old}", f"{name}{new}", n=2, lineterm=""
    )
    return [mask(line) for line in lines]


def masked_difference(before: str, after: str, name: str, *, old: str = "", new: str = "") -> list[str]:
    """The same for texts of which one is masked already, so that a secret is no difference."""
    return difference(mask(before), mask(after), name, old=old, new=new)


def joined(parts: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *most, last = [*parts] or [""]
    return f"{', '.join(most)} and {last}" if most else last
