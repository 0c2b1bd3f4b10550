"""Looking names up, judging addresses, connecting to exactly the one that passed."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from backends.addresses import check_base_url
from backends.errors import (
    AddressRefused,
    ConnectFailed,
    ConnectRefused,
    ConnectTimedOut,
    DnsFailed,
)
from backends.http1.dialer import Dialer, Lookup, system_lookup
from backends.http1.exchange import Exchange
from backends.http1.pool import ConnectionPool
from backends.http1.request import Deadlines, build_request
from tests.backends.http1.conftest import PATIENT, settled
from tests.raw_server import (
    RawConnection,
    RawRequest,
    RawServer,
    full_listener,
    repeated,
)


async def ok(connection: RawConnection, _: RawRequest) -> None:
    await connection.answer(b"ok")


class Names:
    """A name server of our own: a name has one list of addresses after the other, the last one for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def pool_with(lookup: Lookup) -> ConnectionPool:
    return ConnectionPool(Dialer(asyncio.get_running_loop(), lookup))


async def ask(pool: ConnectionPool, url: str, deadlines: Deadlines = PATIENT) -> Exchange:
    base = check_base_url(url)
    return await pool.send(base, build_request(b"POST", b"/", base.authority, [], b""), deadlines)


async def test_localhost_is_found_by_the_system() -> None:
    assert "127.0.0.1" in system_lookup("localhost", 80)


async def test_a_name_is_looked_up_and_remembered() -> None:
    names = Names(["127.0.0.1"])
    pool = pool_with(names)
    async with RawServer(repeated(ok)) as server:
        exchanges = await asyncio.gather(*(ask(pool, f"http://gpu.lan:{server.port}") for _ in range(5)))
        exchanges.append(await ask(pool, f"http://gpu.lan:{server.port}"))
        assert {exchange.status for exchange in exchanges} == {200}
        assert names.asked == ["gpu.lan"]
        assert server.requests[0].header(b"host") == [b"gpu.lan:%d" % server.port]
        pool.close()
        await settled(pool)


async def test_an_address_is_not_looked_up() -> None:
    names = Names(["10.0.0.1"])
    pool = pool_with(names)
    async with RawServer(repeated(ok)) as server:
        (await ask(pool, f"http://127.0.0.1:{server.port}")).close()
        assert names.asked == []
        pool.close()
        await settled(pool)


async def test_the_next_address_is_tried_when_one_refuses_or_may_not_be_used() -> None:
    pool = pool_with(Names(["169.254.169.254", "8.8.8.8", "127.0.0.2", "127.0.0.1"]))
    async with RawServer(repeated(ok)) as server:
        exchange = await ask(pool, f"http://gpu.lan:{server.port}")
        assert exchange.status == 200
        pool.close()
        await settled(pool)


async def test_an_address_that_does_not_answer_leaves_time_for_the_next_one() -> None:
    pool = pool_with(Names(["127.0.0.2", "127.0.0.1"]))
    async with RawServer(repeated(ok)) as server:
        with full_listener("127.0.0.2", server.port):
            exchange = await ask(pool, f"http://gpu.lan:{server.port}", Deadlines(connect=2))
        assert exchange.status == 200
        pool.close()
        await settled(pool)


async def test_a_server_on_ipv4_alone_is_found_behind_a_name_with_both() -> None:
    pool = pool_with(Names(["::1", "127.0.0.1"]))
    async with RawServer(repeated(ok)) as server:
        assert (await ask(pool, f"http://localhost:{server.port}")).status == 200
        pool.close()
        await settled(pool)


@pytest.mark.parametrize("address", ["169.254.169.254", "100.100.100.200", "8.8.8.8", "0.0.0.0", "fe80::1%1"])
async def test_a_name_that_leads_to_a_forbidden_address_is_refused(address: str) -> None:
    pool = pool_with(Names([address]))
    with pytest.raises(AddressRefused, match="Check the backend's base URL") as caught:
        await ask(pool, "http://gpu.lan:8000")
    assert caught.value.request_sent == "none"


async def test_a_name_that_changes_its_mind_is_judged_again_at_each_lookup() -> None:
    """First a good address, then, when that has stopped answering, a metadata service."""
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    pool = pool_with(names)
    async with RawServer(repeated(ok)) as server:
        url = f"http://gpu.lan:{server.port}"
        (await ask(pool, url)).close()
    pool.close()
    await settled(pool)
    with pytest.raises(ConnectRefused):
        await ask(pool, url)
    with pytest.raises(AddressRefused):
        await ask(pool, url)
    assert len(names.asked) == 2


async def test_a_port_on_which_nothing_listens() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectRefused, match=r"Nothing listens on 127\.0\.0\.1:") as caught:
            await ask(ConnectionPool(), f"http://127.0.0.1:{sock.getsockname()[1]}")
    assert caught.value.request_sent == "none"
    assert isinstance(caught.value, ConnectFailed)


async def test_a_name_that_does_not_exist() -> None:
    def lookup(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    pool = pool_with(lookup)
    for _ in range(2):
        with pytest.raises(DnsFailed, match=r"gpu\.lan cannot be resolved \(Name or service not known\)"):
            await ask(pool, "http://gpu.lan")


async def test_a_name_without_addresses() -> None:
    with pytest.raises(DnsFailed, match="no address"):
        await ask(pool_with(Names([])), "http://gpu.lan")


async def test_a_lookup_that_hangs_ends_at_the_connect_deadline_and_does_not_fail_others() -> None:
    release = threading.Event()

    def lookup(host: str, port: int) -> list[str]:
        release.wait(20)
        return ["127.0.0.1"]

    pool = pool_with(lookup)
    async with RawServer(repeated(ok)) as server:
        url = f"http://gpu.lan:{server.port}"
        patient = asyncio.create_task(ask(pool, url))
        with pytest.raises(ConnectTimedOut, match="name server"):
            await ask(pool, url, Deadlines(connect=0.05))
        leaver = asyncio.create_task(ask(pool, url))
        await asyncio.sleep(0)
        leaver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaver
        release.set()
        assert (await patient).status == 200
        pool.close()
        await settled(pool)
