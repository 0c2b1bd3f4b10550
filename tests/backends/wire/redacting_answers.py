"""Answers as a model writes them, with placeholders, and what they would have been without redaction."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec
from hypothesis import strategies as st

from backends.wire.conversation import Block, Reply, Stop, Text, Thinking, ToolCall
from backends.wire.kinds import Kind
from backends.wire.redaction import Restorer, Vault
from backends.wire.sse import SseReader
from tests.backends.wire.redacting import KEY
from tests.backends.wire.strategies import words

VALUES = ("a@example.com", 'quote " and \\ and\nline', "grüße 世界 😀", "PB_EMAIL_aaaaaaaaaa", "\x01")
VAULT = Vault(KEY)
PLACEHOLDERS = [
    VAULT.placeholder("EMAIL" if "@" in value else "SECRET", value.encode()).decode() for value in VALUES
]
PLAIN = dict(zip(PLACEHOLDERS, VALUES, strict=True))
MAIL, QUOTED = PLACEHOLDERS[:2]
# Text that looks as if a placeholder began, and one that this request did not make.
DECOYS = ("P", "PB", "PB_", "PB_EMAIL", MAIL[:-1], "PB_PB_", "HTTP", "PB_EMAIL_zzzzzzzzzz", "\\P", '"PB')


def plain(text: str) -> str:
    """What the model would have written, had it seen the values."""
    for placeholder, value in sorted(PLAIN.items(), key=lambda pair: pair[1].startswith("PB_")):
        text = text.replace(placeholder, value)
    return text


def restored(kind: Kind, stream: bytes, cuts: Iterable[int] = (), vault: Vault = VAULT) -> bytes:
    """The stream as the client gets it, fed in chunks that end at the cuts."""
    restorer = Restorer(kind, vault)
    ends = [*sorted({cut for cut in cuts if 0 < cut < len(stream)}), len(stream)]
    starts = [0, *ends[:-1]]
    out = [restorer.feed(stream[start:end]) for start, end in zip(starts, ends, strict=True)]
    return b"".join([*out, restorer.end()])


def data_of(stream: bytes) -> list[Any]:
    """The data of each event; the end marker of chat as it is."""
    found = SseReader().feed(stream)
    return [json.loads(event.data) if event.data != b"[DONE]" else "[DONE]" for event in found]


said = st.lists(words | st.sampled_from([*PLACEHOLDERS, *DECOYS]), min_size=1, max_size=6).map("".join)


@st.composite
def written(draw: st.DrawFn) -> tuple[Reply, Reply]:
    """An answer as the model writes it, with placeholders, and what it would have been without redaction."""
    texts = draw(st.lists(said, max_size=2))
    inputs = draw(st.lists(st.dictionaries(said, said | st.lists(said, max_size=2), max_size=2), max_size=2))
    thought = [Thinking("only PB_", origin="chat")] if draw(st.booleans()) else []
    blocks: list[Block] = [
        *thought,
        *map(Text, texts),
        *(_call(at, value) for at, value in enumerate(inputs)),
    ]
    truth: list[Block] = [*thought, *(Text(plain(text)) for text in texts)]
    truth += [_call(at, _plain_value(value)) for at, value in enumerate(inputs)]
    stop = Stop.TOOLS if inputs else Stop.END
    return Reply("msg_1", "model-x", blocks, stop, created=1), Reply(
        "msg_1", "model-x", truth, stop, created=1
    )


def _call(at: int, value: Any) -> ToolCall:
    return ToolCall(f"call_{at}", "tool", msgspec.json.encode(value).decode())


def _plain_value(value: Any) -> Any:
    if isinstance(value, dict):
        return {plain(key): _plain_value(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else plain(value)
