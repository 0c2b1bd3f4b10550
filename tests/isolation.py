"""A home of its own for every test process, made before Django reads its settings (see addopts in pyproject.toml).

Rule: a test run never sees the operator's PATCHBAY_HOME, keys, proxies or `.env`, and never leaves anything behind.
"""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import tempfile

from hypothesis import HealthCheck, settings

os.umask(0o077)
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

HOME = tempfile.mkdtemp(prefix="patchbay-tests-")
os.environ["PATCHBAY_HOME"] = HOME
atexit.register(shutil.rmtree, HOME, ignore_errors=True)

# A busy machine is no defect: examples are bounded by number, never by time. Few by default, so that the suite stays
# short; HYPOTHESIS_PROFILE=thorough looks longer.
settings.register_profile(
    "patchbay", max_examples=35, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "thorough", max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "patchbay"))


def pytest_xdist_auto_num_workers(config: object) -> int:
    """`-n auto`: two workers for each core, since the tests wait for sockets as much as they compute."""
    return 2 * (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def pytest_collection_finish(session: object) -> None:
    """Thousands of collected tests stay for the whole run: no collection of garbage needs to look at them again."""
    gc.collect()
    gc.freeze()
