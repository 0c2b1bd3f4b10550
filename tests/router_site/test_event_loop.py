"""What the server's libraries can do without is not loaded with them."""

from __future__ import annotations

import subprocess
import sys

PROBE = """
import sys
import router_site.settings
from router_site.server.event_loop import load_server

load_server()
print(*sorted({"OpenSSL", "_nvx_utf8validator", "cffi", "cbor2", "click"} & set(sys.modules)))
import OpenSSL
print("usable")
"""


def test_optional_parts_are_left_out_and_can_still_be_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.splitlines() == ["", "usable"], done.stderr
