"""What to do after an attempt: a pure table.

Rules: a resend is free only before the request was fully sent or after an explicit refusal; a request that
may have been answered and billed (sent in full, no answer) is sent once more at most, and only to another
account; nothing is ever sent again once content came. After a fault that its whole backend may share, the last
attempt belongs to another target if there is one, and a pool whose retries are used up is left for it at once.
`Options` says what is still there to try.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MAX_ATTEMPTS = 3


class Move(StrEnum):
    """The next step of a request."""

    GO_ON = "go_on"
    SAME_ACCOUNT = "same_account"
    REFRESH = "refresh"
    WAIT = "wait"
    AGAIN_WITHOUT = "again_without"
    NEXT_ACCOUNT = "next_account"
    NEXT_TARGET = "next_target"
    GIVE_UP = "give_up"


class Fault(StrEnum):
    """Whose fault an unusable answer is; it decides who may be asked next."""

    NONE = "none"  # a good answer
    REQUEST = "request"  # the client's own: nobody would answer it better
    QUIRK = "quirk"  # one thing in the request that it can do without: the same account may serve the rest
    OVERFLOW = "overflow"  # the prompt is too long for this model: only a larger one may help
    TARGET = "target"  # this target cannot be told what the client asks: another one may
    MODEL = "model"  # this backend does not have the model
    CREDENTIAL = "credential"  # refused: a fresh token may help, else another account
    ACCOUNT = "account"  # quota spent, not allowed: another account may do better
    LIMITED = "limited"  # too many requests: another account may do better, else time
    TRANSIENT = "transient"  # overloaded, broken answer, no connection: safe to try again
    AMBIGUOUS = "ambiguous"  # sent in full, no answer: it may have been billed
    BILLED = "billed"  # a success that broke off: worked on and charged, so never sent again
    BACKEND = "backend"  # redirects, refused address: every account of it would get the same


@dataclass(frozen=True, slots=True)
class Options:
    """What is left to try.

    `recovers_in_time`: some account is expected to serve again within the time that this request may wait.
    `has_budget`: this backend may be sent one more request after a fault. `larger_target`: a later target's model may
    have room for more tokens.
    """

    attempts_left: int
    other_account: bool
    other_target: bool
    same_tried_again: bool = False
    ambiguous_before: bool = False
    can_refresh: bool = False
    recovers_in_time: bool = False
    has_waited: bool = False
    has_budget: bool = True
    larger_target: bool = False


def fault_of_status(status: int) -> Fault:
    """How an HTTP status from upstream is read."""
    if 200 <= status < 300:
        return Fault.NONE
    if 300 <= status < 400:
        return Fault.BACKEND
    if status in _FAULTS:
        return _FAULTS[status]
    return Fault.TRANSIENT if status >= 500 else Fault.REQUEST


_FAULTS = {
    401: Fault.CREDENTIAL,
    402: Fault.ACCOUNT,
    403: Fault.ACCOUNT,
    404: Fault.MODEL,
    429: Fault.LIMITED,
}


def verdict(fault: Fault, options: Options) -> Move:
    """The next step after an attempt that ended in `fault`."""
    if fault is Fault.NONE:
        return Move.GO_ON
    if options.attempts_left <= 0 or fault in (Fault.REQUEST, Fault.BILLED):
        return Move.GIVE_UP
    if fault is Fault.AMBIGUOUS and options.ambiguous_before:
        return Move.GIVE_UP
    if fault is Fault.QUIRK:
        return Move.AGAIN_WITHOUT
    if fault is Fault.OVERFLOW:
        return Move.NEXT_TARGET if options.larger_target else Move.GIVE_UP
    return _next(fault, options)


def _next(fault: Fault, options: Options) -> Move:
    if fault is Fault.CREDENTIAL and options.can_refresh:
        return Move.REFRESH
    if fault in _ACCOUNT_MAY_HELP and options.other_account and _may_stay(fault, options):
        return Move.NEXT_ACCOUNT
    if options.other_target:
        return Move.NEXT_TARGET
    if fault in WAITS and options.recovers_in_time and not options.has_waited:
        return Move.WAIT
    if fault is Fault.TRANSIENT and options.has_budget and not options.same_tried_again:
        return Move.SAME_ACCOUNT
    return Move.GIVE_UP


def _may_stay(fault: Fault, options: Options) -> bool:
    """Whether the same backend should get the request once more."""
    if fault not in RESENDS:
        return True
    return options.has_budget and not (options.attempts_left == 1 and options.other_target)


RESENDS = frozenset((Fault.TRANSIENT, Fault.AMBIGUOUS))
"""Faults after which a resend adds to a provider's trouble, so that a budget limits it."""
WAITS = frozenset((Fault.LIMITED, Fault.CREDENTIAL, Fault.ACCOUNT))
"""Refusals of one account: when the others are only spent for now, they are worth waiting for."""
_ACCOUNT_MAY_HELP = WAITS | RESENDS
