"""Server-sent events onto the wire, with the scripted departures from a good stream."""

from __future__ import annotations

from collections.abc import Callable

from backends.simulator.events import Event, Events, Part
from backends.simulator.reply import UTF8_MARK
from backends.simulator.script import Script
from backends.simulator.steps import End, Step, Steps

_MARK = UTF8_MARK.encode()
ErrorEvent = Callable[[int], Event]
"""Makes the protocol's error event; the argument is how many events were sent before it."""


def unmark(data: bytes) -> bytes:
    """Put the bad byte where the mark stands."""
    return data.replace(_MARK, b"\xff")


def bent(events: Events, script: Script, error: ErrorEvent) -> Events:
    """The events that the script lets through, and the error event it puts among them."""
    if script.error_at is None and not (script.no_terminal or script.no_done or script.bad_json_at):
        yield from events
        return
    for number, event in enumerate(events):
        if number == script.error_at:
            break
        if script.no_terminal and event.part is Part.TERMINAL:
            return
        if script.no_done and event.part is Part.DONE:
            return
        spoil = number + 1 == script.bad_json_at
        yield event._replace(data=event.data[: len(event.data) // 2]) if spoil else event
    if script.error_at is not None:
        yield error(script.error_at)


def steps_of(events: Events, script: Script, gap: float) -> Steps:
    """One step for each event, until the script cuts or stalls."""
    cut, stall = script.cut_at, script.stall_at
    write = _plain if _is_plain(script) else _Writer(script).write
    if cut is None and stall is None and not gap:
        for event in events:
            yield Step(write(event), 0.0, 1)
        return
    for sent, event in enumerate(events):
        if sent == cut:
            break
        if sent == stall:
            yield Step(b"", end=End.HANG)
            return
        yield Step(write(event), gap if event.part is Part.CONTENT else 0.0, 1)
    if cut is not None:
        yield Step(b"", end=End.RST if script.rst else End.FIN)


def _plain(event: Event) -> bytes:
    if event.name:
        return b"event: %b\ndata: %b\n\n" % (event.name, event.data)
    return b"data: %b\n\n" % event.data


def _is_plain(script: Script) -> bool:
    odd = script.bom or script.multi_data or script.comments or script.no_space or script.bad_utf8
    return script.newline == "lf" and not odd


class _Writer:
    """Writes events in the odd but legal ways that a reader must accept."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._newline = {"lf": b"\n", "crlf": b"\r\n", "cr": b"\r"}[script.newline]
        self._first = True

    def write(self, event: Event) -> bytes:
        script = self._script
        colon = b":" if script.no_space else b": "
        data = event.data
        lines = [data[:1], data[1:]] if script.multi_data and data[:1] == b"{" else [data]
        parts = [b"event" + colon + event.name] if event.name else []
        parts += [b"data" + colon + line for line in lines]
        if script.comments:
            parts = [b": the simulator is still here", b"", *parts]
        whole = self._newline.join(parts) + self._newline * 2
        if self._first and script.bom:
            whole = b"\xef\xbb\xbf" + whole
        self._first = False
        return unmark(whole)
