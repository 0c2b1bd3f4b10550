"""Inputs for a target as hypothesis makes them: any bytes, and seeds that were damaged."""

from __future__ import annotations

from hypothesis import strategies as st

from bench.fuzz.targets import seeds

_TOKENS = st.sampled_from(
    (
        b"\r\n",
        b"\n",
        b'"',
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b"\\u0000",
        b"\\ud800",
        b"../",
        b"%2e",
        b"\x00",
        b"\xff",
        b":",
    )
)


@st.composite
def _damaged(draw: st.DrawFn, name: str) -> bytes:
    """A seed with a few pieces taken out, doubled or replaced."""
    data = draw(st.sampled_from(seeds(name)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 20)))
        new = draw(_TOKENS | st.binary(max_size=8) | st.just(data[start:end] * 2))
        data = data[:start] + new + data[end:]
    return data


def inputs(name: str) -> st.SearchStrategy[bytes]:
    """Bytes for the target of this name."""
    return _damaged(name) | st.binary(max_size=300)
