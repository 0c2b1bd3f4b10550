"""Agents and sub-agents, as the clients name them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.wire.agents import Lineage, lineage_of

CLAUDE, PARENT = b"x-claude-code-agent-id", b"x-claude-code-parent-agent-id"
THREAD, ELDER = b"thread-id", b"x-codex-parent-thread-id"


@pytest.mark.parametrize(
    ("headers", "lineage"),
    [
        ({}, Lineage("s")),
        ({CLAUDE: b"a1"}, Lineage("s", "a1")),
        ({CLAUDE: b"a2", PARENT: b"a1"}, Lineage("s", "a2", "a1")),
        ({PARENT: b"a1"}, Lineage("s")),
        ({CLAUDE: b"  "}, Lineage("s")),
        ({THREAD: b"s"}, Lineage("s")),
        ({THREAD: b"t1", ELDER: b"s"}, Lineage("s", "t1")),
        ({THREAD: b"t2", ELDER: b"t1"}, Lineage("s", "t2", "t1")),
        ({b"x-parent-session-id": b"root"}, Lineage("root", "s")),
        ({b"x-parent-session-id": b"s"}, Lineage("s")),
    ],
)
def test_documented_headers(headers: dict[bytes, bytes], lineage: Lineage) -> None:
    assert lineage_of(headers, "s") == lineage


def test_without_a_session_a_parent_session_makes_no_agent() -> None:
    assert lineage_of({b"x-parent-session-id": b"root"}, "") == Lineage("")


@given(st.dictionaries(st.sampled_from([CLAUDE, PARENT, THREAD, ELDER, b"x-parent-session-id"]), st.binary()))
def test_whatever_a_client_sends_can_be_stored(headers: dict[bytes, bytes]) -> None:
    found = lineage_of(headers, "s")
    for id_ in (found.session, found.agent, found.parent):
        assert len(id_) <= 80
        assert id_.isascii()
        assert id_.isprintable()
        assert " " not in id_
