"""The loopback listener that takes the redirect at the end of a login (RFC 8252 section 7.3).

It serves one login on 127.0.0.1, at `/callback` and nowhere else, and only for requests that name exactly its own
host and port, so that no foreign name that resolves to this machine gets through.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import re
from collections.abc import Callable
from types import TracebackType

from accounts.oauth_answers import OAuthError
from accounts.oauth_callback import NotThisLogin

CALLBACK_PATH = "/callback"
_MAX_HEAD = 32 * 1024
_HEAD_SECONDS = 10.0
_REQUEST = re.compile(r"(?P<method>[A-Z]+) (?P<path>/[^ ?#]*)(?:\?(?P<query>[^ #]*))? HTTP/1\.[01]")
_PAGE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Patchbay</title></head>
<body><h1>{title}</h1><p>{text}</p></body></html>
"""
_FIELDS = (
    "content-type: text/html; charset=utf-8\r\ncache-control: no-store\r\nreferrer-policy: no-referrer\r\n"
    "content-security-policy: default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
    "x-content-type-options: nosniff\r\nconnection: close\r\n"
)
_PHRASES = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 410: "Gone"}
_RECEIVED = (
    "Patchbay has received the provider's answer. The terminal says how it ended; this page can be closed."
)

ReadQuery = Callable[[str], str]


class CallbackListener:
    """`async with CallbackListener(read) as listener`: then `redirect_uri`, and `code()` for what came.

    `read` takes the query of the redirect and gives the code. Where it raises NotThisLogin the visitor is told and
    the listener waits on; an OAuthError ends the wait.
    """

    def __init__(self, read: ReadQuery) -> None:
        self._read = read
        self._outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._claimed = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._authority = ""

    @property
    def redirect_uri(self) -> str:
        """Where the provider sends the browser."""
        return f"http://{self._authority}{CALLBACK_PATH}"

    async def code(self) -> str:
        """Wait for the redirect of this login. Raises OAuthError when it says that the login failed."""
        return await self._outcome

    async def __aenter__(self) -> CallbackListener:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_MAX_HEAD)
        self._authority = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self._outcome.cancel()
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        settle: Callable[[], None] = _nothing
        try:
            async with asyncio.timeout(_HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            status, title, text, settle = self._answer(head.decode("latin-1"))
            body = _PAGE.format(title=html.escape(title), text=html.escape(text)).encode()
            lines = f"HTTP/1.1 {status} {_PHRASES[status]}\r\n{_FIELDS}content-length: {len(body)}\r\n\r\n"
            writer.write(lines.encode() + (b"" if head.startswith(b"HEAD ") else body))
            await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass  # whoever that was, it was not the browser with the answer
        finally:
            await self._hang_up(writer)
            settle()

    async def _hang_up(self, writer: asyncio.StreamWriter) -> None:
        writer.close()
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(1):
                await writer.wait_closed()
        self._writers.discard(writer)

    def _answer(self, head: str) -> tuple[int, str, str, Callable[[], None]]:
        """Status, title and text of the page, and what to do once it is sent."""
        line, _, rest = head.partition("\r\n")
        request = _REQUEST.fullmatch(line)
        hosts = re.findall(r"^host:[ \t]*(.*?)[ \t]*$", rest.replace("\r\n", "\n"), re.I | re.M)
        if request is None or hosts != [self._authority]:
            return 400, "Not for this address", "Open the address that the terminal shows.", _nothing
        if request["path"] != CALLBACK_PATH:
            return 404, "Nothing here", "Only the end of a login is answered here.", _nothing
        if request["method"] != "GET":
            return 405, "Not like this", "The end of a login comes as a GET.", _nothing
        if self._claimed:
            return (
                410,
                "Already used",
                "This login has had its answer. The terminal says how it ended.",
                _nothing,
            )
        return self._take(request["query"] or "")

    def _take(self, query: str) -> tuple[int, str, str, Callable[[], None]]:
        try:
            code = self._read(query)
        except NotThisLogin as exc:
            return 400, "That is not the answer to this login", str(exc), _nothing
        except OAuthError as exc:
            self._claimed, failure = True, exc
            return 200, "The login did not succeed", str(exc), lambda: self._settle(failure)
        self._claimed = True
        return 200, "Answer received", _RECEIVED, lambda: self._settle(code)

    def _settle(self, outcome: str | OAuthError) -> None:
        if self._outcome.done():
            return
        if isinstance(outcome, OAuthError):
            self._outcome.set_exception(outcome)
        else:
            self._outcome.set_result(outcome)


def _nothing() -> None:
    """The listener waits on."""
