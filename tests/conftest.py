"""How a run with pytest-xdist wastes no time: no test file is compiled twice, and the longest are begun first."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Every worker needs every test file, compiled by pytest, which is slow: each begins with other files.

    What cannot be imported is left to the collection, which reports it.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0"))
    if not workers:
        return
    own = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
    for module in list(_modules(session.config))[own::workers]:
        with suppress(Exception, pytest.skip.Exception):
            import_module(module)


def _modules(config: pytest.Config) -> Iterator[str]:
    """The names of the test files below the directories that were asked for."""
    asked = [(config.rootpath / word).resolve() for word in config.args]
    for path in sorted((config.rootpath / "tests").rglob("test_*.py")):
        if any(path.is_relative_to(directory) for directory in asked):
            yield ".".join(path.relative_to(config.rootpath).with_suffix("").parts)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that start a Patchbay come first, and of like files the one with more tests.

    What is handed out last is then short, so that the workers end together. `--no-loadscope-reorder` keeps this order.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    tests = Counter(item.path for item in items)
    items.sort(key=lambda item: (not _starts_one(item), -tests[item.path]))


def _starts_one(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and hasattr(item.module, "Patchbay")
