"""Secrets that belong to nobody, and what the tests of redaction do with them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from backends.wire.kinds import Kind
from backends.wire.redaction import BUILTIN, RuleSet, Vault, redact_request
from backends.wire.splice import splice
from tests.backends.wire.strategies import words

RULES = RuleSet(BUILTIN)
KEY = b"the key of this installation"
KINDS = {"anthropic": Kind.MESSAGES, "openai_chat": Kind.CHAT, "openai_responses": Kind.RESPONSES}
# Put together here, so that nobody's scanner takes this file for a leak.
CANARIES = (
    "canary" + "@example.com",
    "sk-" + "ant-api03-" + "Ab1" * 8,
    "gh" + "p_" + "aB3" * 12,
    "DE89 3704 0044 0532 0130 00",
    "+49 30 12345678",
    "-----BEGIN " + "PRIVATE KEY-----\nMIIB/+a=\n-----END " + "PRIVATE KEY-----",
)


def redacted(kind: Kind, body: bytes, vault: Vault | None = None, rules: RuleSet = RULES) -> bytes:
    """The body as it leaves."""
    edits, _ = redact_request(kind, body, rules, vault or Vault(KEY))
    return splice(body, edits)


def decoded(body: bytes) -> str:
    """All that a body says, with nothing hidden behind an escape."""
    return "\n".join(_strings(json.loads(body)))


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
        try:
            inner = json.loads(value)
        except ValueError:
            return
        if isinstance(inner, dict | list):
            yield from _strings(inner)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


@st.composite
def salted(draw: st.DrawFn) -> str:
    """Text with secrets in it, surrounded by what ends none of them."""
    parts = draw(st.lists(words | st.sampled_from(CANARIES), min_size=1, max_size=4))
    return " | ".join(parts)
