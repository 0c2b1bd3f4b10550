"""An upstream on loopback that answers with exactly the bytes a test gives it, and keeps what it received."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType


@dataclass
class ByteServer:
    """`with ByteServer() as upstream: …`. Each piece of `answer` is one chunk on the wire; bodies are kept in order."""

    answer: list[bytes] = field(default_factory=list)
    content_type: str = "application/json"
    bodies: list[bytes] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)

    def __enter__(self) -> ByteServer:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Base URL without a version."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"


def _handler_for(server: ByteServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            server.bodies.append(self.rfile.read(int(self.headers["content-length"])))
            server.queries.append(self.path.partition("?")[2])
            self.send_response(200)
            self.send_header("content-type", server.content_type)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for piece in server.answer:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")

        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet: the test has the bodies."""

    return Handler
