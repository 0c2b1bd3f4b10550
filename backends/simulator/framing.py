"""An outcome onto the wire: the head, the framing of the body, and every scripted way to get them wrong."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from backends.simulator.headers import Fields, head
from backends.simulator.script import Script
from backends.simulator.service import Outcome
from backends.simulator.steps import (
    End,
    Step,
    Steps,
    bomb,
    chunked,
    delayed,
    ended,
    gzipped,
    limited,
    sliced,
)
from backends.simulator.streaming import bent, steps_of

_SPLIT_PAUSE = 0.02
_DRIP_PAUSE = 0.2
_INTERIM_PAUSE = 0.05


def connection_fault(script: Script) -> Steps | None:
    """The steps of an answer that never becomes one, if the script wants that."""
    match script.connection:
        case "refuse":
            return iter((Step(b"", script.ttfb, end=End.RST),))
        case "eof-before" | "eof-after-request" | "commit-then-drop":
            return iter((Step(b"", script.ttfb, end=End.RST if script.rst else End.FIN),))
        case "hang" | "accept-no-read" | "commit-then-hang":
            return iter((Step(b"", end=End.HANG),))
        case "1xx-forever":
            pause = _INTERIM_PAUSE if script.gap is None else script.gap
            return itertools.repeat(Step(b"HTTP/1.1 103 Early Hints\r\n\r\n", pause))
    return None


def steps(
    outcome: Outcome, script: Script, *, gap: float, keep_alive: bool, http11: bool, bodiless: bool
) -> Steps:
    """Everything that is sent for this outcome, and how the connection ends if it must.

    `bodiless`: the request was a HEAD, so only the head is sent.
    """
    plain = script == _PLAIN
    if plain and outcome.body is not None and not bodiless and not outcome.split:
        start = head(outcome.status, _fields(outcome, script, keep_alive, len(outcome.body)))
        return iter((Step(start + outcome.body, end=None if keep_alive else End.CLOSE),))
    by_close = script.framing == "close-delimited" or not http11
    length, payload = _payload(outcome, script, gap)
    if length is not None and by_close:
        length = None
    keep_alive = keep_alive and not (by_close or script.close)
    fields = _fields(outcome, script, keep_alive, length, chunks=not by_close)
    body = iter(()) if bodiless else _framed(payload, script, chunks=length is None and not by_close)
    whole = itertools.chain(_head_steps(head(outcome.status, fields, clock=script.clock), script), body)
    return _finished(whole, script, keep_alive)


_PLAIN = Script()


def _finished(whole: Steps, script: Script, keep_alive: bool) -> Steps:
    if script.done_then_hang:
        whole = ended(whole, End.HANG)
    elif not keep_alive:
        whole = ended(whole, End.CLOSE)
    if script.rst_at is not None:
        whole = limited(whole, script.rst_at, End.RST)
    return delayed(whole, script.ttfb) if script.ttfb else whole


def _payload(outcome: Outcome, script: Script, gap: float) -> tuple[int | None, Steps]:
    """Length of the body if it is known before, and its steps."""
    if script.gzip_bomb:
        return None, bomb(script.gzip_bomb)
    length, payload = _content(outcome, script, gap)
    if script.gzip:
        return None, gzipped(payload, broken=script.gzip == "broken")
    return length, payload


def _content(outcome: Outcome, script: Script, gap: float) -> tuple[int | None, Steps]:
    if outcome.events is not None and outcome.error is not None:
        return None, steps_of(bent(outcome.events, script, outcome.error), script, gap)
    body = outcome.body or b""
    if outcome.split:
        at = body.find(outcome.split) + len(outcome.split) // 2
        return None, iter((Step(body[:at]), Step(body[at:], _SPLIT_PAUSE)))
    end = End.RST if script.rst else End.FIN
    if script.cut_at is not None:
        return len(body), limited(iter((Step(body),)), len(body) // 2, end)
    if script.stall_at is not None:
        return len(body), limited(iter((Step(body),)), len(body) // 2, End.HANG)
    return len(body), iter((Step(body),))


def _framed(payload: Steps, script: Script, *, chunks: bool) -> Steps:
    if script.cut_bytes is not None:
        payload = limited(payload, script.cut_bytes, End.RST if script.rst else End.FIN)
    if script.drip is not None:
        payload = sliced(payload, *script.drip)
    if script.done_then_hang:
        payload = ended(payload, End.HANG)
    if chunks or script.framing in ("cl-te", "bad-chunk"):
        return chunked(payload, broken=script.framing == "bad-chunk")
    return payload


def _fields(
    outcome: Outcome, script: Script, keep_alive: bool, length: int | None, *, chunks: bool = True
) -> Fields:
    fields: list[tuple[str, str]] = [("content-type", outcome.content_type)]
    if outcome.events is not None:
        fields.append(("cache-control", "no-cache"))
    if script.gzip or script.gzip_bomb:
        fields.append(("content-encoding", "gzip"))
    fields += _framing_fields(script, length, chunks)
    if not keep_alive:
        fields.append(("connection", "close"))
    if script.header_huge:
        fields.append(("x-filler", "x" * script.header_huge))
    return (*fields, *outcome.fields)


def _framing_fields(script: Script, length: int | None, chunks: bool) -> Iterator[tuple[str, str]]:
    if length is not None and script.framing != "bad-chunk":
        yield "content-length", str(length)
    if script.framing == "dup-cl":
        yield "content-length", str((length or 0) + 1)
    if script.framing == "cl-te" and length is None:
        yield "content-length", "5"
    if (length is None and chunks) or script.framing in ("cl-te", "bad-chunk"):
        yield "transfer-encoding", "chunked"


def _head_steps(start: bytes, script: Script) -> Steps:
    if script.connection == "header-drip":
        return sliced(iter((Step(start),)), 1, _DRIP_PAUSE if script.gap is None else script.gap)
    return iter((Step(start),))
