"""The gate behind a real server: ours and uvicorn must give the same answers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.router_site.server_process import PATIENCE, ROOT, Client, Response, head

OURS = (
    "import os, sys\n"
    "from router_site.server import Limits, serve\n"
    "from tests.router_site.gate_app import application\n"
    "port = int(os.environ['GATE_PORT'])\n"
    "sys.exit(serve(application, host='127.0.0.1', port=port, limits=Limits(), drain_seconds=1))\n"
)
UVICORN = ["-m", "uvicorn", "tests.router_site.gate_app:application", "--log-level", "error", "--port"]


@pytest.fixture(scope="module", params=["ours", "uvicorn"])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = int(probe.getsockname()[1])
    arguments = ["-c", OURS] if request.param == "ours" else [*UVICORN, str(number)]
    environment = {**os.environ, "GATE_PORT": str(number)}
    process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, env=environment)
    try:
        wait_until_open(number, process)
        yield number
    finally:
        process.terminate()
        process.wait(PATIENCE)


def wait_until_open(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.02)
    raise AssertionError("the server did not start")


def ask(port: int, line: str, *headers: str) -> Response:
    with Client(port) as client:
        client.send(head(line, *headers, "Connection: close"))
        return client.read_response()


def test_own_host_passes_and_others_do_not(port: int) -> None:
    assert ask(port, "GET /v1/models HTTP/1.1", f"Host: localhost:{port}").body == b"/v1/models loopback"
    for target in ("/v1/models", "/admin/", "/static/x.css", "/livez"):
        assert ask(port, f"GET {target} HTTP/1.1", "Host: evil.com").status == 403
    assert ask(port, "GET / HTTP/1.1", f"Host: 127.0.0.1:{port + 1}").status == 403


def test_missing_and_repeated_headers_are_400(port: int) -> None:
    own = f"Host: 127.0.0.1:{port}"
    assert ask(port, "GET / HTTP/1.0").status == 400
    assert ask(port, "GET / HTTP/1.1", own, own).status == 400
    assert (
        ask(port, "GET / HTTP/1.1", own, "Authorization: Bearer a", "Authorization: Bearer b").status == 400
    )


def test_foreign_pages_are_403_in_the_shape_of_the_path(port: int) -> None:
    own, kind = f"Host: 127.0.0.1:{port}", "Content-Type: text/plain"
    response = ask(
        port, "POST /v1/messages HTTP/1.1", own, kind, "Origin: https://evil.com", "Content-Length: 0"
    )
    assert response.status == 403
    assert response.json()["type"] == "error"
    assert response.headers["x-patchbay-request-id"]


def test_odd_paths_never_reach_the_admin(port: int) -> None:
    own = f"Host: 127.0.0.1:{port}"
    assert ask(port, "GET /admin/ HTTP/1.1", own).body == b"/admin/ loopback"
    for target in ("//admin/", "/v1/%2e%2e/admin/", "/v1/..;/admin/", "/ADMIN/", "/admin%2f"):
        assert ask(port, f"GET {target} HTTP/1.1", own).status == 404
    assert ask(port, "GET /admin/ HTTP/1.1", own, "X-Forwarded-For: 127.0.0.1").status == 404


def test_websocket_passes_with_our_origin_only(port: int) -> None:
    url, own = f"ws://127.0.0.1:{port}/ws/live", f"http://127.0.0.1:{port}"
    with connect(url, origin=own, proxy=None) as websocket:  # type: ignore[arg-type]
        assert websocket.recv(timeout=PATIENCE) == "loopback"
    for origin in ("https://evil.com", f"http://127.0.0.1:{port + 1}", "null"):
        with pytest.raises(InvalidStatus) as raised:
            connect(url, origin=origin, proxy=None)  # type: ignore[arg-type]
        assert raised.value.response.status_code == 403


@pytest.mark.parametrize("path", ["/v1/responses", "/responses"])
def test_websocket_on_the_api_is_426_with_a_json_error(port: int, path: str) -> None:
    with pytest.raises(InvalidStatus) as raised:
        connect(f"ws://127.0.0.1:{port}{path}", proxy=None)
    response = raised.value.response
    assert response.status_code == 426
    assert response.headers["upgrade"] == "HTTP/1.1"
    assert b'"error"' in response.body
