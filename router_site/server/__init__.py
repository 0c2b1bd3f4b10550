"""The incoming side: sockets in, ASGI out, with limits, deadlines, back-pressure and a drain.

    run.py            serve(): listen, wait for a signal, drain, exit code
    event_loop.py     uvloop before Daphne
    listening.py      the port
    accepting.py      connections, shared evenly among several workers
    limits.py         how much a client may ask for
    daphne_server.py  Daphne for WebSockets, our own HTTP side beside it
    hub.py            what all connections share, and the sweep that keeps every deadline
    connection.py     one TCP connection: its phases, deadlines and refusals
    exchange.py       one request, as ASGI sees it
    parsing.py        the request head, strict and pure
    body.py           bodies with a length or in chunks, pure
    websocket.py      Daphne's WebSocket protocol on asyncio

Rule: importing this package imports neither Twisted nor Daphne; `serve()` does, in the right order.
"""

from __future__ import annotations

from router_site.server.limits import Limits
from router_site.server.listening import BindError, bind
from router_site.server.run import serve

__all__ = ["BindError", "Limits", "bind", "serve"]
