"""Requests refused before the views: by the server (framing, limits) and by the gate. Each leaves a record."""

from __future__ import annotations

from analytics.drafts import Outcome, RecordDraft
from backends.wire.kinds import protocol_of_path
from proxyapp.responses import finish


def record_rejection(method: str, path: str, status: int, message: str, request_id: str, peer: str) -> None:
    """One row. `peer` is not kept: who called is told by the client key, if by anything."""
    draft = RecordDraft(request_id, protocol_of_path(path), None, method=method, path=path)
    finish(draft, Outcome.REJECTED, status, message)
