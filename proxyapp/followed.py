"""Which conversation a stored response belongs to, so that a follow-up that names only it stays on its account.

`previous_response_id` is known to the provider's organisation that gave the answer: another account of the pool would
answer that there is no such response. In memory of this process, bounded by number.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from backends.wire.session import NO_SESSION, Session

MOST = 20_000


@dataclass
class Followed:
    """Sessions by client key and response id, the most recently used last."""

    _sessions: OrderedDict[tuple[str, str], str] = field(default_factory=OrderedDict)

    def keep(self, key: str, response_id: str, session_id: str) -> None:
        """An answer of this session has this id."""
        if not response_id or not session_id:
            return
        self._sessions[key, response_id] = session_id
        self._sessions.move_to_end((key, response_id))
        if len(self._sessions) > MOST:
            self._sessions.popitem(last=False)

    def session(self, key: str, response_id: str) -> Session:
        """The session that a follow-up continues; none for a response that is not known here."""
        found = self._sessions.get((key, response_id))
        return Session(found, "previous_response") if found else NO_SESSION


followed = Followed()
