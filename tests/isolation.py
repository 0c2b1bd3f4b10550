"""A home of its own for every test process, made before Django reads its settings (see addopts in pyproject.toml).

Rule: a test run never sees the operator's PATCHBAY_HOME, keys, proxies or `.env`, and never leaves anything behind.
"""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

from tests import on_postgres
from tests.patchbay import RUN_DIRECTORY

os.umask(0o077)
_wanted = os.environ.get(on_postgres.WANTED, "")
for _name in [name for name in os.environ if name.startswith("PATCHBAY_")]:
    del os.environ[_name]
for _name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
    os.environ.pop(_name, None)
for _name in (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
):
    os.environ.pop(_name, None)


def _own_temporary_directory() -> None:
    """Whatever this run and its processes write goes below one directory, which goes with the run.

    The workers of pytest-xdist have it from the process that started them. A short name, as sockets live in it;
    others may pass through, since PostgreSQL runs as somebody else, but not look.
    """
    if RUN_DIRECTORY in os.environ:
        return
    root = tempfile.mkdtemp(prefix="patchbay-")
    os.chmod(root, 0o711)
    os.environ["TMPDIR"] = os.environ[RUN_DIRECTORY] = tempfile.tempdir = root
    atexit.register(shutil.rmtree, root, ignore_errors=True)


_own_temporary_directory()
HOME = tempfile.mkdtemp(prefix="home-")
os.environ["PATCHBAY_HOME"] = HOME

# Hundreds of processes start from this tree: each would compile it again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

on_postgres.open_run(_wanted)

# A busy machine is no defect: examples are bounded by number, never by time. Few by default, so that the suite stays
# short; HYPOTHESIS_PROFILE=thorough looks longer.
settings.register_profile(
    "patchbay", max_examples=35, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "thorough", max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "patchbay"))


@pytest.hookimpl(tryfirst=True)  # pytest-xdist's own answer counts cores, and would be asked before
def pytest_xdist_auto_num_workers(config: object) -> int:
    """`-n auto`: two workers for each core, since the tests wait for sockets as much as they compute."""
    return 2 * (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def pytest_configure(config: pytest.Config) -> None:
    """By now Django has read its settings."""
    on_postgres.settings_were_read(config)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On PostgreSQL, tests about SQLite's own files are skipped, and say what of the file they are about."""
    for item in items if on_postgres.is_on() else ():
        if found := item.get_closest_marker("sqlite"):
            item.add_marker(pytest.mark.skip(reason=f"about SQLite: {found.args[0]}"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None]:
    """The databases of a module's homes go with it."""
    yield
    if on_postgres.is_on() and (nextitem is None or nextitem.path != item.path):
        on_postgres.drop_homes()


def pytest_collection_finish(session: object) -> None:
    """Thousands of collected tests stay for the whole run: no collection of garbage needs to look at them again."""
    gc.collect()
    gc.freeze()
