"""One request is a straight line: `handle()` is the only function that knows the order."""

from __future__ import annotations

from django.http.response import HttpResponseBase

from accounts.catalogs import refresh_catalogs
from accounts.key_models import may_use
from accounts.pool import Lease
from accounts.snapshot import keeper
from backends.routing import Decision, NoRoute, NoTarget, decide
from backends.wire.kinds import Kind
from proxyapp.call import ClientCall
from proxyapp.errors import ProxyError
from proxyapp.estimates import estimated_count
from proxyapp.exchange import Exchange, exchange
from proxyapp.key_holds import hold_for
from proxyapp.policy import Move
from proxyapp.responses import answer_locally, respond, unserved
from proxyapp.trail import Trail


async def handle(call: ClientCall) -> HttpResponseBase:
    """From a checked request to its response. Raises ProxyError when there is no upstream answer to pass on."""
    decision = await route(call)
    allow(call, decision)
    await hold_for(call, decision)
    if call.kind is Kind.COUNT_TOKENS and Kind.COUNT_TOKENS not in decision.targets[0].backend.kinds:
        return answer_locally(call, decision.targets[0], estimated_count(call, decision.targets[0]))
    call.draft.rule, call.draft.route_reason = decision.rule.value, decision.story
    call.draft.route_note = decision.note
    trail = Trail.open(call, decision)
    last: tuple[Exchange, Lease] | None = None
    while True:
        try:
            lease = await trail.lease()
        except ProxyError as error:
            if last is None:
                raise unserved(call, trail, error) from error
            trail.go_back()
            return respond(call, trail, *last)
        try:
            result = await exchange(call, trail.target, lease.account)
            move = trail.judge(result, lease)
            if move in (Move.GO_ON, Move.GIVE_UP):
                return respond(call, trail, result, lease)
        except BaseException:
            trail.abandon()
            lease.settle()
            raise
        last = (result, lease)
        lease.settle()
        await trail.advance(move, lease, result.report)


async def route(call: ClientCall) -> Decision:
    """`decide()`; where it cannot tell, again with the newest configuration and with fresh catalogs."""
    try:
        return await _route(call)
    except NoTarget as exc:
        raise ProxyError(400, str(exc), code="no_target", param="model", is_rejection=True) from exc
    except NoRoute as exc:
        raise ProxyError(404, str(exc), code="model_not_found", param="model", is_rejection=True) from exc


async def _route(call: ClientCall) -> Decision:
    try:
        if decision := _settled(call):
            return decision
    except NoTarget:
        pass  # unless somebody has just changed the route
    call.snapshot = await keeper.catch_up()
    if decision := _settled(call):
        return decision
    if await refresh_catalogs(call.snapshot, only_missing=True):
        call.snapshot = keeper.current
    return _decided(call)


def _settled(call: ClientCall) -> Decision | None:
    """The decision, unless the configuration in hand knows no route or not yet the newest of a family.

    Raises NoTarget: there is a route, and no list of models would change it.
    """
    try:
        decision = _decided(call)
    except NoTarget:
        raise
    except NoRoute:
        return None
    return None if any(target.is_unresolved for target in decision.targets) else decision


def _decided(call: ClientCall) -> Decision:
    return decide(call.peek.model or "", call.kind.protocol, call.snapshot.routing, call.facts)


def allow(call: ClientCall, decision: Decision) -> None:
    """A client key with a model list may use what the list names: the name asked for, or every model used."""
    globs = call.caller.model_globs
    if may_use(globs, decision):
        return
    message = f"Client key {call.caller.key} may not use {decision.asked!r}. It may use: {', '.join(globs)}."
    raise ProxyError(403, message, param="model", is_rejection=True)
