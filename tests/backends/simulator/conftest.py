"""A simulated provider for each file of tests; nothing is left in it when a test begins."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import SimulatorThread


@pytest.fixture(scope="module")
def running() -> Iterator[SimulatorThread]:
    with SimulatorThread() as upstream:
        yield upstream


@pytest.fixture
def upstream(running: SimulatorThread) -> SimulatorThread:
    running.reset()
    return running
