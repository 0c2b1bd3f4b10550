"""`python -m bench.routing_cost`: what a routing decision costs, with 10,000 routes, 1,000 of them aliases.

No network, no database. Names are asked that no cache has seen, and again when it has; conditions, weights and
capabilities are in the routes that are hit. The median of many decisions counts; the budget is 20 µs.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from datetime import datetime

from backends.addresses import check_base_url
from backends.conditions import StatedFacts, parse_conditions
from backends.config import BackendConfig, CatalogEntry, RouteConfig, Routing, TargetConfig
from backends.routing import decide
from backends.wire.kinds import Kind, Protocol
from bench import machine

ROUTES, ALIASES, BACKENDS = 10_000, 1_000, 12
CALLS = 20_000
BUDGET_US = 20.0


def routing() -> Routing:
    """Twelve backends with catalogs; aliases, patterns by prefix, by suffix and with conditions."""
    base = check_base_url("http://127.0.0.1:9/v1")
    backends = {
        f"b{number}": BackendConfig(
            f"b{number}",
            Protocol.OPENAI,
            base,
            frozenset(Kind),
            catalog={
                f"model-{number}-{n}": CatalogEntry(f"model-{number}-{n}", context=128_000)
                for n in range(200)
            },
        )
        for number in range(BACKENDS)
    }
    aliases = [RouteConfig(f"alias-{n}", _plain(n)) for n in range(ALIASES)]
    globs = [RouteConfig(f"team{n % 400}/model-{n}-*", _plain(n)) for n in range(ROUTES - ALIASES - 1020)]
    special = [RouteConfig(f"pick-{n}-*", _conditional(n)) for n in range(1000)]
    suffixes = [RouteConfig(f"*-suffix-{n}", _plain(n)) for n in range(19)]
    return Routing(backends, (*aliases, *globs, *special, *suffixes, RouteConfig("*", _plain(0)))).prepare()


def _plain(number: int) -> tuple[TargetConfig, ...]:
    names = [f"b{(number + step) % BACKENDS}" for step in range(2)]
    return tuple(TargetConfig(name, "m", position) for position, name in enumerate(names))


def _conditional(number: int) -> tuple[TargetConfig, ...]:
    large = parse_conditions({"min_tokens": 100_000, "needs": ["tools"], "hours": ["22:00-06:00"]})
    return (
        TargetConfig(f"b{number % BACKENDS}", "large", 0, 1, large),
        TargetConfig("b1", "m", 1, 3),
        TargetConfig("b2", "m", 1, 1),
        TargetConfig("b3", "m", 2),
    )


def median_us(names: Iterable[str], ask: Callable[[str], object]) -> float:
    """The median time of one decision, in microseconds."""
    taken = []
    for name in names:
        began = time.perf_counter_ns()
        ask(name)
        taken.append(time.perf_counter_ns() - began)
    return statistics.median(taken) / 1000


def measure() -> dict[str, float]:
    """Medians by what is asked."""
    table = routing()
    facts = StatedFacts(datetime(2026, 1, 5, 12, 0), frozenset({"tools"}), 5_000, "ci", "h-0123456789")  # noqa: DTZ001

    def ask(name: str) -> object:
        return decide(name, Protocol.OPENAI, table, facts)

    asked = {
        "alias": [f"alias-{n % ALIASES}" for n in range(CALLS)],
        "prefix": [f"b{n % BACKENDS}:model-{n}" for n in range(CALLS)],
        "pattern, new names": [f"team{n % 400}/model-{n % 7000}-{n}" for n in range(CALLS)],
        "pattern, known names": [f"team{n % 400}/model-{n % 400}-x" for n in range(CALLS)],
        "conditions and weights": [f"pick-{n % 1000}-x" for n in range(CALLS)],
        "catalog": [f"model-{n % BACKENDS}-{n % 200}" for n in range(CALLS)],
        "default route, new names": [f"unknown-{n}" for n in range(CALLS)],
    }
    for names in asked.values():
        median_us(names[:200], ask)
    return {what: round(median_us(names, ask), 2) for what, names in asked.items()}


def main() -> None:
    """Print the medians; exit 1 if one is over the budget."""
    found = measure()
    if "--json" in sys.argv:
        print(json.dumps({"machine": machine.describe(), "routes": ROUTES, "aliases": ALIASES, "us": found}))
    else:
        print(
            f"decide() with {ROUTES:,} routes, {ALIASES:,} of them aliases; median, budget {BUDGET_US:g} µs"
        )
        for what, value in found.items():
            print(f"  {what:<26}{value:8.2f} µs")
    sys.exit(any(value > BUDGET_US for value in found.values()))


if __name__ == "__main__":
    main()
