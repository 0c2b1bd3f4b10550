"""Faults before a request is on its way: names, ports, TLS. In every lane, plain and streaming, with and without help.

As in `test_fault_matrix.py`: one whole good answer, or one clear error in the client's own protocol. Here nothing was
sent, so a backend beside the faulty one always serves.
"""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest
import trustme

from tests.desk import Desk
from tests.patchbay import Answer, Patchbay, free_port
from tests.promises.load import tell
from tests.promises.test_fault_matrix import FORMS, LANES, assert_clear_error, is_whole
from tests.proxyapp.pools import PATHS, Pools
from tests.servers import SimulatorThread

pytestmark = [pytest.mark.promises, pytest.mark.timeout(300)]
CODES = {
    **dict.fromkeys(("expired", "wrong-host", "self-signed", "tls-cut", "tls-stall"), (502, "tls_failed")),
    "refused": (502, "connect_refused"),
    "no-answer": (504, "connect_timeout"),
    "no-name": (502, "dns_failed"),
}
HELP = ("alone", "pool", "other-backend")
SECONDS = 12.0  # some attempts of a second each, on a busy machine
Key = tuple[str, str, str, str, str]


def certificates(ca: trustme.CA) -> dict[str, trustme.LeafCert]:
    then = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    return {
        "expired": ca.issue_cert("127.0.0.1", not_before=then, not_after=then + datetime.timedelta(days=1)),
        "wrong-host": ca.issue_cert("127.0.0.2", "elsewhere.test"),
        "self-signed": trustme.CA().issue_cert("127.0.0.1"),
    }


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port; each connection is served in a thread of its own, and closed."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def with_certificate(cert: trustme.LeafCert) -> Callable[[socket.socket], None]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    cert.configure_cert(context)

    def serve(client: socket.socket) -> None:
        with client:
            client.settimeout(5)
            try:
                with context.wrap_socket(client, server_side=True) as secure:
                    secure.recv(1)
            except OSError:
                pass

    return serve


def silent(client: socket.socket) -> None:
    """Take what comes, and never say a word."""
    with client:
        while client.recv(65536):
            pass


def cut(client: socket.socket) -> None:
    """End within the handshake."""
    with client:
        client.recv(1)


@contextmanager
def full() -> Iterator[int]:
    """A port that answers nobody: whoever waits to be accepted fills it."""
    with socket.socket() as listener, ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield int(listener.getsockname()[1])


@contextmanager
def places(ca: trustme.CA) -> Iterator[dict[str, str]]:
    """The base URL of each fault, without a version."""
    with ExitStack() as open_:
        served = {name: with_certificate(cert) for name, cert in certificates(ca).items()}
        served |= {"tls-stall": silent, "tls-cut": cut}
        found = {name: open_.enter_context(listening(serve)) for name, serve in served.items()}
        yield {
            **{name: f"https://127.0.0.1:{port}" for name, port in found.items()},
            "refused": f"http://127.0.0.1:{free_port()}",
            "no-answer": f"http://127.0.0.1:{open_.enter_context(full())}",
            "no-name": "http://no-such-name.test",
        }


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Key, Future[tuple[Answer, float]]]]:
    ca = trustme.CA()
    trusted = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(str(trusted))
    timeouts = "connect=1,first_byte=3,first_byte_plain=3,idle=3"
    settings = {"SSL_CERT_FILE": str(trusted), "PATCHBAY_UPSTREAM_TIMEOUTS": timeouts}
    with (
        SimulatorThread() as upstream,
        Patchbay(settings | {"PATCHBAY_QUEUE_SECONDS": "2"}) as patchbay,
        Desk(patchbay) as desk,
        ThreadPoolExecutor(16) as threads,
        places(ca) as bases,
    ):
        servers = Pools(patchbay, upstream, desk, threads)
        planned = plan(servers, bases)
        yield {key: threads.submit(timed, patchbay, key, model) for key, model in planned.items()}


def plan(servers: Pools, bases: dict[str, str]) -> dict[Key, str]:
    """Make a backend for each case, and one that is well. Which model each case asks for."""
    orders, models = [], {}
    for client, protocol in LANES:
        kind = {"protocol": protocol}
        if protocol == "responses":
            kind = {"protocol": "openai", "responses": True}  # type: ignore[dict-item]
        well, made = servers.plan({"good": ""}, **kind)
        orders += made
        for fault, base in bases.items():
            for form in FORMS:
                for helped in HELP:
                    names = ("one", "two") if helped == "pool" else ("one",)
                    place = base if protocol == "anthropic" else f"{base}/v1"
                    pool, made = servers.plan(dict.fromkeys(names, ""), base=place, **kind)
                    orders += made
                    model = f"{pool.name}:m"
                    if helped == "other-backend":
                        model = f"route-{pool.name}"
                        targets = [f"{pool.name}:m", f"{well.name}:m"]
                        orders.append({"do": "route", "pattern": model, "targets": targets})
                    models[fault, client, protocol, form, helped] = model
    servers.carry_out(orders)
    return models


def timed(patchbay: Patchbay, key: Key, model: str) -> tuple[Answer, float]:
    _, client, _, form, _ = key
    messages = [{"role": "user", "content": "hello"}]
    body = {"model": model, "stream": form == "stream"}
    body |= {"input": messages} if client == "responses" else {"messages": messages}
    body |= {"max_tokens": 50} if client == "anthropic" else {}
    began = time.monotonic()
    return patchbay.post(PATHS[client], body), time.monotonic() - began


@pytest.mark.parametrize("fault", CODES)
def test_what_was_never_sent_is_served_by_another_backend_or_clearly_refused(
    table: dict[Key, Future[tuple[Answer, float]]], fault: str
) -> None:
    for key, future in table.items():
        if key[0] != fault:
            continue
        _, client, _, form, helped = key
        answer, seconds = future.result()
        assert seconds < SECONDS, key
        if helped == "other-backend":
            assert is_whole(answer, form, client), (key, answer.body)
            continue
        status, code = CODES[fault]
        assert answer.status == status, (key, answer.body)
        assert_clear_error(answer, form, client, key)
        assert code.encode() in answer.body, (key, answer.body)


def test_figures(table: dict[Key, Future[tuple[Answer, float]]]) -> None:
    answers = [future.result() for future in table.values()]
    whole = sum(answer.status == 200 for answer, _ in answers)
    assert whole == len(answers) / len(HELP)
    tell(
        f"{len(answers)} requests ({len(CODES)} faults × {len(LANES)} lanes × 2 forms × {len(HELP)} sizes): {whole}"
        f" whole answers, {len(answers) - whole} clear errors, slowest {max(s for _, s in answers):.1f} s"
    )
