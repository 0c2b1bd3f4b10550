"""`python -m bench.clients [NAME …]`: one line for each tool; exit 1 if any failed or could not be installed."""

from __future__ import annotations

import sys
import time

from bench.clients import agents, libraries
from bench.clients.lab import running_lab
from bench.clients.scenario import look
from tests import isolation

SCENARIOS = (*agents.SCENARIOS, *libraries.SCENARIOS)


def main() -> int:
    """Run the scenarios whose names hold one of the words given; all of them without words."""
    words = [word.lower() for word in sys.argv[1:]]
    chosen = [one for one in SCENARIOS if not words or any(word in one.name.lower() for word in words)]
    if not chosen:
        print(f"No tool is called that. There are: {', '.join(one.name for one in SCENARIOS)}")
        return 2
    began, failed = time.monotonic(), 0
    assert isolation.HOME  # the Patchbay that is started here has nothing to do with the user's own
    with running_lab() as lab:
        for scenario in chosen:
            finding = look(scenario, lab)
            failed += bool(finding.problem)
            print(finding.line(), flush=True)
        if "Traceback" in lab.patchbay.log:
            failed += 1
            print(f"FAILED Patchbay itself: {lab.patchbay.log[-2000:]}")
    print(f"{len(chosen)} tools, {failed} failed, {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
