"""The gate: the first ASGI application every request meets, HTTP and WebSocket, whatever the server.

It keeps web pages away from a server on the loopback interface: only our own Host, only our own Origin, no
cross-site fetch, JSON only on the API. It says where a request comes from (`scope["patchbay"]["peer"]`), and
hides the admin from other machines. Rule: no Django, no I/O, one pass over the headers; refuse, never repair.
"""

from __future__ import annotations

import re
import time
from typing import Any, cast

from analytics.drafts import new_request_id
from router_site.gate_config import GateConfig
from router_site.peers import Peer, peer_class
from router_site.refusals import OnRejected, RawHeaders, Refusal, refusal_answer
from router_site.server.hub import Application, Message, Receive, Scope, Send

_BARE_POSTS = (
    "/messages",
    "/messages/count_tokens",
    "/chat/completions",
    "/responses",
    "/embeddings",
    "/completions",
)
JSON_PATHS = frozenset({*_BARE_POSTS, *("/v1" + path for path in _BARE_POSTS)})
_UPGRADE_PATHS = frozenset({"/v1/responses", "/responses"})
# Pages that a link on another site may open: they only show something, and need a login for it.
_PAGES = ("/", "/dashboard", "/dashboard/", "/admin")
_ADMIN_PREFIX = "/admin/"
_PAGE_PREFIXES = (_ADMIN_PREFIX, "/dashboard/")
_PAGE_METHODS = ("GET", "HEAD", "POST")
# Where the operator is at home: for this machine only.
_PRIVATE = frozenset({"admin", "dashboard", "ws"})

# One of each, or the two ends of a proxy chain may see different requests.
_SINGLE = frozenset(
    {b"host", b"origin", b"content-length", b"authorization", b"x-api-key", b"x-patchbay-key"}
)
_FORWARDING = frozenset(
    {
        b"forwarded",
        b"via",
        b"x-real-ip",
        b"x-client-ip",
        b"true-client-ip",
        b"cf-connecting-ip",
        b"x-cluster-client-ip",
    }
)
_READ = frozenset(
    {
        b"content-type",
        b"sec-fetch-site",
        b"sec-fetch-mode",
        b"sec-fetch-dest",
        b"upgrade",
        b"access-control-request-method",
        b"access-control-request-headers",
    }
)
_WATCHED = _SINGLE | _FORWARDING | _READ
_JSON_TYPES = frozenset(
    {b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"}
)
_JSON_TYPE = re.compile(rb'application/json[ \t]*(;[ \t]*charset="?utf-?8"?[ \t]*)?;?', re.IGNORECASE)
_HOST = re.compile(rb"([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_HEADER_LIST = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,2048}")

_NO_HOST = Refusal(400, "The request needs exactly one valid Host header.", "invalid_host")
_FOREIGN_HOST = Refusal(
    403,
    "This Host is not served here. Use the address Patchbay prints, or add it to PATCHBAY_ALLOWED_HOSTS.",
    "foreign_host",
)
_FOREIGN_ORIGIN = Refusal(
    403,
    "Requests from this web origin are not allowed. Add it to PATCHBAY_CORS_ORIGIN to allow it.",
    "foreign_origin",
)
_CROSS_SITE = Refusal(
    403,
    "Requests from other web sites are not allowed. Add the site to PATCHBAY_CORS_ORIGIN to allow it.",
    "cross_site",
)
_NOT_JSON = Refusal(
    415, "Send the body as JSON with the header Content-Type: application/json.", "unsupported_media_type"
)
_NOT_FOUND = Refusal(404, "There is nothing at this address. The API is at /v1.", "not_found")
_NOT_ON_PAGES = Refusal(
    405, "Pages answer GET, HEAD and POST.", "method_not_allowed", ((b"allow", b"GET, HEAD, POST"),)
)
_BAD_TARGET = Refusal(400, "The request target must be a path such as /v1/messages.", "invalid_target")
_NO_WEBSOCKET = Refusal(
    426,
    "WebSocket is not spoken here. Send the request as an HTTP POST.",
    "websocket_unsupported",
    ((b"upgrade", b"HTTP/1.1"), (b"connection", b"upgrade, close")),
)

Noted = dict[bytes, bytes]


class Gate:
    """ASGI middleware. `refusal()` alone can be given to the server as `admit`."""

    def __init__(self, app: Application, config: GateConfig, on_rejected: OnRejected | None = None) -> None:
        self._app = app
        self._config = config
        self._on_rejected = on_rejected

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, answer a preflight, or pass on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refused, noted = self._judge(scope)
        origin = self._granted_origin(scope, noted) if self._config.cors_origins else None
        if self._config.cors_origins and scope["type"] == "http":
            send = _with_cors(send, origin)
        if refused is not None:
            await self._refuse(scope, receive, send, refused)
        elif origin is not None and scope["type"] == "http" and _is_preflight(scope, noted):
            await _answer_preflight(send, noted)
        else:
            await self._app(scope, receive, send)

    def refusal(self, scope: Scope) -> Refusal | None:
        """Why this request is not let in, or None. Needs the scope only, and sets `scope["patchbay"]`."""
        return self._judge(scope)[0]

    # --- judging ------------------------------------------------------------------------------------------

    def _judge(self, scope: Scope) -> tuple[Refusal | None, Noted]:
        noted, forwarded, repeated = _note_headers(scope["headers"])
        client = scope.get("client")
        peer: Peer = "remote" if forwarded else peer_class(client[0] if client else None)
        scope["patchbay"] = {"peer": peer, "received_at": time.monotonic()}
        if repeated is not None:
            return Refusal(400, f"More than one {repeated.decode()} header. Send it once."), noted
        refused = self._judge_host(scope, noted) or self._judge_origin(scope, noted)
        return refused or _judge_target(scope, peer) or _judge_kind(scope, noted), noted

    def _judge_host(self, scope: Scope, noted: Noted) -> Refusal | None:
        host = noted.get(b"host", b"")
        if host in self._config.hosts:
            return None
        host = host.lower()
        match = _HOST.fullmatch(host)
        if match is None:
            return _NO_HOST
        if (
            host in self._config.hosts
            or host in self._config.extra_hosts
            or match[1] in self._config.extra_hosts
        ):
            return None
        return None if self._is_own_address(scope, host) else _FOREIGN_HOST

    def _is_own_address(self, scope: Scope, host: bytes) -> bool:
        """Bound to every address: the one the request was sent to is ours. A name may be rebound: it is not."""
        server = scope.get("server")
        if not self._config.any_address or not server:
            return False
        return host in self._config.spellings(str(server[0]))

    def _judge_origin(self, scope: Scope, noted: Noted) -> Refusal | None:
        """Browsers say where a request comes from; whoever says nothing is no browser, or our own page."""
        origin, site = noted.get(b"origin"), noted.get(b"sec-fetch-site")
        if origin is None and (site is None or site in (b"same-origin", b"none")):
            return None
        if origin is None:
            return None if _is_harmless(scope, site, noted) else _CROSS_SITE
        if self._granted_origin(scope, noted) is not None:
            return None
        if not self._is_own_origin(origin, noted.get(b"host", b"").lower()):
            return _FOREIGN_ORIGIN
        return _CROSS_SITE if site == b"cross-site" else None

    def _is_own_origin(self, origin: bytes, host: bytes) -> bool:
        if origin in self._config.origins:
            return True
        if origin == b"http://" + host:
            return True
        return host not in self._config.hosts and origin == b"https://" + host  # a proxy in front speaks TLS

    def _granted_origin(self, scope: Scope, noted: Noted) -> bytes | None:
        """The foreign origin that PATCHBAY_CORS_ORIGIN lets in. Never for the operator's pages."""
        origin = noted.get(b"origin")
        if origin is None or origin not in self._config.cors_origins or _private_areas(scope["path"]):
            return None
        return origin

    # --- refusing -----------------------------------------------------------------------------------------

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, refusal: Refusal) -> None:
        request_id = new_request_id()
        headers, body = refusal_answer(refusal, scope["path"], request_id)
        if scope["type"] == "websocket":
            await _deny_websocket(scope, receive, send, refusal.status, headers, body)
        else:
            await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
            await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
        if self._on_rejected is not None:
            method, peer = scope.get("method", "GET"), scope["patchbay"]["peer"]
            self._on_rejected(method, scope["path"], refusal.status, refusal.message, request_id, peer)


def _note_headers(headers: RawHeaders) -> tuple[Noted, bool, bytes | None]:
    """(headers that the gate reads, whether a proxy says it forwarded this, a header that came twice)."""
    noted: Noted = {}
    forwarded, repeated = False, None
    for name, value in headers:
        if name in _WATCHED:
            if name in noted:
                if name in _SINGLE:
                    repeated = name
                value = noted[name] + b"," + value
            noted[name] = value
            forwarded = forwarded or name in _FORWARDING
        elif name.startswith(b"x-forwarded-"):
            forwarded = True
    return noted, forwarded, repeated


def _is_harmless(scope: Scope, site: bytes | None, noted: Noted) -> bool:
    """Without Origin, from elsewhere: a link to a page, or (same host, other port) a plain GET."""
    if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
        return False
    if site == b"same-site":
        return True
    path = scope["path"]
    is_page = path in _PAGES or path.startswith(_PAGE_PREFIXES)
    is_document = noted.get(b"sec-fetch-dest", b"document") == b"document"
    return is_page and is_document and noted.get(b"sec-fetch-mode") == b"navigate"


def _judge_target(scope: Scope, peer: Peer) -> Refusal | None:
    """Absolute targets are not for us; pages are for this machine, the admin under its one plain spelling."""
    path = scope["path"]
    if path in JSON_PATHS:
        return None
    raw = scope.get("raw_path") or path.encode()
    if not raw.startswith(b"/"):
        return _BAD_TARGET
    areas = _private_areas(path)
    if not areas:
        return None
    if peer == "remote" or ("admin" in areas and not _is_plain_admin(raw, path)):
        return _NOT_FOUND
    return _NOT_ON_PAGES if scope.get("method", "GET") not in _PAGE_METHODS else None


def _is_plain_admin(raw: bytes, path: str) -> bool:
    """Whether every reader of this path reads the same."""
    if raw.partition(b"?")[0].decode("latin-1") != path:
        return False
    is_odd = "//" in path or "/." in path or ";" in path or "\\" in path
    return not is_odd and (path in _PAGES or path.startswith(_ADMIN_PREFIX))


def _private_areas(path: str) -> frozenset[str]:
    """Where any reader of this path could end, whether it resolves dots, slashes, case and parameters or not."""
    segments: list[str] = []
    first: set[str] = set()
    for segment in path.lower().replace("\\", "/").replace("%2f", "/").split("/"):
        name = segment.partition(";")[0].strip()
        if name == ".." and segments:
            segments.pop()
        elif name not in ("", ".", ".."):
            segments.append(name)
            first.add(segments[0])
    return _PRIVATE & first


def _judge_kind(scope: Scope, noted: Noted) -> Refusal | None:
    """WebSocket where only HTTP is spoken; anything but JSON where only JSON is read."""
    path = scope["path"]
    if scope["type"] == "websocket":
        return _NO_WEBSOCKET if path in _UPGRADE_PATHS else None
    if path not in JSON_PATHS:
        return None
    if path in _UPGRADE_PATHS and noted.get(b"upgrade", b"").lower() == b"websocket":
        return _NO_WEBSOCKET
    if scope["method"] != "POST":
        return None
    kind = noted.get(b"content-type", b"")
    return None if kind in _JSON_TYPES or _JSON_TYPE.fullmatch(kind) else _NOT_JSON


# --- CORS -------------------------------------------------------------------------------------------------


def _is_preflight(scope: Scope, noted: Noted) -> bool:
    return scope["method"] == "OPTIONS" and b"access-control-request-method" in noted


async def _answer_preflight(send: Send, noted: Noted) -> None:
    """What the page may send: GET and POST, with the headers it asked for."""
    asked = noted.get(b"access-control-request-headers", b"")
    headers = [(b"access-control-allow-methods", b"GET, POST"), (b"access-control-max-age", b"600")]
    if _HEADER_LIST.fullmatch(asked):
        headers.append((b"access-control-allow-headers", asked))
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _with_cors(send: Send, origin: bytes | None) -> Send:
    """Say in every answer that it depends on Origin; to an allowed origin, let the page read it."""

    async def send_with_cors(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", ()), (b"vary", b"Origin")]
            if origin is not None:
                names = [name.lower() for name, _ in headers]
                exposed = sorted(
                    {name for name in names if name.startswith(b"x-patchbay-") or name in _EXPOSED}
                )
                headers.append((b"access-control-allow-origin", origin))
                headers.append((b"access-control-expose-headers", b", ".join(exposed)))
            message = {**message, "headers": headers}
        await send(message)

    return send_with_cors


_EXPOSED = frozenset({b"retry-after", b"request-id", b"x-request-id", b"x-should-retry"})


# --- WebSocket --------------------------------------------------------------------------------------------


async def _deny_websocket(
    scope: Scope, receive: Receive, send: Send, status: int, headers: RawHeaders, body: bytes
) -> None:
    """Refuse before accepting: with our own answer where the server can send one, else with its 403."""
    await receive()
    extensions = cast(dict[str, Any], scope.get("extensions") or {})
    if "websocket.http.response" in extensions:
        await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": body})
    else:
        await send({"type": "websocket.close", "code": 1008})
