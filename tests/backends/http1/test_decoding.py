from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.errors import BadEncoding, TooLarge
from backends.http1.decoding import PIECE, Inflater, content_encoding

PLAIN = b"data: {}\n\n" * 5000


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


async def pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def decoded(data: bytes, encoding: bytes, size: int = 1000) -> bytes:
    return b"".join([piece async for piece in Inflater(pieces(data, size), encoding)])


@pytest.mark.parametrize("size", [1, 2, 7, 10**6])
@pytest.mark.parametrize(
    ("coded", "encoding"),
    [
        (gzip.compress(PLAIN), b"gzip"),
        (gzip.compress(PLAIN[:7]) + gzip.compress(PLAIN[7:]), b"gzip"),
        (zlib.compress(PLAIN), b"deflate"),
    ],
)
async def test_a_coded_body_comes_out_plain_however_it_is_cut(
    coded: bytes, encoding: bytes, size: int
) -> None:
    assert await decoded(coded, encoding, size) == PLAIN


async def test_deflate_without_its_wrapper_is_understood() -> None:
    assert await decoded(raw_deflate(PLAIN), b"deflate") == PLAIN


@pytest.mark.parametrize("size", [PIECE - 1, PIECE, PIECE + 1, *range(PIECE + 20, PIECE + 30), 3 * PIECE])
@pytest.mark.parametrize("step", [3, 10**6])
async def test_the_last_bytes_come_out_where_pieces_end(size: int, step: int) -> None:
    body = bytes(size)
    assert await decoded(raw_deflate(body), b"deflate", step) == body
    assert await decoded(gzip.compress(body), b"gzip", step) == body


@given(st.binary(max_size=2000), st.integers(1, 50))
async def test_any_body_survives_gzip(body: bytes, size: int) -> None:
    assert await decoded(gzip.compress(body), b"gzip", size) == body


async def test_no_body_at_all_is_an_empty_body() -> None:
    assert await decoded(b"", b"gzip") == b""


@pytest.mark.parametrize("kept", [1, 10, 30, -1])
async def test_a_coded_body_that_is_cut_is_an_error(kept: int) -> None:
    with pytest.raises(BadEncoding, match="incomplete"):
        await decoded(gzip.compress(PLAIN)[:kept], b"gzip")


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (b"plain text", b"gzip"),
        (b"\xff\xff\xff\xff", b"deflate"),
        (gzip.compress(PLAIN)[:-4] + b"0000", b"gzip"),
        (gzip.compress(PLAIN) + b"tail", b"gzip"),
        (zlib.compress(PLAIN) + b"tail", b"deflate"),
    ],
)
async def test_a_coded_body_that_is_broken_is_an_error(data: bytes, encoding: bytes) -> None:
    with pytest.raises(BadEncoding):
        await decoded(data, encoding)


async def test_a_bomb_is_stopped_and_never_held_as_a_whole() -> None:
    bomb = gzip.compress(bytes(64 * 2**20), 9)
    sizes: list[int] = []

    async def explode() -> None:
        async for piece in Inflater(pieces(bomb, 65536), b"gzip"):
            sizes.append(len(piece))

    with pytest.raises(TooLarge):
        await explode()
    assert max(sizes) <= PIECE
    assert sum(sizes) < 17 * 2**20


@pytest.mark.parametrize(
    ("values", "encoding"),
    [
        ([], b""),
        ([b"identity"], b""),
        ([b"GZIP "], b"gzip"),
        ([b"x-gzip"], b"gzip"),
        ([b"deflate"], b"deflate"),
    ],
)
def test_known_content_encodings(values: list[bytes], encoding: bytes) -> None:
    assert content_encoding([(b"content-encoding", value) for value in values]) == encoding


@pytest.mark.parametrize("values", [[b"br"], [b"zstd"], [b"gzip, gzip"], [b"gzip", b"gzip"], [b"\xff"]])
def test_a_content_encoding_that_we_cannot_undo_is_an_error(values: list[bytes]) -> None:
    with pytest.raises(BadEncoding):
        content_encoding([(b"content-encoding", value) for value in values])
