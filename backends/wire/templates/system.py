"""The system prompt: something before it, something behind it, or another in its place, in each protocol's own words.

Rule: a text grows inside its string, a list of blocks by a block of its own, so that the client's blocks and their
cache marks stay as they are. What belongs to the system prompt: Anthropic's `system`; in Chat the messages by `system`
or `developer` that come first; in Responses `instructions` and the messages by those that come first.
"""

from __future__ import annotations

from backends.wire.kinds import Kind
from backends.wire.spans import Member
from backends.wire.splice import json_string
from backends.wire.templates.draft import Draft, encoded, list_edits
from backends.wire.templates.layout import Span, entries_of, members_of, text_at
from backends.wire.templates.spec import SystemRule

_BETWEEN = "\n\n"
_SPEAKERS = ("system", "developer")


def put_system(draft: Draft, rule: SystemRule, kind: Kind) -> None:
    """Apply the rule to a request of this kind."""
    if rule.is_empty:
        return
    if kind is Kind.CHAT:
        _chat(draft, rule)
    elif kind is Kind.RESPONSES:
        _responses(draft, rule)
    else:
        _field(draft, rule, "system")


def _field(draft: Draft, rule: SystemRule, name: str) -> None:
    """A top-level field that holds the whole system prompt."""
    found = draft.all_of(name)
    if rule.replace == "":
        changed = bool(found and draft.top.drop(name))
    elif rule.replace is not None or not found:
        changed = draft.top.put(name, json_string(rule.alone))
    else:
        grown = [_into(draft, (member.at, member.end), rule, "text") for member in found]
        changed = any(grown)
    if changed:
        draft.note(f"$.{name}")


def _into(draft: Draft, span: Span, rule: SystemRule, block: str) -> bool:
    """Before and behind a text, or the blocks, that stand at `span`; False if it is neither."""
    start, end = span
    opening = draft.body[start : start + 1]
    if opening == b'"':
        _into_text(draft, start, end, rule)
    elif opening == b"[":
        first = [_block(block, text) for text in (rule.prepend,) if text]
        last = [_block(block, text) for text in (rule.append,) if text]
        for edit in list_edits(draft.body, start, end, first=first, last=last):
            draft.edit(*edit)
    return opening in (b'"', b"[")


def _into_text(draft: Draft, start: int, end: int, rule: SystemRule) -> None:
    if end - start == 2:
        draft.edit(start, end, json_string(rule.alone))
        return
    if rule.prepend:
        draft.edit(start + 1, start + 1, json_string(rule.prepend + _BETWEEN)[1:-1])
    if rule.append:
        draft.edit(end - 1, end - 1, json_string(_BETWEEN + rule.append)[1:-1])


def _block(kind: str, text: str) -> bytes:
    return encoded({"type": kind, "text": text})


# --- messages by system or developer -----------------------------------------------------------------------------


def _chat(draft: Draft, rule: SystemRule) -> None:
    for member in draft.all_of("messages"):
        spans = entries_of(draft.body, member.at, member.end)
        leading = _leading(draft, spans)
        if rule.replace is not None:
            _replace(draft, member, spans, leading, rule.replace)
        elif leading:
            _grow(draft, member, leading, rule)
        else:
            _open(draft, member, rule.alone)


def _grow(draft: Draft, member: Member, leading: list[list[Member]], rule: SystemRule) -> None:
    """Before the first and behind the last of the leading messages."""
    last = len(leading) - 1
    parts = [(0, rule.only_prepend), (last, rule.only_append)] if last else [(0, rule)]
    for index, part in parts:
        place = _content(leading[index])
        if part.is_empty:
            continue
        if place is not None and _into(draft, place, part, "text"):
            draft.note(f"$.messages[{index}].content")
        else:
            _open(draft, member, part.alone)


def _open(draft: Draft, member: Member, text: str) -> None:
    """A system message of our own before all others."""
    for edit in list_edits(draft.body, member.at, member.end, first=[_message("system", text)]):
        draft.edit(*edit)
    draft.note("$.messages[0]")


def _replace(draft: Draft, member: Member, spans: list[Span], leading: list[list[Member]], text: str) -> None:
    """One system message, or none, in place of those that lead."""
    if not leading:
        if text:
            _open(draft, member, text)
        return
    if len(leading) == 1 and text and _says(draft, leading[0], text):
        return
    if text:
        role = _text(draft, leading[0], "role") or "system"
        draft.edit(spans[0][0], spans[len(leading) - 1][1], _message(role, text))
    else:
        draft.edit(*_cut(spans, len(leading)), b"")
    for index in range(len(leading)):
        draft.note(f"$.messages[{index}]")


def _says(draft: Draft, message: list[Member], text: str) -> bool:
    return len(message) == 2 and _text(draft, message, "content") == text


def _message(role: str, text: str) -> bytes:
    return encoded({"role": role, "content": text})


# --- Responses ---------------------------------------------------------------------------------------------------


def _responses(draft: Draft, rule: SystemRule) -> None:
    """A client may send its prompt as `instructions`, as leading messages, or both (Codex: messages only)."""
    if rule.replace is not None:
        _drop_leading(draft)
        _field(draft, rule, "instructions")
        return
    has_own = any(draft.text(member) for member in draft.all_of("instructions"))
    if rule.append and not has_own and _behind_messages(draft, rule):
        rule = rule.only_prepend
    if not rule.is_empty:
        _field(draft, rule, "instructions")


def _behind_messages(draft: Draft, rule: SystemRule) -> bool:
    for member in draft.all_of("input"):
        leading = _leading(draft, entries_of(draft.body, member.at, member.end))
        place = _content(leading[-1]) if leading else None
        if place is not None and _into(draft, place, rule.only_append, "input_text"):
            draft.note(f"$.input[{len(leading) - 1}].content")
            return True
    return False


def _drop_leading(draft: Draft) -> None:
    for member in draft.all_of("input"):
        spans = entries_of(draft.body, member.at, member.end)
        leading = _leading(draft, spans)
        if leading:
            draft.edit(*_cut(spans, len(leading)), b"")
        for index in range(len(leading)):
            draft.note(f"$.input[{index}]")


# --- helpers -----------------------------------------------------------------------------------------------------


def _leading(draft: Draft, spans: list[Span]) -> list[list[Member]]:
    """The members of each message by `system` or `developer` before anybody else speaks."""
    found = []
    for start, end in spans:
        members = members_of(draft.body, start, end)
        if _text(draft, members, "role") not in _SPEAKERS:
            break
        found.append(members)
    return found


def _cut(spans: list[Span], count: int) -> Span:
    """The first entries of a list, with the comma behind them."""
    return (spans[0][0], spans[count][0] if count < len(spans) else spans[count - 1][1])


def _content(message: list[Member]) -> Span | None:
    return next(((member.at, member.end) for member in message if member.name == "content"), None)


def _text(draft: Draft, members: list[Member], name: str) -> str | None:
    found = [member for member in members if member.name == name]
    return text_at(draft.body, found[-1].at, found[-1].end) if found else None
