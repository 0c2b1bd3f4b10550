"""Targets before the application: the server's parsers and the gate."""

from __future__ import annotations

import posixpath
import re
from typing import Any
from urllib.parse import unquote

from bench.fuzz.cuts import cut
from router_site.gate import Gate
from router_site.gate_config import GateConfig
from router_site.server.body import ChunkedBody
from router_site.server.limits import Limits
from router_site.server.parsing import Refused, guess_request, parse_head

_LIMITS = Limits(max_body=10_000)
_CONFIG = GateConfig.make(host="127.0.0.1", port=3456)
_STATUSES = {400, 413, 414, 417, 431}
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f\x85]")


async def _nothing(*_: Any) -> None:
    """Stands for the application: the gate's verdict alone is looked at."""


_GATE = Gate(_nothing, _CONFIG)


def head(data: bytes) -> None:
    """A request's head is refused, or free of everything that two readers may read differently."""
    guess_request(data)
    try:
        found = parse_head(data, _LIMITS)
    except Refused as refused:
        _status_of(refused)
        return
    names = [name for name, _ in found.headers]
    assert found.raw_path.startswith(b"/") or found.raw_path == b"*"
    assert not [name for name in names if name != name.lower() or b"_" in name or _CONTROL.search(name)]
    assert not [value for _, value in found.headers if _CONTROL.search(value) or value != value.strip(b" \t")]
    assert names.count(b"host") <= 1
    assert names.count(b"authorization") <= 1
    assert not (found.chunked and found.content_length)


def _status_of(refused: Refused) -> int:
    status = refused.refusal.status
    assert status in _STATUSES
    return status


def chunks(data: bytes) -> None:
    """A body in chunks means the same however it is cut into packets, and never grows beyond its limit."""
    pieces, whole = cut(data)
    assert _verdict(pieces) == _verdict([whole])


def _verdict(pieces: list[bytes]) -> object:
    body, rest = ChunkedBody(_LIMITS), None
    try:
        for piece in pieces:
            rest = body.feed(piece) if rest is None else rest + piece
    except Refused as refused:
        return _status_of(refused)
    if rest is None:
        return None
    assert len(body.value()) <= _LIMITS.max_body
    return bytes(body.value()), rest


def gate(data: bytes) -> None:
    """Whoever passes the gate names our host, comes from no foreign page, and is on this machine for the admin.

    The first byte says where the request comes from, the first line is its path, the others are headers.
    """
    raw_path, *lines = data[1:].split(b"\n")
    headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    scope = _scope(data[:1], b"/" + raw_path, headers)
    if _GATE.refusal(scope) is not None:
        return
    host = [value.lower() for name, value in headers if name == b"host"]
    assert len(host) == 1
    assert host[0] in _CONFIG.hosts
    origins = [value for name, value in headers if name == b"origin"]
    assert all(origin in _CONFIG.origins for origin in origins)
    assert not [value for name, value in headers if name == b"sec-fetch-site" and value == b"cross-site"] or (
        scope["method"] in ("GET", "HEAD")
    )
    _check_areas(scope)


def _scope(first: bytes, raw_path: bytes, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    number = first[0] if first else 0
    return {
        "type": "websocket" if number & 4 else "http",
        "method": ("GET", "POST")[number & 1],
        "path": unquote(raw_path.partition(b"?")[0].decode("latin-1")),
        "raw_path": raw_path,
        "headers": headers,
        "client": ("10.0.0.9" if number & 2 else "127.0.0.1", 5000),
        "server": ("127.0.0.1", 3456),
    }


def _check_areas(scope: dict[str, Any]) -> None:
    is_remote = scope["patchbay"]["peer"] == "remote"
    path = scope["path"]
    for spelling in (path, posixpath.normpath(path), posixpath.normpath(path.lower().replace("\\", "/"))):
        first = spelling.lstrip("/").partition("/")[0]
        if first in ("admin", "dashboard", "ws"):
            assert not is_remote, spelling
        if first == "admin":
            assert path.startswith("/admin")
            assert ".." not in path.split("/")
