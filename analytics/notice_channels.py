"""Ways to the operator, and the queue in front of each: one that hangs keeps nobody else waiting.

Rule: a channel is told one notice at a time, in the order in which they came, each within a bounded time. What it does
not take is given up with a line in the log, where the notice stands anyway.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import sys
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from analytics.notices import Notice
from backends.addresses import check_base_url
from backends.errors import UpstreamError
from backends.upstream import Deadlines, current_upstream

logger = logging.getLogger("patchbay.notices")
NOTICE_SECONDS = 30.0  # for one notice on one channel, with all its tries
MOST_WAITING = 50
PAUSES = (1.0, 10.0)  # before the second and the third try
_HEADERS = [(b"content-type", b"application/json"), (b"user-agent", b"patchbay")]
_DEADLINES = Deadlines(5.0, 10.0, 10.0)


class Channel(Protocol):
    """One way to tell somebody."""

    @property
    def name(self) -> str:
        """For the log: what an operator would look at when it does not work. Holds no secret."""

    async def send(self, notice: Notice) -> str:
        """What went wrong, in words; empty when it was taken. May be cancelled at any moment."""


@dataclass
class Outbox:
    """The notices that wait for one channel. `seconds`: the longest that one of them may take."""

    channel: Channel
    seconds: float = NOTICE_SECONDS
    _waiting: asyncio.Queue[Notice] = field(default_factory=lambda: asyncio.Queue(MOST_WAITING))

    def put(self, notice: Notice) -> None:
        """Send it when its turn comes. Where too many wait, the oldest is given up."""
        if self._waiting.full():
            self._give_up(self._waiting.get_nowait(), f"more than {MOST_WAITING} wait")
        self._waiting.put_nowait(notice)

    async def keep(self) -> None:
        """Runs until it is cancelled."""
        while True:
            notice = await self._waiting.get()
            if failure := await self._sent(notice):
                self._give_up(notice, failure)

    async def _sent(self, notice: Notice) -> str:
        try:
            async with asyncio.timeout(self.seconds):
                return await self.channel.send(notice)
        except TimeoutError:
            return f"it was not taken within {self.seconds:g} seconds"
        except Exception as exc:  # a broken notice must not end the next ones
            logger.exception("Sending a notice failed.")
            return type(exc).__name__

    def _give_up(self, notice: Notice, why: str) -> None:
        about = f"{notice.kind.value} of {notice.subject}"
        logger.error("The notice %s did not get through: %s. Check %s.", about, why, self.channel.name)


@dataclass(frozen=True)
class Webhook:
    """An address that gets a JSON POST. It may hold a secret, so it is never logged."""

    url: str = field(repr=False)
    name: str = "the address in PATCHBAY_NOTIFY_URL"

    async def send(self, notice: Notice) -> str:
        """Three tries."""
        failure = ""
        for pause in (0.0, *PAUSES):
            await asyncio.sleep(pause)
            if not (failure := await self._try(msgspec.json.encode(notice.as_dict()))):
                break
        return failure

    async def _try(self, body: bytes) -> str:
        address, _, query = self.url.partition("?")
        try:
            response = await current_upstream().send(
                method="POST",
                base=check_base_url(address),
                path="",
                query=query.encode(),
                headers=_HEADERS,
                body=body,
                deadlines=_DEADLINES,
            )
        except UpstreamError as exc:
            return exc.code
        response.close()
        return "" if 200 <= response.status < 300 else f"it answered {response.status}"


@dataclass(frozen=True)
class Desktop:
    """A notification of this machine's desktop, where there is a program for it. No notice holds a secret."""

    name: str = "PATCHBAY_NOTIFY_DESKTOP"

    async def send(self, notice: Notice) -> str:
        """The program gets the text as an argument, never a shell."""
        command = _desktop_command(notice.text)
        if command is None:
            return "neither notify-send nor osascript is installed"
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(*command, stdin=quiet, stdout=quiet, stderr=quiet)
        try:
            status = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()  # it hangs, and we have no more time
        return f"{command[0]} ended with {status}" if status else ""


def _desktop_command(text: str) -> list[str] | None:
    if sys.platform == "darwin" and (program := shutil.which("osascript")):
        script = 'on run words\ndisplay notification (item 1 of words) with title "Patchbay"\nend run'
        return [program, "-e", script, text]
    program = shutil.which("notify-send")
    return [program, "--app-name=Patchbay", "--", "Patchbay", text] if program else None
