"""One template at work on one request: what goes to the backend, what was changed, what to restore in the answer."""

from __future__ import annotations

from dataclasses import dataclass

from backends.wire.kinds import Kind, Protocol
from backends.wire.quirks import BETA_HEADER, Quirk, QuirkKind, betas_in, without
from backends.wire.target import Target
from backends.wire.templates.draft import NOTE, Draft
from backends.wire.templates.names import ToolNames
from backends.wire.templates.parameters import put_parameters
from backends.wire.templates.spec import BetaRule, Template
from backends.wire.templates.system import put_system
from backends.wire.templates.tools import put_tools

Headers = list[tuple[bytes, bytes]]
_TALKING = frozenset((Kind.MESSAGES, Kind.COUNT_TOKENS, Kind.CHAT, Kind.RESPONSES))


@dataclass(frozen=True, slots=True)
class Applied:
    """A request with its template. `names`: the tools whose names the answer must get back; None for none."""

    body: bytes
    headers: Headers
    mutations: tuple[str, ...]
    names: ToolNames | None = None


def apply(template: Template, kind: Kind, body: bytes, headers: Headers, target: Target) -> Applied:
    """Apply a template to a request as the backend is to get it. `kind` is the operation there.

    `body` is a JSON object that has been checked (`splice.peek`) or was written by us. All bytes outside the changed
    spans stay; the body is the same object when nothing in it changes. Raises NameClash.
    """
    mutations: list[str] = []
    if kind.protocol is Protocol.ANTHROPIC and not template.beta.is_empty:
        body, headers, mutations = _with_betas(template.beta, kind, body, headers)
    draft, names = Draft(body), None
    if kind in _TALKING:
        put_system(draft, template.system, kind)
        names = put_tools(draft, template, kind)
    put_parameters(draft, template, kind, target)
    for name, value in template.headers:
        headers = _with_header(headers, name.encode(), value.encode(), draft)
    return Applied(draft.finished(), headers, (*draft.mutations, *mutations), names)


def _with_header(headers: Headers, name: bytes, value: bytes, draft: Draft) -> Headers:
    if [given for key, given in headers if key == name] == [value]:
        return headers
    draft.mutations.append(f"header:{name.decode()}={NOTE}")
    return [*((key, given) for key, given in headers if key != name), (name, value)]


def _with_betas(
    rule: BetaRule, kind: Kind, body: bytes, headers: Headers
) -> tuple[bytes, Headers, list[str]]:
    """The beta header by the rule. A value goes with the field that it switches on: half of a pair is refused."""
    sent = betas_in(headers)
    barred = [beta for beta in sent if not rule.passes(beta)]
    mutations: list[str] = []
    if barred:
        pairs = without([Quirk(QuirkKind.BETA, beta) for beta in barred], kind, body, headers)
        body, headers = pairs.body, pairs.headers
        fields = (text for text in pairs.mutations if text.startswith("$."))
        mutations = [f"{text.rpartition('=')[0]}={NOTE}" for text in fields]
    values = [beta for beta in betas_in(headers) if rule.passes(beta)]
    values += [beta for beta in rule.add if beta not in values]
    if values == sent:
        return body, headers, mutations
    others = [(name, value) for name, value in headers if name != BETA_HEADER]
    header = [(BETA_HEADER, ",".join(values).encode())] if values else []
    return body, others + header, [*mutations, f"header:{BETA_HEADER.decode()}={NOTE}"]
