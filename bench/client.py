"""The load generator's HTTP/1.1 client: one connection, one request at a time, every answer checked whole.

Rule: as little work as exactness allows; the parser is C, the body is only looked at when it is complete.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import cast

import httptools
import msgspec

from bench.jobs import Ask, Target

ANSWER_SECONDS = 60.0
_CONTENTS = {
    "chat": re.compile(rb'"content":\s?"[^"]'),
    "messages": re.compile(rb'"type":\s?"text_delta"'),
}
_CONTENT = re.compile(b"|".join(pattern.pattern for pattern in _CONTENTS.values()))
_DONE = {
    "chat": re.compile(rb"data: \[DONE\]\s*$"),
    "messages": re.compile(rb'"type":\s?"message_stop"\s?\}\s*$'),
}


class BadAnswer(Exception):
    """An answer that is not the whole, right answer. The text is short, so that equal ones can be counted."""


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]


class _Block(msgspec.Struct):
    text: str | None = None


class _Reply(msgspec.Struct):
    content: list[_Block]
    stop_reason: str | None = None


_read_reply = msgspec.json.Decoder(_Reply).decode
_read_completion = msgspec.json.Decoder(_Completion).decode


@dataclass(slots=True)
class Answer:
    """One answer while it arrives. Times are `perf_counter` seconds."""

    status: int = 0
    parts: list[bytes] = field(default_factory=list)
    first_at: float = 0.0
    ended_at: float = 0.0


class Connection(asyncio.Protocol):
    """A keep-alive connection to one target; of no more use once it `is_closed`."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.is_closed = False
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._answer = Answer()
        self._parser = httptools.HttpResponseParser(self)

    async def ask(self, request: bytes) -> Answer:
        """Send `request` and wait for the end of the answer. Raises OSError, TimeoutError or BadAnswer."""
        loop = asyncio.get_running_loop()
        if self._transport is None:
            await loop.create_connection(lambda: self, "127.0.0.1", self.target.port)
        assert self._transport is not None
        self._answer = Answer()
        self._waiter = loop.create_future()
        self._transport.write(request)
        timer = loop.call_later(ANSWER_SECONDS, self._fail, TimeoutError("no whole answer in time"))
        try:
            return await self._waiter
        except BaseException:
            self.close()
            raise
        finally:
            timer.cancel()

    def close(self) -> None:
        """Drop the connection."""
        self.is_closed = True
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class is not derived from it

    def data_received(self, data: bytes) -> None:
        """Bytes of an answer."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as exc:
            self._fail(BadAnswer(f"broken HTTP: {exc}"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed by the other side, or by us."""
        self.is_closed = True
        self._fail(exc or ConnectionError("closed before the answer was complete"))

    def _fail(self, exc: Exception) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(exc)

    # --- httptools ----------------------------------------------------------------------------------------

    def on_body(self, body: bytes) -> None:
        """A piece of the body, framing removed."""
        answer = self._answer
        answer.parts.append(body)
        if not answer.first_at and _CONTENT.search(body):
            answer.first_at = time.perf_counter()

    def on_message_complete(self) -> None:
        """The framing says that the answer is complete."""
        answer = self._answer
        answer.ended_at = time.perf_counter()
        answer.status = self._parser.get_status_code()
        if not self._parser.should_keep_alive():
            self.close()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(answer)


def request_bytes(target: Target, ask: Ask) -> bytes:
    """The whole request as it goes onto the wire."""
    body = ask.body()
    headers = {
        "host": f"127.0.0.1:{target.port}",
        "content-type": "application/json",
        "accept": "*/*",
        "user-agent": "patchbay-bench",
        "content-length": str(len(body)),
        **target.headers,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {ask.path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def check(answer: Answer, ask: Ask) -> int:
    """The number of content events of a good answer (0 for a plain one). Raises BadAnswer."""
    body = b"".join(answer.parts)
    if answer.status != 200:
        raise BadAnswer(f"status {answer.status}: {body[:120].decode('utf-8', 'replace')}")
    return _check_stream(body, ask) if ask.stream else _check_plain(body, ask)


def _check_stream(body: bytes, ask: Ask) -> int:
    if not _DONE[ask.speaks].search(body):
        raise BadAnswer("the stream has no terminal event")
    events = len(_CONTENTS[ask.speaks].findall(body))
    if events != ask.events:
        raise BadAnswer(f"{events} content events instead of {ask.events}")
    return events


def _check_plain(body: bytes, ask: Ask) -> int:
    try:
        text, reason = _reply_of(body) if ask.speaks == "messages" else _choice_of(body)
    except (msgspec.DecodeError, IndexError) as exc:
        raise BadAnswer(f"the body is no {_NAMES[ask.speaks]}") from exc
    if text != ask.text or reason not in ("stop", "end_turn"):
        raise BadAnswer("the body is not the upstream's answer")
    return 0


_NAMES = {"chat": "chat completion", "messages": "message"}


def _choice_of(body: bytes) -> tuple[str | None, str | None]:
    choice = _read_completion(body).choices[0]
    return choice.message.content, choice.finish_reason


def _reply_of(body: bytes) -> tuple[str | None, str | None]:
    reply = _read_reply(body)
    return next((block.text for block in reply.content if block.text), None), reply.stop_reason
