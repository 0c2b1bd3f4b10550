"""The pool's clock: seconds that nobody sets, and that also pass while the machine sleeps.

Rule: waits and deadlines are kept on this clock, so a step of the wall clock neither benches an account for
hours nor frees it early. `time.monotonic()` stands still while a laptop sleeps; a window's reset does not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial


def _source() -> Callable[[], float]:
    boot_time = getattr(time, "CLOCK_BOOTTIME", None)  # Linux
    if boot_time is None:
        return time.monotonic
    return partial(time.clock_gettime, boot_time)


clock: Callable[[], float] = _source()
