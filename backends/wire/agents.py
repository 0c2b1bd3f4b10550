"""Which agent of a session asks: coding tools start agents of their own, and say so in headers.

Rule: only what a client names counts; nothing here is guessed from a body, and nothing here raises.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from backends.wire.session import safe_id


class Lineage(msgspec.Struct, frozen=True):
    """Where in the tree of one piece of work a request stands; all three as `session_of()` gives ids.

    `session`: the work as a whole. `agent`: "" for the session's own voice. `parent`: the agent that started this
    one; "" when the session itself did, or nobody says.
    """

    session: str
    agent: str = ""
    parent: str = ""


def lineage_of(headers: Mapping[bytes, bytes], session: str) -> Lineage:
    """The lineage of a request whose session is `session`. `headers`: by lower-case name.

    Claude Code names agents beside the session, and the parent of those that an agent started
    (code.claude.com/docs/en/llm-gateway-protocol). A thread of Codex that is not the session's first is an agent
    (codex-rs/codex-api/src/requests/headers.rs, codex-rs/core/src/client.rs). An agent of OpenCode has a session of
    its own and names its parent's (packages/opencode/src/session/llm/request.ts): here it is an agent of that one.
    """
    if agent := _id(headers, b"x-claude-code-agent-id"):
        return Lineage(session, agent, _other(_id(headers, b"x-claude-code-parent-agent-id"), session))
    thread, parent = _id(headers, b"thread-id"), _id(headers, b"x-codex-parent-thread-id")
    if thread and thread != session:
        return Lineage(session, thread, _other(parent, session))
    if session and (elder := _other(_id(headers, b"x-parent-session-id"), session)):
        return Lineage(elder, session)
    return Lineage(session)


def _id(headers: Mapping[bytes, bytes], name: bytes) -> str:
    value = headers.get(name)
    return safe_id(value) if value else ""


def _other(found: str, session: str) -> str:
    """The id, unless it is the session's own: the session is no agent."""
    return "" if found == session else found
