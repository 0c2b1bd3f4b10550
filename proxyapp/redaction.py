"""Redaction at the edge to a backend that asks for it: secrets and personal data leave as placeholders, and the answer
gets them back.

Rule: what cannot be redacted is not sent. Rules that cannot be used, or a body that cannot be read, end the attempt.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterable

from django.conf import settings

from backends.config import Redaction
from backends.routing import Target
from backends.wire.kinds import Kind
from backends.wire.redaction import Finding, Restorer, RuleSet, Vault, redact_request, restore_body
from backends.wire.shapes import BadBody
from backends.wire.splice import splice
from proxyapp.call import ClientCall
from proxyapp.edges import LARGE_BODY, Edge, EdgeStream
from proxyapp.errors import ProxyError
from proxyapp.lane import Outgoing

MOST_LISTED = 20
_LONGEST_PATH = 120
_UNFIT = re.compile(r"[^!-+\--~]")  # what a header's list cannot hold: all but visible ASCII, and the comma


def redaction_edge(call: ClientCall, target: Target, kind: Kind) -> Edge | None:
    """The edge to a target whose backend redacts; None for all others, and under --passthrough.

    `kind` is the operation at the backend.
    """
    routing = call.snapshot.routing
    if not target.backend.redacts or routing.passthrough:
        return None
    if not routing.redaction.problem and not routing.redaction.rules:
        return None  # every rule is turned off
    return RedactionEdge(target.backend.name, kind, routing.redaction)


class RedactionEdge:
    """One attempt's way through the rules, and what its placeholders stand for."""

    def __init__(self, backend: str, kind: Kind, redaction: Redaction) -> None:
        self._backend, self._kind, self._redaction = backend, kind, redaction
        self._vault = Vault(settings.PATCHBAY_REDACTION_KEY)

    async def outgoing(self, going: Outgoing) -> None:
        """Replace every match in the request's content. Raises ProxyError."""
        if self._redaction.problem:
            raise _unusable(self._backend, self._redaction.problem)
        rules = self._redaction.rules
        if len(going.body) > LARGE_BODY:
            found = await asyncio.to_thread(_redacted, self._kind, going.body, rules, self._vault)
        else:
            found = _redacted(self._kind, going.body, rules, self._vault)
        going.body, findings = found
        going.mutations += mutations_of(findings)

    def whole(self, body: bytes) -> bytes:
        """A whole answer, or an error, with the values back in place."""
        return restore_body(body, self._vault)

    def stream(self) -> EdgeStream | None:
        """The same for a stream; None where nothing was replaced."""
        return None if self._vault.is_empty else Restorer(self._kind, self._vault)

    def conceal(self, text: str) -> str:
        """A text with placeholders again: no history and no log holds what was hidden from the backend."""
        return self._vault.conceal(text)


def mutations_of(findings: Iterable[Finding]) -> list[str]:
    """`$.messages[3].content=EMAIL` for each place and type, the first twenty; then how many more there are."""
    places = Counter((finding.path, finding.type) for finding in findings)
    listed = [f"{_fit(path)}={label}" for path, label in list(places)[:MOST_LISTED]]
    more = len(places) - len(listed)
    return [*listed, f"redacted={more}-more-places"] if more else listed


def _fit(path: str) -> str:
    """A path as a header can carry it. The names in it are the client's."""
    fit = _UNFIT.sub("?", path)
    return fit if len(fit) <= _LONGEST_PATH else f"{fit[: _LONGEST_PATH - 1]}~"


def _redacted(kind: Kind, body: bytes, rules: RuleSet, vault: Vault) -> tuple[bytes, list[Finding]]:
    try:
        edits, findings = redact_request(kind, body, rules, vault)
    except BadBody as exc:
        raise ProxyError(400, exc.message, is_rejection=True) from exc
    return (splice(body, edits) if edits else body), findings


def _unusable(backend: str, problem: str) -> ProxyError:
    message = (
        f"Backend {backend} gets redacted requests only, and {problem} Correct the rule, or turn it off:"
        " python manage.py redaction list"
    )
    return ProxyError(503, message, code="redaction_unusable")
