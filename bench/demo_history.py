"""A month of plausible traffic in a home of its own, for the pictures in the documentation and the tests of the pages.

    python -m bench.demo_history --home /tmp/demo [--days 30] [--upstream http://127.0.0.1:8080]

Everything is invented, the same each time for the same day, and ends now. It refuses a home that holds a history or
a backend already. It prints a client key of that home.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from bench.history_home import open_home


def main() -> None:
    """Fill the home."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path, required=True, help="an empty directory, or a new one")
    parser.add_argument("--days", type=int, default=30, help="how far back the traffic goes")
    parser.add_argument("--upstream", default="", help="where the backends are; nowhere unless given")
    options = parser.parse_args()
    open_home(options.home)

    from bench.demo_home import NOWHERE, fill

    print(fill(datetime.now(UTC), options.days, options.upstream or NOWHERE))


if __name__ == "__main__":
    main()
