"""Starts `server_app` in a process of its own, reads its events, and talks to it over raw sockets."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

PATIENCE = 20.0  # seconds; a busy machine, never a measure
ROOT = Path(__file__).resolve().parents[2]


class ServerProcess:
    """One server. Use as a context manager; `options` are those of `server_app`."""

    def __init__(self, **options: Any) -> None:
        command = [sys.executable, "-m", "tests.router_site.server_app", json.dumps(options)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
        )
        self._clients: list[Client] = []
        self.events: list[dict[str, Any]] = []
        self.errors = ""
        self._changed = threading.Condition()
        self._ended = False
        self._readers = [
            threading.Thread(target=self._read_events),
            threading.Thread(target=self._read_errors),
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> ServerProcess:
        self.port = int(self.wait_for("ready")["port"])
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.wait_exit()
        for client in self._clients:
            client.socket.close()

    def _read_events(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                with self._changed:
                    self.events.append(json.loads(line))
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                self.errors += line

    def count(self, event: str, **details: Any) -> int:
        """How many events of this name, with these details, have come."""
        wanted = {"event": event, **details}
        with self._changed:
            return sum(wanted.items() <= seen.items() for seen in self.events)

    def wait_for(self, event: str, *, number: int = 1, **details: Any) -> dict[str, Any]:
        """The `number`-th event of this name with these details."""
        wanted = {"event": event, **details}
        with self._changed:

            def found() -> list[dict[str, Any]]:
                return [seen for seen in self.events if wanted.items() <= seen.items()]

            self._changed.wait_for(lambda: len(found()) >= number or self._ended, PATIENCE)
            if len(found()) < number:
                raise AssertionError(f"no {wanted}; events: {self.events[-5:]}; stderr: {self.errors}")
            return found()[number - 1]

    def terminate(self, number: int = signal.SIGTERM) -> float:
        """Send a signal; the time it was sent."""
        self.process.send_signal(number)
        return time.monotonic()

    def wait_exit(self) -> int:
        """The exit code, once the process has ended and everything it said is read."""
        code = self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        return code

    def connect(self, *, receive_buffer: int = 0) -> Client:
        """A new connection."""
        client = Client(self.port, receive_buffer=receive_buffer)
        self._clients.append(client)  # closed at the end, if the test has not done so
        return client

    def ask(self, request: bytes) -> Response:
        """Send raw bytes on a new connection, and read one response."""
        with self.connect() as client:
            client.send(request)
            return client.read_response()

    def is_well(self) -> bool:
        """Whether a plain request is answered."""
        return self.ask(get("/well", "Connection: close")).status == 200


class Response:
    """A parsed response; header names in lower case."""

    def __init__(self, head: bytes, body: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split(" ")[1])
        self.headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(": ")
            assert name not in self.headers, f"{name} was sent twice"
            self.headers[name] = value
        self.body = body

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """A raw connection."""

    def __init__(self, port: int, *, receive_buffer: int = 0) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            self.socket.connect(("127.0.0.1", port))
        except OSError:
            self.socket.close()
            raise
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_split(self, data: bytes, at: int) -> None:
        """In two packets, the second one after the first was surely read."""
        self.send(data[:at])
        time.sleep(0.001)
        self.send(data[at:])

    def _more(self) -> bool:
        data = self.socket.recv(65536)
        self._buffer += data
        return bool(data)

    def read_until(self, mark: bytes) -> bytes:
        """Up to and with a mark. Raises EOFError when the server closes first."""
        while mark not in self._buffer:
            if not self._more():
                raise EOFError(self._buffer)
        return self._take(self._buffer.index(mark) + len(mark))

    def read_exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            if not self._more():
                raise EOFError(self._buffer)
        return self._take(size)

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def read_to_end(self) -> bytes:
        """Everything until the server closes."""
        while self._more():
            pass
        return self._take(len(self._buffer))

    def read_head(self) -> Response:
        return Response(self.read_until(b"\r\n\r\n")[:-4], b"")

    def read_response(self, *, head_only: bool = False) -> Response:
        """One whole response; informational ones are returned as such."""
        response = self.read_head()
        if head_only or response.status < 200 or response.status in (204, 304):
            return response
        if response.headers.get("transfer-encoding") == "chunked":
            response.body = self._read_chunks()
        elif "content-length" in response.headers:
            response.body = self.read_exactly(int(response.headers["content-length"]))
        else:
            response.body = self.read_to_end()
        return response

    def _read_chunks(self) -> bytes:
        body = bytearray()
        while size := int(self.read_until(b"\r\n"), 16):
            body += self.read_exactly(size)
            assert self.read_exactly(2) == b"\r\n"
        assert self.read_exactly(2) == b"\r\n"
        return bytes(body)

    def is_closed(self) -> bool:
        """Wait until the server closes, whatever it still sends."""
        with contextlib.suppress(ConnectionError):
            self.read_to_end()
        return True

    def received(self) -> int:
        """How many bytes are read from the socket and not taken yet."""
        return len(self._buffer)

    def send_for_ever(self) -> None:
        """Send until the server refuses to take more, which raises ConnectionError."""
        while True:
            self.send(b"x" * 65536)


def get(path: str, *headers: str) -> bytes:
    return head(f"GET {path} HTTP/1.1", "Host: test", *headers)


def post(path: str, body: bytes, *headers: str) -> bytes:
    return head(f"POST {path} HTTP/1.1", "Host: test", f"Content-Length: {len(body)}", *headers) + body


def head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
