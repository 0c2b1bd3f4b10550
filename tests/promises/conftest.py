"""One cluster for all stories about several machines."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.patchbay import Patchbay
from tests.postgres_server import PostgresServer, binaries
from tests.promises.cluster import Cluster, answers, health, running, until


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    found = binaries()
    if found is None or shutil.which("nginx") is None:
        pytest.skip("a cluster needs PostgreSQL with psycopg, and nginx")
    postgres = PostgresServer(found)
    postgres.start()
    try:
        with running(tmp_path_factory.mktemp("cluster"), postgres) as cluster:
            yield cluster
    finally:
        postgres.remove()


@pytest.fixture
def cluster(servers: Cluster) -> Cluster:
    """The same, whole and well, with an empty ledger."""
    for one in servers.each:
        if not answers(one):
            one.start()
    servers.upstream.reset()
    until(lambda: not any(map(is_apart, servers.each)), "a Patchbay does not reach what it shares")
    return servers


def is_apart(patchbay: Patchbay) -> bool:
    """Whether it complains of Redis or a database."""
    reasons = " ".join(health(patchbay)["reasons"])
    return any(words in reasons for words in ("Redis", "takes no rows", "configuration cannot be read"))
