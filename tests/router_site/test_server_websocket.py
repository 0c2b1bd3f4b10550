"""WebSockets through Daphne's protocol on our connections."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.router_site.server_process import ServerProcess, get


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess() as process:
        yield process


def url(server: ServerProcess, path: str = "/ws/live") -> str:
    return f"ws://127.0.0.1:{server.port}{path}"


def send_for_ever(websocket: ClientConnection) -> None:
    while True:
        websocket.send("more")


def test_messages_go_both_ways(server: ServerProcess) -> None:
    with connect(url(server), proxy=None) as websocket:
        for text in ("hello", "x" * 60_000, "é"):
            websocket.send(text)
            assert websocket.recv(timeout=20) == text


def test_application_learns_of_the_end(server: ServerProcess) -> None:
    before = server.count("websocket-ended")
    with connect(url(server), proxy=None):
        pass
    assert server.wait_for("websocket-ended", number=before + 1)["code"] == 1000


def test_refused_upgrade_is_403(server: ServerProcess) -> None:
    with pytest.raises(InvalidStatus) as raised, connect(url(server, "/ws/refused"), proxy=None):
        pass
    assert raised.value.response.status_code == 403


@pytest.mark.parametrize("path", ["/v1/responses", "/responses"])
def test_upgrade_of_an_api_path_reaches_the_application_as_http(server: ServerProcess, path: str) -> None:
    headers = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
    seen = server.ask(get(path, *headers)).json()
    assert (seen["method"], seen["path"]) == ("GET", path)
    assert ["upgrade", "websocket"] in seen["headers"]


def test_root_path_header_is_dropped(server: ServerProcess) -> None:
    before = server.count("websocket")
    with connect(url(server), additional_headers={"Daphne-Root-Path": "/x"}, proxy=None):
        seen = server.wait_for("websocket", number=before + 1)
    assert seen["root_path"] == ""
    assert "daphne-root-path" not in seen["headers"]


def test_message_above_the_limit_ends_the_connection(server: ServerProcess) -> None:
    with connect(url(server), proxy=None) as websocket:
        websocket.send("x" * 70_000)
        with pytest.raises(ConnectionClosed):
            websocket.recv(timeout=20)
    assert server.is_well()


def test_messages_that_nobody_reads_end_the_connection(server: ServerProcess) -> None:
    with connect(url(server), proxy=None) as websocket:
        websocket.send("sleep")
        with pytest.raises(ConnectionClosed):
            send_for_ever(websocket)
    assert server.is_well()


def test_client_that_does_not_read_is_cut_after_the_stall_limit() -> None:
    """The application is stopped: it would send for ever to nobody."""
    with ServerProcess(limits={"stall_seconds": 1.0, "application_close_seconds": 1.0}) as server:
        with connect(url(server), proxy=None, max_queue=1, close_timeout=1) as websocket:
            websocket.send("flood")
            server.wait_for("sent")
            server.wait_for("websocket-ended")
        assert server.is_well()


def test_upgrade_without_its_headers_is_refused_and_harmless() -> None:
    with ServerProcess() as server:
        response = server.ask(get("/ws/live", "Upgrade: websocket", "Connection: Upgrade"))
        assert response.status == 400
        assert server.is_well()
        server.terminate()
        assert server.wait_exit() == 0
        assert server.errors == ""


def test_drain_closes_websockets_with_going_away() -> None:
    with ServerProcess(drain=30) as server:
        with connect(url(server), proxy=None) as websocket:
            server.wait_for("websocket")
            server.terminate()
            with pytest.raises(ConnectionClosed) as raised:
                websocket.recv(timeout=20)
        assert raised.value.rcvd is not None
        assert raised.value.rcvd.code == 1001
        assert server.wait_exit() == 0
        assert server.count("websocket-ended") == 1
        assert server.errors == ""
