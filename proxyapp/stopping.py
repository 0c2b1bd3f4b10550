"""Stopping a request for the operator while it has no answer yet. After that its relay does it."""

from __future__ import annotations

import asyncio

from django.http import HttpResponse

from analytics.drafts import Outcome, RecordDraft
from proxyapp.errors import ProxyError
from proxyapp.relay import STOPPED
from proxyapp.responses import finish, refuse


class Unanswered:
    """The work on a request before its answer: the task it runs in. The live hub's `Work`."""

    __slots__ = ("_task", "is_stopped")

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self.is_stopped = False

    @property
    def passed(self) -> int:
        """Nothing has gone to the client."""
        return 0

    def stop(self) -> bool:
        """Cancel the task: whatever it waits for, upstream or the queue, is given up at once."""
        if self._task is None or self.is_stopped:
            return False
        self.is_stopped = True
        self._task.cancel()
        return True

    def take_back(self) -> None:
        """The cancellation has done its work: the task lives on to answer the client."""
        if self._task is not None:
            self._task.uncancel()


def stopped(draft: RecordDraft) -> HttpResponse:
    """The answer to a client whose request was stopped: an error that says so, and that it should not be repeated."""
    message = "This request was stopped by the operator of Patchbay."
    headers = {"x-should-retry": "false"}
    error = ProxyError(503, message, code="stopped_by_operator", headers=headers)
    finish(draft, Outcome.CANCELLED, error.status, STOPPED)
    return refuse(draft, error)
