"""One request is a straight line: `handle()` is the only function that knows the order."""

from __future__ import annotations

from django.http.response import HttpResponseBase

from accounts.services import refresh_catalogs
from accounts.snapshot import keeper
from backends.config import glob_matches
from backends.routing import Decision, NoRoute, Rule, decide
from backends.wire.kinds import Kind
from proxyapp.call import ClientCall
from proxyapp.errors import ProxyError
from proxyapp.estimates import estimated_count
from proxyapp.exchange import exchange
from proxyapp.policy import Move
from proxyapp.responses import answer_locally, respond
from proxyapp.trail import Trail


async def handle(call: ClientCall) -> HttpResponseBase:
    """From a checked request to its response. Raises ProxyError when there is no upstream answer to pass on."""
    decision = await route(call)
    allow(call, decision)
    if call.kind is Kind.COUNT_TOKENS and Kind.COUNT_TOKENS not in decision.targets[0].backend.kinds:
        return answer_locally(call, decision.targets[0], estimated_count(call, decision.targets[0]))
    trail = Trail.open(call, decision)
    while True:
        lease = await trail.lease()
        try:
            result = await exchange(call, trail.target, lease.account)
        except BaseException:
            trail.abandon()
            lease.settle()
            raise
        move = trail.judge(result)
        if move in (Move.GO_ON, Move.GIVE_UP):
            return respond(call, trail, result, lease)
        lease.settle()
        await trail.advance(move, lease.account)


async def route(call: ClientCall) -> Decision:
    """`decide()`; where it cannot tell, again with the newest configuration and with fresh catalogs."""
    if decision := _settled(call):
        return decision
    call.snapshot = await keeper.catch_up()
    if decision := _settled(call):
        return decision
    if await refresh_catalogs(call.snapshot, only_missing=True):
        call.snapshot = keeper.current
    try:
        return decide(call.peek.model or "", call.kind.protocol, call.snapshot.routing)
    except NoRoute as exc:
        raise ProxyError(404, str(exc), code="model_not_found", param="model", is_rejection=True) from exc


def _settled(call: ClientCall) -> Decision | None:
    """The decision, unless the configuration in hand knows no route or not yet the newest of a family."""
    try:
        decision = decide(call.peek.model or "", call.kind.protocol, call.snapshot.routing)
    except NoRoute:
        return None
    return None if any(target.is_unresolved for target in decision.targets) else decision


def allow(call: ClientCall, decision: Decision) -> None:
    """A client key with a model list may use what the list names: the name asked for, or every model used."""
    globs = call.caller.model_globs
    if not globs:
        return
    used = [target.model.lower() for target in decision.targets]
    asked = [] if decision.rule is Rule.PREFIX else [decision.asked.strip().lower()]
    if any(_named(globs, name) for name in asked) or all(_named(globs, name) for name in used):
        return
    message = f"Client key {call.caller.key} may not use {decision.asked!r}. It may use: {', '.join(globs)}."
    raise ProxyError(403, message, param="model", is_rejection=True)


def _named(globs: tuple[str, ...], name: str) -> bool:
    return any(glob_matches(glob, name) for glob in globs)
