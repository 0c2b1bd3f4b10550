"""Undo a content-encoding that the upstream used although we asked for none.

Rule: never more than PIECE bytes of output at once, and an output out of proportion to its input is refused.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator

from backends.errors import BadEncoding, TooLarge

PIECE = 256 * 1024
_FREE = 16 * 2**20  # output that is never questioned
_MAX_RATIO = 200  # JSON and event streams shrink by 5 to 50
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


def content_encoding(headers: list[tuple[bytes, bytes]]) -> bytes:
    """b"" for a plain body, b"gzip" or b"deflate". Raises BadEncoding for any other."""
    found = [value for name, value in headers if name == b"content-encoding"]
    named = b",".join(found).strip().lower().removeprefix(b"x-")
    if named in (b"", b"identity"):
        return b""
    if named in (b"gzip", b"deflate"):
        return named
    raise BadEncoding(
        "The upstream compressed its answer in a way that cannot be read here, although it was asked not to. "
        "Switch compression off at that server."
    )


class Inflater:
    """An iterator over decoded pieces of a coded body. Raises BadEncoding or TooLarge."""

    def __init__(self, source: AsyncIterator[bytes], encoding: bytes) -> None:
        self._source = source
        self._gzip = encoding == b"gzip"
        self._inflate = zlib.decompressobj(_GZIP_WINDOW if self._gzip else zlib.MAX_WBITS)
        self._input = b""
        self._more = False  # the last piece was cut off at PIECE bytes, so there may be output without input
        self._taken = 0
        self._given = 0

    def __aiter__(self) -> Inflater:
        return self

    async def __anext__(self) -> bytes:
        while True:
            if not self._input and not self._more:
                self._input = await self._next_input()
                self._taken += len(self._input)
            if piece := self._step():
                return piece

    async def _next_input(self) -> bytes:
        try:
            return await anext(self._source)
        except StopAsyncIteration:
            if self._taken and not self._inflate.eof:
                raise BadEncoding(_BROKEN) from None
            raise

    def _step(self) -> bytes:
        if self._inflate.eof:
            self._begin_member()
        try:
            piece = self._decompress()
        except zlib.error as error:
            raise BadEncoding(_BROKEN) from error
        self._more = len(piece) == PIECE and not self._inflate.eof
        self._given += len(piece)
        if self._given > _FREE and self._given > _MAX_RATIO * self._taken:
            raise TooLarge("The upstream's compressed answer grows out of all proportion. It was dropped.")
        return piece

    def _decompress(self) -> bytes:
        data = self._input
        try:
            piece = self._inflate.decompress(data, PIECE)
        except zlib.error:
            if self._gzip or self._given or self._taken != len(data):
                raise
            self._inflate = zlib.decompressobj(
                -zlib.MAX_WBITS
            )  # "deflate" without its wrapper, an old misreading
            piece = self._inflate.decompress(data, PIECE)
        self._input = self._inflate.unconsumed_tail or self._inflate.unused_data
        return piece

    def _begin_member(self) -> None:
        """More after the end: a further gzip member, else nothing that belongs to the body."""
        if not self._gzip:
            raise BadEncoding(_BROKEN)
        self._inflate = zlib.decompressobj(_GZIP_WINDOW)


_BROKEN = (
    "The upstream's compressed answer is broken or incomplete. Switch compression off at that server; "
    "it was asked not to compress."
)
