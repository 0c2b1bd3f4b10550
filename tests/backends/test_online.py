from __future__ import annotations

import asyncio

import pytest

from backends.addresses import check_base_url
from backends.online import run_online
from backends.upstream import Deadlines, current_upstream
from tests.servers import SimulatorThread


def test_connections_are_closed_with_the_loop() -> None:
    async def fetch(url: str) -> int:
        response = await current_upstream().send(
            method="GET",
            base=check_base_url(url),
            path="/v1/models",
            query=b"",
            headers=[],
            body=b"",
            deadlines=Deadlines(),
        )
        await response.read(2**20)
        response.close()
        return response.status

    with SimulatorThread() as upstream:
        assert run_online(fetch(upstream.url)) == 200
        assert run_online(fetch(upstream.url)) == 200
        assert upstream.journal.connections == 2


def test_a_failure_comes_through() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("as it is")

    with pytest.raises(ValueError, match="as it is"):
        run_online(fail())
