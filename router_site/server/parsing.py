"""The head of an HTTP/1.1 request: bytes in, one checked value out. Pure, and strict on purpose.

Rule: whatever two servers could read in two ways (both lengths, a repeated Host or credential, a bare line
feed, a folded line, a control character) is refused: nobody behind us reads another request than we do.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from router_site.refusals import Refusal
from router_site.server.limits import Limits

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([\x21\x22\x24-\x7e]+) HTTP/1\.([01])")
_START = re.compile(rb"(" + _TOKEN + rb") (/[\x21\x22\x24-\x3e\x40-\x7e]*)[ ?]")
_NAME = re.compile(_TOKEN)
_LENGTH = re.compile(rb"[0-9]+")
# Tab, CR, LF, printable ASCII and high bytes; 0x85 is a line break to some readers.
_ALLOWED = bytes({9, 10, 13, *range(32, 127), *range(128, 256)} - {0x85})

_LONGEST_LENGTH = 15  # digits: a petabyte, far above any limit
_DROPPED = frozenset({b"daphne-root-path"})
# At most one of each: two of them would be joined or chosen among differently by different readers.
_SINGLE = frozenset(
    {
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"content-type",
        b"authorization",
        b"x-api-key",
        b"x-patchbay-key",
        b"expect",
        b"upgrade",
    }
)
_NOTED = _SINGLE | {b"connection"}
_known_names: dict[bytes, bytes] = {}  # name as sent -> lower case, or b"" if it is to be dropped
_KNOWN_NAMES_MAX = 1024


class Refused(Exception):
    """The request cannot be served; `refusal` is the answer."""

    def __init__(self, status: int, message: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(message)
        self.refusal = Refusal(status, message, headers=headers)


class Head(NamedTuple):
    """One request head. Header names are lower case; values are as sent, without outer spaces."""

    method: str
    raw_path: bytes
    query: bytes
    version: str
    headers: list[tuple[bytes, bytes]]
    content_length: int
    chunked: bool
    keep_alive: bool
    expects_continue: bool
    upgrade: bytes  # lower case, b"" when none is asked for


def parse_head(block: bytes, limits: Limits) -> Head:
    """Read a head without its final blank line. Raises `Refused` (400, 414, 417, 431)."""
    lines = _split_lines(block)
    if len(lines) - 1 > limits.max_headers:
        raise Refused(431, f"Too many request headers (at most {limits.max_headers}). Send fewer.")
    match = _REQUEST_LINE.fullmatch(lines[0])
    if match is None:
        raise Refused(400, "Malformed request line. Send METHOD, an ASCII path and HTTP/1.1.")
    if len(lines[0]) > limits.max_line:
        raise Refused(414, "The request line is too long. Shorten the URL.")
    method, target, minor = match.groups()
    headers, noted = _read_headers(lines, limits.max_line)
    path, _, query = _origin_form(method, target, noted.get(b"host", b"")).partition(b"?")
    length, chunked = _framing(noted, minor)
    connection = noted.get(b"connection", b"").lower()
    return Head(
        method=method.decode("ascii"),
        raw_path=path,
        query=query,
        version="1.1" if minor == b"1" else "1.0",
        headers=headers,
        content_length=length,
        chunked=chunked,
        keep_alive=minor == b"1" and b"close" not in connection,
        expects_continue=_expects_continue(noted),
        upgrade=noted.get(b"upgrade", b"").lower() if b"upgrade" in connection else b"",
    )


def guess_request(text: bytes) -> tuple[str, bytes]:
    """(method, path) of an incomplete or malformed head, as far as they can be told; else ("", b"")."""
    match = _START.match(text)
    return (match[1].decode("ascii"), match[2]) if match else ("", b"")


def _split_lines(block: bytes) -> list[bytes]:
    if block.translate(None, _ALLOWED):
        raise Refused(400, "The request head contains control characters. Remove them.")
    lines = block.split(b"\r\n")
    breaks = len(lines) - 1
    if block.count(b"\n") != breaks or block.count(b"\r") != breaks:
        raise Refused(400, "The request head contains a bare line break. End each line with CR LF.")
    return lines


def _read_headers(lines: list[bytes], max_line: int) -> tuple[list[tuple[bytes, bytes]], dict[bytes, bytes]]:
    """All headers to pass on, and the values of those that the server itself acts on."""
    headers: list[tuple[bytes, bytes]] = []
    noted: dict[bytes, bytes] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        known = _known_names.get(name)
        lower = _check_name(name) if known is None else known
        if not colon:
            raise Refused(400, "Malformed request header: no colon in the line. Send NAME: VALUE.")
        if len(line) > max_line:
            raise Refused(431, f"A request header is too long (at most {max_line} bytes). Shorten it.")
        if not lower:
            continue
        value = value.strip(b" \t")
        if lower in _NOTED:
            _note(noted, lower, value)
        headers.append((lower, value))
    return headers, noted


def _check_name(name: bytes) -> bytes:
    """Lower case of a valid name; b"" for one that nobody may see (underscores look like dashes to WSGI)."""
    if _NAME.fullmatch(name) is None:
        raise Refused(400, "Malformed request header name. Use letters, digits and dashes.")
    lower = name.lower()
    if b"_" in lower or lower in _DROPPED:
        lower = b""
    if len(_known_names) < _KNOWN_NAMES_MAX and len(name) <= 64:
        _known_names[name] = lower
    return lower


def _note(noted: dict[bytes, bytes], name: bytes, value: bytes) -> None:
    if name not in noted:
        noted[name] = value
    elif name in _SINGLE:
        raise Refused(400, f"More than one {name.decode('ascii')} header. Send it once.")
    else:
        noted[name] += b"," + value


def _origin_form(method: bytes, target: bytes, host: bytes) -> bytes:
    """The target as path and query. An absolute URL must name the same host as the Host header."""
    if target.startswith(b"/") or (target == b"*" and method == b"OPTIONS"):
        return target
    scheme, found, rest = target.partition(b"://")
    if not found or scheme.lower() not in (b"http", b"https"):
        raise Refused(400, "The request target must be a path. Send /v1/… after the method.")
    split = re.search(rb"[/?]", rest)
    authority = rest[: split.start()] if split else rest
    if authority.lower() != host.lower():
        raise Refused(
            400, "The URL in the request line names another host than the Host header. Send one host."
        )
    path = rest[split.start() :] if split else b"/"
    return path if path.startswith(b"/") else b"/" + path


def _framing(noted: dict[bytes, bytes], minor: bytes) -> tuple[int, bool]:
    """(content length, chunked). Raises when the end of the body is not beyond doubt."""
    if minor == b"1" and b"host" not in noted:
        raise Refused(400, "The Host header is missing. HTTP/1.1 requires one.")
    length = noted.get(b"content-length")
    if b"transfer-encoding" in noted:
        if length is not None:
            raise Refused(400, "Both Content-Length and Transfer-Encoding. Send one of them.")
        if minor == b"0" or noted[b"transfer-encoding"].lower() != b"chunked":
            raise Refused(400, "Unknown Transfer-Encoding. Only chunked is understood, in HTTP/1.1.")
        return 0, True
    if length is None:
        return 0, False
    if _LENGTH.fullmatch(length) is None:
        raise Refused(400, "Malformed Content-Length. Send one decimal number.")
    # An absurdly long number is a valid one: the body limit answers it, nobody converts thousands of digits.
    return (int(length) if len(length) <= _LONGEST_LENGTH else 10**_LONGEST_LENGTH), False


def _expects_continue(noted: dict[bytes, bytes]) -> bool:
    expect = noted.get(b"expect")
    if expect is None:
        return False
    if expect.lower() != b"100-continue":
        raise Refused(417, "Unknown Expect header. Only 100-continue is understood.")
    return True
