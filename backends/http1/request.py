"""A request as bytes, and how long each of its steps may take."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from backends.errors import HeaderRefused

_TOKEN = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_METHOD = re.compile(rb"[A-Z]{1,20}")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_UNSAFE = re.compile(rb"[^\x21-\x7e]|#")
# What this client says itself, and what would change the framing.
_OURS = frozenset(
    b"host content-length transfer-encoding connection keep-alive proxy-connection upgrade te trailer expect "
    b"accept-encoding".split()
)
_BODYLESS = frozenset((b"GET", b"HEAD", b"DELETE", b"OPTIONS"))


class Deadlines(msgspec.Struct, frozen=True):
    """Seconds. None of them is extended by bytes that are no progress.

    connect: a free place in the pool, name lookup, TCP and TLS. first_byte: from the request being out to the
    final response headers; also the longest pause while it goes out. idle: between two pieces of the body.
    """

    connect: float = 5.0
    first_byte: float = 120.0
    idle: float = 300.0


class Request(msgspec.Struct, frozen=True):
    """`head` ends with the empty line. It holds the credential, so it has no place in a log."""

    head: bytes
    body: bytes
    bodyless_answer: bool = False  # the answer to HEAD has a length and no body

    def __repr__(self) -> str:
        return f"<Request, {len(self.body)} bytes of body>"


def build_request(
    method: bytes, target: bytes, authority: str, headers: Iterable[tuple[bytes, bytes]], body: bytes
) -> Request:
    """Headers that govern the connection or the framing are left out: those are written here.

    Raises HeaderRefused for a name or value that would break out of its line.
    """
    if not _METHOD.fullmatch(method):
        raise HeaderRefused("The request method is not an HTTP method in capital letters.")
    passing = [header for header in headers if header[0].lower() not in _OURS]
    _check(passing)
    lines = [b"%b %b HTTP/1.1\r\nhost: %b" % (method, quoted_target(target), authority.encode("ascii"))]
    lines += [b"%b: %b" % header for header in passing]
    if body or method not in _BODYLESS:
        lines.append(b"content-length: %d" % len(body))
    lines.append(b"accept-encoding: identity\r\n\r\n")
    return Request(b"\r\n".join(lines), body, method == b"HEAD")


def _check(headers: list[tuple[bytes, bytes]]) -> None:
    """Look at all of them at once, and at each only to say which one it is."""
    names, values = [name for name, _ in headers], [value for _, value in headers]
    if all(map(_TOKEN.fullmatch, names)) and not _CONTROL.search(b"".join(values)):
        return
    for name, value in headers:
        if not _TOKEN.fullmatch(name) or _CONTROL.search(value):
            raise HeaderRefused(_refused(name))


def quoted_target(target: bytes) -> bytes:
    """The request target with every byte that may not stand in a request line percent-encoded."""
    if _UNSAFE.search(target) is None:
        return target
    return _UNSAFE.sub(lambda match: b"%%%02X" % match[0][0], target)


def _refused(name: bytes) -> str:
    if not _TOKEN.fullmatch(name):
        return "A request header has a name that is not allowed in HTTP. Check the backend's extra headers."
    return (
        f"The request header {name.decode('ascii')} has a line break or control character in its value. "
        "If it carries a key, enter the key again without the line break."
    )
