"""Webhooks of an operator, for the tests of notices."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.analytics.hooks import Hook


@pytest.fixture
def hook() -> Iterator[Hook]:
    """Takes what it is told."""
    made = Hook()
    yield made
    made.close()


@pytest.fixture
def refusing() -> Iterator[Hook]:
    """Takes it at the second try."""
    made = Hook(refusals=1)
    yield made
    made.close()


@pytest.fixture
def stuck() -> Iterator[Hook]:
    """Reads it, and never answers."""
    made = Hook(is_stuck=True)
    yield made
    made.close()
