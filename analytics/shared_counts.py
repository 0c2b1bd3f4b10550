"""What all workers behind one port have counted, whichever of them is asked.

Rule: a worker writes down what it has counted before it tells anybody, so no count that was told is lost with it, and
its successor goes on from there: counters never go down while the first process lives. Of what waits at this moment
only those count that still listen. A server of one process writes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import NamedTuple, Protocol, TypeVar

import msgspec

from accounts.pool import pool
from accounts.waiting import room
from analytics.recorder import recorder
from analytics.tallies import Counts, Tallies, tallies
from backends.upstream import current_upstream

logger = logging.getLogger("patchbay.workers")
SECONDS = 1.0  # how old a note of another worker can be


class Board(Protocol):
    """Where each worker leaves a note that all of them can read, also after its end."""

    def post(self, note: bytes) -> None:
        """Replace this worker's note. Raises OSError; the one before stands then."""

    def own(self) -> bytes:
        """What was written last in this worker's place; empty at first."""

    def others(self) -> list[tuple[bytes, bool]]:
        """The other workers' notes, and whether who wrote it still listens."""


class Moment(NamedTuple):
    """How many wait or are open now: requests for an account, records for the database, connections to upstreams."""

    queued: int
    unwritten: int
    open: int
    idle: int


class Brief(msgspec.Struct, frozen=True, array_like=True):
    """What one worker, or all, have counted. `taken`: requests that have ended; `asked`: tries, by account's uid."""

    taken: int
    asked: dict[str, int]
    moment: Moment


class Note(Brief, frozen=True, array_like=True):
    """All that a worker writes. Who reads it as a `Brief` does not pay for the rest."""

    tallies: Counts


_encode = msgspec.msgpack.Encoder().encode
_brief, _whole = msgspec.msgpack.Decoder(Brief), msgspec.msgpack.Decoder(Note)
AnyNote = TypeVar("AnyNote", Brief, Note)
Told = list[tuple[AnyNote, bool]]  # and whether who wrote it listens


class SharedCounts:
    """For the event loop's thread. Alone, until it has joined others at a board."""

    def __init__(self) -> None:
        self._board: Board | None = None
        self._posted = b""
        self._is_refused = False

    @property
    def has_board(self) -> bool:
        """Whether there are other workers."""
        return self._board is not None

    def join(self, board: Board) -> None:
        """Go on from what the worker before in this place has counted. Once, before anything is counted."""
        self._board = board
        if (before := _read(board.own(), _whole)) is None:
            return
        tallies.add(before.tallies)
        recorder.taken += before.taken
        for uid, count in before.asked.items():
            pool.state.account(uid).requests += count

    async def keep(self) -> None:
        """Write it down every second."""
        while True:
            self.post()
            await asyncio.sleep(SECONDS)

    def post(self) -> None:
        """Write down what this process has counted, if that has changed."""
        if self._board is None or (note := _encode(_here())) == self._posted:
            return
        try:
            self._board.post(note)
        except OSError as exc:
            if not self._is_refused:
                logger.warning(
                    "Counts cannot be shared with the other workers (%s): those of /metrics are too low until they"
                    " can. Free some of this machine's memory.",
                    exc.strerror,
                )
            self._is_refused = True
            return
        self._posted, self._is_refused = note, False

    def whole(self) -> Note:
        """Of all workers; the others' as of a second ago. Not to be changed: it may be what is counted on."""
        if self._board is None:
            return _here()
        told, together = self._others(self._board, _whole), Tallies()
        for note, _ in [(here := _here(), True), *told]:
            together.add(note.tallies)
        brief = _sum([(here, True), *told])
        return Note(brief.taken, brief.asked, brief.moment, together.counts())

    def brief(self) -> Brief:
        """The same without the metrics."""
        if self._board is None:
            return _here()
        return _sum([(_here(), True), *self._others(self._board, _brief)])

    def _others(self, board: Board, decoder: msgspec.msgpack.Decoder[AnyNote]) -> Told[AnyNote]:
        """Asked for when this worker is about to tell a sum, so it writes its own share down first."""
        self.post()
        found = ((_read(data, decoder), is_there) for data, is_there in board.others())
        return [(note, is_there) for note, is_there in found if note is not None]


def _here() -> Note:
    """Of this process."""
    connections = current_upstream().transport.pool
    moment = Moment(len(room), recorder.waiting, connections.open_connections, connections.idle_connections)
    asked = {uid: state.requests for uid, state in pool.state.accounts.items() if state.requests}
    return Note(recorder.taken, asked, moment, tallies.counts())


def _read(data: bytes, decoder: msgspec.msgpack.Decoder[AnyNote]) -> AnyNote | None:
    """None where there is none yet, or one that another version wrote."""
    try:
        return decoder.decode(data) if data else None
    except msgspec.MsgspecError:
        return None


def _sum(told: Told[AnyNote]) -> Brief:
    asked = Counter[str]()
    for note, _ in told:
        asked.update(note.asked)
    moments = zip(*(note.moment for note, is_there in told if is_there), strict=True)
    return Brief(sum(note.taken for note, _ in told), asked, Moment(*map(sum, moments)))


shared_counts = SharedCounts()
