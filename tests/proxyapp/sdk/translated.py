"""What the tests of the translated lane share: what came upstream, an image, a structured answer."""

from __future__ import annotations

import pydantic

from backends.simulator import Entry
from tests.proxyapp.sdk.clients import CLAUDE, GPT
from tests.servers import SimulatorThread

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
LOCAL = f"local:{GPT}"
"""A model behind chat only: a responses request reaches it as chat."""

RESPONSES_MODELS = [(CLAUDE, MESSAGES), (LOCAL, CHAT)]
"""Where a responses request can be translated to, and the path it takes there."""

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PICTURE = f"data:image/png;base64,{PNG}"


class Person(pydantic.BaseModel):
    """A structured answer."""

    name: str
    age: int


def arrived(upstream: SimulatorThread, path: str) -> Entry:
    """The only request, which went to this path and is answered."""
    entry = upstream.wait_for(lambda entry: entry.method == "POST" and entry.done)
    assert [one.path for one in upstream.journal if one.method == "POST"] == [path]
    return entry
