"""Patchbay's own export as a plan. What is not exactly this format, of this version, is refused as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from backends.move_in.plan import Item, MoveInError, Plan
from backends.move_in.shapes import VERSION, Configuration, Shape

SOURCE = "Patchbay export"
S = TypeVar("S", bound=Shape)


class _Version(msgspec.Struct):
    patchbay: int


class _Marked(msgspec.Struct):
    patchbay: msgspec.Raw


def is_own(text: str) -> bool:
    """Whether a text is JSON with the mark of an export, of whatever version."""
    try:
        msgspec.json.decode(text.encode(), type=_Marked)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True


def parse_own(text: str) -> Plan:
    """The plan of an export. Raises MoveInError for another version, an unknown field or a wrong type."""
    _check_version(text)
    try:
        found = msgspec.json.decode(text.encode(), type=Configuration)
    except msgspec.ValidationError as exc:
        raise MoveInError(f"This export cannot be taken: {exc}. Nothing was changed.") from None
    return Plan(
        SOURCE,
        is_complete=True,
        backends=_items("backends", found.backends),
        oauth_providers=_items("oauthProviders", found.oauth_providers),
        accounts=_items("accounts", found.accounts),
        templates=_items("templates", found.templates),
        redaction_rules=_items("redactionRules", found.redaction_rules),
        prices=_items("prices", found.prices),
        routes=_items("routes", found.routes),
        client_keys=_items("clientKeys", found.client_keys),
    )


def _check_version(text: str) -> None:
    try:
        version = msgspec.json.decode(text.encode(), type=_Version).patchbay
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise MoveInError(
            f'This export cannot be read: it is no JSON with "patchbay": {VERSION}. Export again.'
        ) from None
    if version != VERSION:
        raise MoveInError(
            f"This export has version {version}; this Patchbay reads version {VERSION}. Import it with the Patchbay"
            " that wrote it, or a newer one."
        )


def _items(section: str, shapes: Sequence[S]) -> tuple[Item[S], ...]:
    return tuple(Item(shape, f"{section}[{index}]") for index, shape in enumerate(shapes))
