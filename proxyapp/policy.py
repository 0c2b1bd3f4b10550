"""What to do after an attempt: a pure table.

Rules: a resend is free only before the request was fully sent or after an explicit refusal; a request that
may have been answered and billed (sent in full, no answer) is sent once more at most, and only to another
account; nothing is ever sent again once content came. `Options` says what is still there to try.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MAX_ATTEMPTS = 3


class Move(StrEnum):
    """The next step of a request."""

    GO_ON = "go_on"
    SAME_ACCOUNT = "same_account"
    NEXT_ACCOUNT = "next_account"
    NEXT_TARGET = "next_target"
    GIVE_UP = "give_up"


class Fault(StrEnum):
    """Whose fault an unusable answer is; it decides who may be asked next."""

    NONE = "none"  # a good answer
    REQUEST = "request"  # the client's own: nobody would answer it better
    TARGET = "target"  # this target cannot be told what the client asks: another one may
    MODEL = "model"  # this backend does not have the model
    ACCOUNT = "account"  # key refused, quota spent, rate limit: another account may do better
    TRANSIENT = "transient"  # overloaded, broken answer, no connection: safe to try again
    AMBIGUOUS = "ambiguous"  # sent in full, no answer: it may have been billed
    BILLED = "billed"  # a success that broke off: worked on and charged, so never sent again
    BACKEND = "backend"  # redirects, refused address: every account of it would get the same


@dataclass(frozen=True, slots=True)
class Options:
    """What is left to try."""

    attempts_left: int
    other_account: bool
    other_target: bool
    same_tried_again: bool = False
    ambiguous_before: bool = False


def fault_of_status(status: int) -> Fault:
    """How an HTTP status from upstream is read."""
    if 200 <= status < 300:
        return Fault.NONE
    if 300 <= status < 400:
        return Fault.BACKEND
    if status in {401, 402, 403, 429}:
        return Fault.ACCOUNT
    if status == 404:
        return Fault.MODEL
    return Fault.TRANSIENT if status >= 500 else Fault.REQUEST


def verdict(fault: Fault, options: Options) -> Move:
    """The next step after an attempt that ended in `fault`."""
    if fault is Fault.NONE:
        return Move.GO_ON
    if options.attempts_left <= 0 or fault in (Fault.REQUEST, Fault.BILLED):
        return Move.GIVE_UP
    if fault is Fault.AMBIGUOUS and options.ambiguous_before:
        return Move.GIVE_UP
    if fault in _ACCOUNT_MAY_HELP and options.other_account:
        return Move.NEXT_ACCOUNT
    if options.other_target:
        return Move.NEXT_TARGET
    if fault is Fault.TRANSIENT and not options.same_tried_again:
        return Move.SAME_ACCOUNT
    return Move.GIVE_UP


_ACCOUNT_MAY_HELP = {Fault.ACCOUNT, Fault.TRANSIENT, Fault.AMBIGUOUS}
