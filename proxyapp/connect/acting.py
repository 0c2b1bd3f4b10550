"""Connecting a tool and taking it back: the functions behind the command.

Rule: the key, the files and the note in the ledger come into being together or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from django.db import transaction

from accounts.key_services import key_add, key_revoke
from backends.services import ServiceError
from proxyapp.connect import files
from proxyapp.connect.ledger import SECRET_TEXT, Entry, Ledger, entry_of, shown, undo
from proxyapp.connect.parts import KEY_TO_COME, ConnectError, Place, Tool, Wish
from proxyapp.connect.showing import difference
from proxyapp.connect.wishes import Facts, free_key_name, key_in, wish_for


@dataclass(frozen=True, slots=True)
class Plan:
    """What a connect would do. `changes` are those files that do not say it already."""

    tool: Tool
    place: Place
    ledger: Ledger
    wish: Wish
    asked: tuple[str, ...]
    changes: tuple[files.Change, ...]
    makes_key: str = ""  # the name of the client key to make

    @property
    def lines(self) -> list[str]:
        """The difference, for people."""
        return [line for change in self.changes for line in _difference(change)]

    @property
    def texts(self) -> dict[str, str]:
        """path → the whole text as it would be, masked."""
        return {str(change.path): shown(change) for change in self.changes}

    @property
    def notes(self) -> list[str]:
        """What the tool's user has to know."""
        return self.tool.notes(self.place, self.wish)


def _difference(change: files.Change) -> list[str]:
    if change.is_secret:
        return [f"+++ {change.path}", f"+{SECRET_TEXT}"]
    before = "" if change.before is None else change.before.decode()
    return difference(before, change.after.decode(), str(change.path))


def make_plan(
    tool: Tool,
    place: Place,
    facts: Facts,
    *,
    asked: Sequence[str] = (),
    key: str = "",
    all_files: bool = False,
) -> Plan:
    """Look at the files and decide; changes nothing. Raises ConnectError.

    `asked` are models, by default those asked for the last time; `key` is one that a person gave. Otherwise, where
    Patchbay asks for keys, one that stands in the files already is kept, and else one is to be made. `all_files`:
    also those that would stay as they are.
    """
    ledger = Ledger(place.patchbay_home, tool.name)
    asked = tuple(asked or (ledger.last.models if ledger.last else ()))
    wish = wish_for(tool, facts, asked=asked, key=key or (KEY_TO_COME if facts.needs_key else ""))
    changes = _changes(tool, place, wish, ledger)
    if wish.key == KEY_TO_COME and (found := key_in((change.before or b"").decode() for change in changes)):
        wish = replace(wish, key=found)
        changes = _changes(tool, place, wish, ledger)
    makes_key = free_key_name(tool.name) if wish.key == KEY_TO_COME and tool.keeps_key else ""
    listed = tuple(change for change in changes if change.is_one or all_files)
    return Plan(tool, place, ledger, wish, asked, listed, makes_key)


def _changes(tool: Tool, place: Place, wish: Wish, ledger: Ledger) -> list[files.Change]:
    holds_key = bool(wish.key) and tool.keeps_key
    return files.plan(tool.edits(place, wish), holds_key=holds_key, base=ledger.base)


def carry_out(plan: Plan) -> tuple[Wish, list[files.Written]]:
    """Make the key, if one is to be made, and write the files. Returns the wish with its key. Raises ConnectError."""
    wish, written, entry = plan.wish, list[files.Written](), None
    try:
        with transaction.atomic():
            if plan.makes_key:
                wish = replace(wish, key=key_add(plan.makes_key)[1])
            changes = _changes(plan.tool, plan.place, wish, plan.ledger)
            written = files.apply(changes, datetime.now().astimezone())
            entry = entry_of(changes, written, models=plan.asked, key=plan.makes_key)
            plan.ledger.add(entry)
    except BaseException as exc:
        for one in reversed(written):
            files.restore(one)
        if entry is not None and plan.ledger.last == entry:
            plan.ledger.drop_last()
        if isinstance(exc, OSError):
            raise ConnectError(
                f"{exc.filename} cannot be written: {exc.strerror}. Nothing was changed."
            ) from exc
        raise
    return wish, written


def take_back(tool: Tool, place: Place) -> Entry:
    """Undo the last connect of a tool, and revoke the key that was made for it. Raises ConnectError."""
    ledger = Ledger(place.patchbay_home, tool.name)
    entry = ledger.last
    if entry is None:
        raise ConnectError(f"There is nothing to undo: {tool.title} is not connected by this Patchbay.")
    undo(entry)
    ledger.drop_last()
    if entry.key:
        with suppress(ServiceError):  # it may be gone already
            key_revoke(entry.key)
    return entry
