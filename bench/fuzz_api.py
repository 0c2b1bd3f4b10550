"""`make fuzz-api`: schemathesis against a demo server on loopback, by the OpenAPI document that the server publishes.

Generated requests within the document's bounds; every answer must have a status, a type and a shape that it names.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.patchbay import Patchbay

CHECKS = "status_code_conformance,content_type_conformance,response_schema_conformance"
EXAMPLES = 8  # for each of the operations: some 10 s on two cores


def main() -> int:
    """Exit code of schemathesis. The program is the first argument."""
    program = str(Path(sys.argv[1]).absolute())
    with Patchbay(flags=("--demo",)) as patchbay:
        words = ["run", f"{patchbay.url}/openapi.json", "--no-color", "--phases", "examples,fuzzing"]
        words += ["--max-examples", str(EXAMPLES), "--checks", CHECKS, "--suppress-health-check", "all"]
        words += ["--exclude-path", "/analytics/stream", "--request-timeout", "10"]  # a feed has no end
        return subprocess.run([program, *words], check=False, cwd=patchbay.home).returncode


if __name__ == "__main__":
    sys.exit(main())
