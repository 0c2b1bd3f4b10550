"""A route's request template at work on one attempt.

A template whose stored text cannot be read is not used: refusing every request of its route would punish the people who
ask for a mistake in the configuration, which they can neither see nor mend. It is never silent, though: the log, the
admin and `routes explain` say why, and each such request carries the mutation `template:NAME=unreadable`.
"""

from __future__ import annotations

from dataclasses import dataclass

from backends.routing import Target as RouteTarget
from backends.wire.kinds import Kind
from backends.wire.target import Target
from backends.wire.templates import NameClash, NameStream, Template, ToolNames, apply
from proxyapp.call import ClientCall
from proxyapp.edges import Edge
from proxyapp.errors import ProxyError
from proxyapp.lane import Outgoing


def template_edge(call: ClientCall, target: RouteTarget, kind: Kind) -> Edge | None:
    """The template of the target's route for one attempt; None where there is none, as under `--passthrough`."""
    given = target.template
    if given is None or call.snapshot.routing.passthrough:
        return None
    if given.template is None:
        return UnreadableTemplate(given.name)
    if given.template.is_empty:
        return None
    return TemplateEdge(given.template, kind, Target(target.model, target.backend.preset))


@dataclass(slots=True)
class TemplateEdge:
    """One template: the request gets it on the way up, the answer loses its tool names on the way down."""

    template: Template
    kind: Kind
    target: Target
    names: ToolNames | None = None

    async def outgoing(self, going: Outgoing) -> None:
        try:
            applied = apply(self.template, self.kind, going.body, going.headers, self.target)
        except NameClash as exc:
            raise ProxyError(
                400, exc.message, code="tool_name_clash", param=exc.field, is_rejection=True
            ) from exc
        going.body, going.headers, self.names = applied.body, applied.headers, applied.names
        going.mutations += applied.mutations

    def whole(self, body: bytes) -> bytes:
        return body if self.names is None else self.names.whole(body)

    def stream(self) -> NameStream | None:
        return None if self.names is None else self.names.stream()

    def conceal(self, text: str) -> str:
        return text


@dataclass(slots=True)
class UnreadableTemplate:
    """Says that a template was not used."""

    name: str

    async def outgoing(self, going: Outgoing) -> None:
        going.mutations.append(f"template:{self.name}=unreadable")

    def whole(self, body: bytes) -> bytes:
        return body

    def stream(self) -> None:
        return None

    def conceal(self, text: str) -> str:
        return text
