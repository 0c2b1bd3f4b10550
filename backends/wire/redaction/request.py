"""The way up: matches in a request's content become placeholders, as edits of its bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from backends.wire.kinds import Kind
from backends.wire.redaction.content import Level, Path, Slot, request_slots, value_slots, wants_json
from backends.wire.redaction.rules import Match, RuleSet, merged
from backends.wire.redaction.strings import Span, inner_spans, parse, raw_offsets
from backends.wire.redaction.vault import Vault
from backends.wire.shapes import BadBody

Edit = tuple[int, int, bytes]
_MOST_WITH_KEY = 512  # a value as long as that is no password
_CONTEXT = 24  # characters of a preview on each side


class Finding(NamedTuple):
    """One replaced value, without the value. `path` ends where a tool's input begins, since keys may be secret too.

    `preview`, of a dry run: the value masked, and a little of what stands around it.
    """

    path: str
    rule: str
    type: str
    placeholder: str
    preview: str = ""


class _Change(NamedTuple):
    """A match in one string. `text`: what the string says, in UTF-8; `span`: the match in the text it was found in."""

    slot: Slot
    text: bytes
    match: Match
    placeholder: bytes


def redact_request(kind: Kind, body: bytes, rules: RuleSet, vault: Vault) -> tuple[list[Edit], list[Finding]]:
    """The edits for `splice` that take every match out of a request's content, and what was found.

    Both are empty where nothing matches: then the body goes as it came. Fills `vault`, which the answer needs. The
    same text gives the same bytes in every request, so a conversation's earlier turns keep their prompt cache.
    `body` is one that `peek` has let pass; raises BadBody for what is no JSON, since that cannot be searched.
    """
    edits, changes = _redact(kind, body, rules, vault)
    return edits, _findings(changes)


def dry_run(kind: Kind, body: bytes, rules: RuleSet, key: bytes = b"") -> list[Finding]:
    """What a request would lose, for a page that shows it. `key`: the installation's, to show the real placeholders."""
    _, changes = _redact(kind, body, rules, Vault(key))
    return _with_previews(changes)


def redact_text(text: str, rules: RuleSet, vault: Vault) -> tuple[str, list[Finding]]:
    """The same for plain text, such as a sample in a form; the same object if nothing matches."""
    data = text.encode("utf-8", "surrogatepass")
    changes = [*_changes(Slot(0, (), text, Level.TEXT), data, rules, vault)]
    if not changes:
        return text, []
    pieces: list[bytes] = []
    at = 0
    for change in changes:
        pieces += (data[at : change.match.start], change.placeholder)
        at = change.match.end
    pieces.append(data[at:])
    return b"".join(pieces).decode("utf-8", "surrogatepass"), _with_previews(changes)


def _redact(kind: Kind, body: bytes, rules: RuleSet, vault: Vault) -> tuple[list[Edit], list[_Change]]:
    if not rules:
        return [], []
    try:
        tree = parse(body)
        slots = request_slots(kind, tree)
    except (ValueError, RecursionError):
        raise BadBody(
            "The body is not valid JSON, so nothing can be redacted in it. Send one JSON object."
        ) from None
    found = [(slot, *place) for slot in slots if (place := _in_slot(slot, rules, vault))[0]]
    if not found:
        return [], []
    vault.answers_json = vault.answers_json or wants_json(kind, tree)
    quotes = inner_spans(body)
    edits: list[Edit] = []
    for slot, spans, changes in found:
        edits += _edits(body, quotes, slot.ordinal, spans, changes)
    return edits, [change for _, _, changes in found for change in changes]


def _in_slot(slot: Slot, rules: RuleSet, vault: Vault) -> tuple[list[Span], list[_Change]]:
    """The changes in one string, and where in its UTF-8 they go."""
    text = slot.text.encode("utf-8", "surrogatepass")
    if slot.level is Level.JSON and (inner := _inner_slots(text)) is not None:
        return _in_json(slot, text, inner, rules, vault)
    changes = [*_changes(slot, text, rules, vault)]
    return [(change.match.start, change.match.end) for change in changes], changes


def _inner_slots(text: bytes) -> list[Slot] | None:
    """The strings of JSON inside a string, None if it is not the JSON that it should be."""
    try:
        return value_slots(parse(text))
    except (ValueError, RecursionError):
        return None


def _in_json(
    slot: Slot, text: bytes, inner: list[Slot], rules: RuleSet, vault: Vault
) -> tuple[list[Span], list[_Change]]:
    spans: list[Span] = []
    changes: list[_Change] = []
    quotes: list[int] = []
    for part in inner:
        value = part.text.encode("utf-8", "surrogatepass")
        found = [*_changes(slot._replace(key=part.key), value, rules, vault)]
        if found:
            quotes = quotes or inner_spans(text)
            places = [(change.match.start, change.match.end) for change in found]
            spans += _raw_spans(text, quotes, part.ordinal, places)
            changes += found
    return spans, changes


def _changes(slot: Slot, text: bytes, rules: RuleSet, vault: Vault) -> Iterator[_Change]:
    for match in _matches(slot.key, text, rules):
        yield _Change(slot, text, match, vault.placeholder(match.rule.label, text[match.start : match.end]))


def _matches(key: str, text: bytes, rules: RuleSet) -> list[Match]:
    """Matches in the text. A short value in a tool's input is also read as `key=value`: its key may say what it is."""
    found = rules.find(text)
    if not key or len(text) > _MOST_WITH_KEY:
        return found
    head = key.encode("utf-8", "surrogatepass") + b"="
    size = len(head)
    named = [match for match in rules.find(head + text) if match.end > size]
    if not named:
        return found
    inside = [Match(max(0, match.start - size), match.end - size, match.rule) for match in named]
    return merged((match.start, match.end, 0, match.rule) for match in (*found, *inside))


def _edits(
    body: bytes, quotes: list[int], ordinal: int, spans: list[Span], changes: list[_Change]
) -> Iterator[Edit]:
    for (start, end), change in zip(_raw_spans(body, quotes, ordinal, spans), changes, strict=True):
        yield start, end, change.placeholder


def _raw_spans(text: bytes, quotes: list[int], ordinal: int, spans: list[Span]) -> list[Span]:
    """Spans in what string `ordinal` says, as spans in the JSON text that holds it."""
    start, end = quotes[2 * ordinal] + 1, quotes[2 * ordinal + 1]
    offsets = raw_offsets(text[start:end], [offset for span in spans for offset in span])
    return [(start + offsets[at], start + offsets[at + 1]) for at in range(0, len(offsets), 2)]


def _findings(changes: list[_Change]) -> list[Finding]:
    path_of = {change.slot.path: _spelled(change.slot.path) for change in changes}
    return [
        Finding(path_of[slot.path], match.rule.name, match.rule.label, placeholder.decode())
        for slot, _, match, placeholder in changes
    ]


def _spelled(path: Path) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def _with_previews(changes: list[_Change]) -> list[Finding]:
    findings = []
    for at, (change, finding) in enumerate(zip(changes, _findings(changes), strict=True)):
        before = changes[at - 1] if at else None
        after = changes[at + 1] if at + 1 < len(changes) else None
        start = before.match.end if before and before.text is change.text else 0
        end = after.match.start if after and after.text is change.text else len(change.text)
        findings.append(finding._replace(preview=_preview(change, start, end)))
    return findings


def _preview(change: _Change, start: int, end: int) -> str:
    """The masked value between what stands around it, which does not reach into another value."""
    text, match = change.text, change.match
    before = text[max(start, match.start - 4 * _CONTEXT) : match.start].decode("utf-8", "ignore")[-_CONTEXT:]
    after = text[match.end : min(end, match.end + 4 * _CONTEXT)].decode("utf-8", "ignore")[:_CONTEXT]
    value = text[match.start : match.end].decode("utf-8", "replace")
    shown = value[:2] if len(value) >= 12 else ""
    return f"{before}[{shown}…, {len(value)} characters]{after}"
