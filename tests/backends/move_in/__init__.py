"""Sample configurations of other routers, written for the tests with the settings that their documents name.

Every secret in them holds the word `canary`, so that a test sees one wherever it turns up.
"""

from __future__ import annotations

from pathlib import Path

SAMPLES = Path(__file__).resolve().parent
CANARY = "canary"


def sample(name: str) -> str:
    """The text of a sample."""
    return (SAMPLES / name).read_text()
