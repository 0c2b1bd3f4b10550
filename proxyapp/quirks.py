"""What backends refuse by name: left out before a request goes up, learnt from errors, written down in the background.

A quirk is learnt when the request, sent again without the thing, got further: a good answer, or an error about
something else. Under `--passthrough` nothing is left out and nothing is learnt.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.db import DatabaseError

from accounts.snapshot import keeper
from backends.routing import Target
from backends.services import quirks_learn
from backends.tasks import in_database_thread, spawn
from backends.wire.kinds import Kind
from backends.wire.quirks import Quirk, without
from backends.wire.refusals import refused_parts
from proxyapp.call import ClientCall
from proxyapp.lane import Outgoing

logger = logging.getLogger("patchbay.quirks")
MOST_FRESH = 1000
Name = tuple[str, str]
"""A backend, and a model in lower case."""


@dataclass
class QuirkMemory:
    """What was learnt and is not in the snapshot yet."""

    _fresh: dict[Name, dict[Quirk, str]] = field(default_factory=dict)

    def known(self, target: Target) -> set[Quirk]:
        """Everything that this backend is known to refuse for this model."""
        return {*target.backend.quirks_of(target.model), *self._fresh.get(name_of(target), ())}

    def learn(self, target: Target, found: Mapping[Quirk, str]) -> None:
        """Remember what is new of this, with what the backend said of it; it counts from now on."""
        known = self.known(target)
        new = {quirk: said for quirk, said in found.items() if quirk not in known}
        if not new:
            return
        if len(self._fresh) >= MOST_FRESH:
            self._fresh.clear()
        name = name_of(target)
        self._fresh.setdefault(name, {}).update(new)
        listed = ", ".join(quirk.name for quirk in new)
        logger.info(
            "Backend %s does not take %s for %s; it is left out from now on.", name[0], listed, name[1]
        )
        spawn(self._store(name, new), name="quirks-store")

    async def _store(self, name: Name, new: Mapping[Quirk, str]) -> None:
        """Into the database, and into the snapshot; until then they count from here."""

        def write() -> None:
            for quirk, said in new.items():
                quirks_learn(*name, [quirk], said)
            keeper.reload()

        try:
            await in_database_thread(write)
        except DatabaseError:
            logger.exception(
                "Quirks of backend %s cannot be stored; they are lost at the next start.", name[0]
            )
            return
        fresh = self._fresh.get(name, {})
        for quirk in new:
            fresh.pop(quirk, None)
        if not fresh:
            self._fresh.pop(name, None)


quirk_memory = QuirkMemory()


def name_of(target: Target) -> Name:
    """What a quirk is remembered under."""
    return (target.backend.name, target.model.strip().lower())


def leave_out(call: ClientCall, target: Target, kind: Kind, going: Outgoing) -> None:
    """Take out of a request what its backend is known to refuse, before or since this request began."""
    if call.snapshot.routing.passthrough:
        return
    quirks = quirk_memory.known(target) | call.refused.get(name_of(target), {}).keys()
    if quirks:
        sent = without(sorted(quirks), kind, going.body, going.headers)
        going.body, going.headers = sent.body, sent.headers
        going.mutations += sent.mutations


def newly_refused(
    call: ClientCall, target: Target, kind: Kind, going: Outgoing, status: int, answer: bytes
) -> tuple[Quirk, ...]:
    """What this error refuses by name, and the request as sent still held."""
    if call.snapshot.routing.passthrough:
        return ()
    before = call.refused.get(name_of(target), {})
    found = refused_parts(status, answer, kind, going.body, going.headers)
    return tuple(quirk for quirk in found if quirk not in before)


def note(call: ClientCall, target: Target, refused: tuple[Quirk, ...], said: str, *, is_good: bool) -> None:
    """After an attempt. Earlier refusals are learnt if it was answered well or stumbled over something else."""
    before = call.refused.get(name_of(target))
    if before and (is_good or refused):
        quirk_memory.learn(target, before)
    if refused:
        call.refused.setdefault(name_of(target), {}).update(dict.fromkeys(refused, said))
