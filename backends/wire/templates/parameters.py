"""Default and forced parameters: the neutral ones under each protocol's own name, all others as they are written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from backends.wire.kinds import Kind
from backends.wire.target import Target
from backends.wire.templates.draft import Draft, ObjectDraft, encoded
from backends.wire.templates.fields import NEUTRAL
from backends.wire.templates.spec import Json, Template

_LIMITS = ("max_completion_tokens", "max_tokens")
_MESSAGES = {"stop": "stop_sequences", "reasoning_effort": "output_config.effort"}
_RESPONSES = {
    "max_tokens": "max_output_tokens",
    "reasoning_effort": "reasoning.effort",
    "top_k": "",
    "stop": "",
}
_COMPLETIONS = {"reasoning_effort": ""}
_NOTHING = dict.fromkeys(NEUTRAL, "")
_OWN_NAMES: dict[Kind, dict[str, str]] = {
    Kind.MESSAGES: _MESSAGES,
    Kind.CHAT: {},
    Kind.RESPONSES: _RESPONSES,
    Kind.COMPLETIONS: _COMPLETIONS,
    Kind.EMBEDDINGS: _NOTHING,
}


class _Setting(NamedTuple):
    """One parameter under the protocol's own name. `value` None: it goes."""

    name: str
    value: Json
    is_forced: bool


def put_parameters(draft: Draft, template: Template, kind: Kind, target: Target) -> None:
    """Set what the template says, for a request of this kind. Counting takes no parameters."""
    if kind not in _OWN_NAMES:
        return
    for is_forced, named in ((False, template.default), (True, template.force)):
        for name, value in named:
            for own, given in _as_named(draft, name, value, kind, target):
                setting = _Setting(own, given, is_forced)
                if _set_part(draft, setting) if "." in own else _set(draft.top, own, setting):
                    draft.note(f"$.{own}")


def _as_named(draft: Draft, name: str, value: Json, kind: Kind, target: Target) -> Iterator[tuple[str, Json]]:
    """The protocol's own names for a parameter, and its value there; nothing if the protocol has no such thing."""
    if name not in NEUTRAL:
        yield name, value
        return
    own = _OWN_NAMES[kind].get(name, name)
    if kind is Kind.CHAT and name == "max_tokens":
        there = [limit for limit in _LIMITS if draft.all_of(limit)]
        yield from ((limit, value) for limit in there or [target.max_tokens_field])
        return
    if kind is Kind.CHAT and name == "reasoning_effort" and target.quirks.effort_style == "openrouter":
        own = "reasoning.effort"
    if name == "top_k" and kind is not Kind.MESSAGES and target.preset and not target.quirks.top_k:
        own = ""
    if kind is Kind.MESSAGES:
        own, value = _for_messages(own, name, value)
    if own:
        yield own, value


def _for_messages(own: str, name: str, value: Json) -> tuple[str, Json]:
    if name == "stop" and isinstance(value, str):
        return own, [value]
    if name == "reasoning_effort":  # there is no "minimal" here, and "none" is another parameter
        return ("", None) if value == "none" else (own, "low" if value == "minimal" else value)
    if name == "max_tokens" and value is None:  # the one parameter that this protocol demands
        return "", None
    return own, value


def _set(there: ObjectDraft, name: str, setting: _Setting) -> bool:
    """Set a member of an object; whether that changed anything."""
    if setting.value is None:
        return bool(there.drop(name))
    return (setting.is_forced or not there.all_of(name)) and there.put(name, encoded(setting.value))


def _set_part(draft: Draft, setting: _Setting) -> bool:
    """The same inside a top-level object. What is no object is left alone: the backend has a word for it."""
    parent, _, part = setting.name.partition(".")
    found = draft.all_of(parent)
    if not found:
        return setting.value is not None and draft.add_part(parent, part, encoded(setting.value))
    objects = [inner for member in found if (inner := draft.inside(member)) is not None]
    changed = [_set(inner, part, setting) for inner in objects]
    return any(changed)
