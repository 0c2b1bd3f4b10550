"""The way down, for whole answers: placeholders become the values again."""

from __future__ import annotations

import re

from backends.wire.redaction.content import Level, Slot, answer_slots
from backends.wire.redaction.strings import inner_spans, parse, quoted
from backends.wire.redaction.vault import MARK, SHAPE, Vault
from backends.wire.splice import splice

_TEXTS = frozenset({"text", "content", "delta"})


def restore_body(body: bytes, vault: Vault) -> bytes:
    """A whole answer, or an error, with the values back in place; the same object where there is nothing to restore."""
    if vault.is_empty or MARK not in body:
        return body
    try:
        slots = answer_slots(parse(body))
    except (ValueError, RecursionError):
        return body
    quotes = inner_spans(body)
    edits = []
    for slot in slots:
        start, end = quotes[2 * slot.ordinal] + 1, quotes[2 * slot.ordinal + 1]
        raw = body[start:end]
        restored = restore_raw(raw, levels_of(slot, vault), vault)
        if restored is not raw:
            edits.append((start, end, restored))
    return splice(body, edits) if edits else body


def levels_of(slot: Slot, vault: Vault) -> int:
    """How many levels of JSON strings a value has to be escaped for in this string."""
    is_json = slot.level is Level.TEXT and vault.answers_json and slot.path and slot.path[-1] in _TEXTS
    return 2 if is_json or slot.level is Level.JSON else 1


def restore_raw(raw: bytes, levels: int, vault: Vault) -> bytes:
    """The raw spelling of a string with values for placeholders. No JSON encoder escapes what those are made of."""
    if MARK not in raw:
        return raw

    def value_of(match: re.Match[bytes]) -> bytes:
        value = vault.value(match[0])
        return match[0] if value is None else quoted(value, levels)

    restored = SHAPE.sub(value_of, raw)
    return raw if restored == raw else restored
