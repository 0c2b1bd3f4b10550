"""`python -m bench.pool`: which strategy meets fewer limits and keeps more sessions where their cache is.

Replays weeks of seeded, synthetic traffic in simulated time through the real pool. Exit code 1 when `forecast` does
not give fewer 429s and fewer session moves than round-robin and fill-first.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.pool.table import Rows

LOADS = (0.6, 0.85)  # of the pool's weekly quota: there is enough, and it is tight at the busiest hours
SEEDS = 4


def main() -> int:
    """Print a table for each load, and the verdict."""
    options = _options().parse_args()
    _set_up()
    from bench.pool.table import added_up, losses, markdown

    began, lost = time.perf_counter(), []
    with ProcessPoolExecutor(initializer=_set_up) as workers:
        for load in options.load or LOADS:
            rows = added_up(workers.map(partial(_week, load=load), range(options.seeds)))
            requests = next(iter(rows.values())).requests
            print(f"{options.seeds} weeks, {requests:,} requests that need {load:.0%} of the weekly quota:\n")
            print(f"{markdown(rows)}\n", flush=True)
            lost += [f"at {load:.0%}: {loss}" for loss in losses(rows)]
    print(f"{time.perf_counter() - began:.0f} s. forecast against round-robin and fill-first: ", end="")
    print("fewer 429s and fewer session moves." if not lost else f"NOT better in {'; '.join(lost)}.")
    return 1 if lost else 0


def _set_up() -> None:
    """Django, which the pool's models need, in this process."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "router_site.settings")
    import django

    django.setup()


def _week(seed: int, load: float) -> Rows:
    from bench.pool.table import one_week

    return one_week(seed, load)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.pool", description=__doc__)
    parser.add_argument(
        "--seeds", type=int, default=SEEDS, metavar="N", help=f"how many weeks (default {SEEDS})"
    )
    parser.add_argument(
        "--load",
        type=float,
        action="append",
        metavar="SHARE",
        help="of the weekly quota that is needed, 0 to 1",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
