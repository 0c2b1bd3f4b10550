"""The database side of a refresh: who may send a refresh token, what was sent, what came of it. Synchronous.

Rules: a token row changes only here and in `store_grant`. Times of leases and back-offs are the database's, so
machines whose clocks differ agree on them. Nothing here waits for the network.
"""

from __future__ import annotations

import os
import random
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from accounts.models import Account, OAuthToken
from accounts.oauth import Grant, GrantSuperseded, OAuthError, store_grant
from accounts.providers import ProviderConfig, provider_of
from accounts.refresh_spool import (
    RefreshLock,
    Spooled,
    digest,
    drop_spool,
    home_identity,
    read_spool,
    try_lock,
)
from accounts.token_life import due_in, lives
from accounts.vault import Secret, VaultError, unseal
from backends.addresses import BadBaseUrl
from backends.models import ConfigVersion
from backends.services import ServiceError

LEASE_SECONDS = 60.0  # more than a token request may take
FIRST_BACKOFF_SECONDS, LAST_BACKOFF_SECONDS = 30.0, 900.0
LONGEST_WAIT_SECONDS = 2 * LAST_BACKOFF_SECONDS  # a longer one was set before the clock was set back
SENT_TWICE = 0  # as an intent: sent a second time without a clear answer (generations begin at 1)


class RefreshResult(StrEnum):
    """What came of a refresh."""

    FRESH = "fresh"  # there was nothing to do: the token is good, or somebody else got a newer one
    REFRESHED = "refreshed"
    NEEDS_LOGIN = "needs-login"  # only a person can help
    FAILED = "failed"  # not now; the old token serves until its end


@dataclass(frozen=True, slots=True)
class Want:
    """A refresh that somebody wants. `seen_generation`: the token that was refused; None: only if it is due.

    `by_hand`: a person asked, so no back-off, no unanswered attempt and no earlier refusal stands in the way.
    """

    uid: str
    seen_generation: int | None = None
    by_hand: bool = False


@dataclass(frozen=True, slots=True)
class Ticket:
    """Leave to send one refresh token. `sent` is the intent that was found: what earlier attempts left open."""

    uid: str
    alias: str
    host: str
    provider: ProviderConfig
    generation: int
    refresh: Secret
    holder: str
    sent: int | None
    lock: RefreshLock | None


@dataclass(frozen=True, slots=True)
class Busy:
    """Somebody else is refreshing."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Nothing is left to do. `generation` is the row's, 0 when there is none; `problem` says what failed."""

    result: RefreshResult
    generation: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Schedule:
    """What the background refresher must know of one token. Seconds; `left` is None when no end is known."""

    uid: str
    generation: int
    left: float | None
    lifetime: float | None
    retry_in: float
    is_open: bool  # an earlier attempt has no answer
    is_given_up: bool  # not sent again before its end


@dataclass(frozen=True, slots=True)
class _Row:
    """A token's row, read for a change, and the database's time."""

    token: OAuthToken
    account: Account
    now: datetime

    def update(self, **fields: Any) -> None:
        """Change only these fields. Not a configuration change: nobody reloads."""
        OAuthToken.objects.filter(pk=self.token.pk).update(**fields)

    def seconds_until(self, moment: datetime | None) -> float:
        """0 when there is no such moment."""
        return (moment - self.now).total_seconds() if moment else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Until the token's end; None when it is unknown."""
        token = self.token
        if token.expires_at is None:
            return None
        lives.note(self.account.uid, token.generation, token.expires_at.timestamp(), token.lifetime_s)
        return lives.seconds_left(self.account.uid, token.generation, token.expires_at.timestamp())


# --- may we? ------------------------------------------------------------------------------------------------------


def claim(want: Want) -> Ticket | Busy | Settled:
    """Take the lease on an account's refresh, unless there is no need, no use, or somebody else has it.

    Adopts what a crash left in the spool. Raises DatabaseError when the database cannot be written.
    """
    try:
        lock = try_lock(want.uid)
        if lock is None:
            return Busy()
        home = home_identity()
    except OSError:
        lock, home = None, "no-lock"  # a spool that cannot be written: the database's lease alone decides
    step: Ticket | Busy | Settled | None = None
    try:
        with transaction.atomic():
            step = _decide(want, home, lock)
        if isinstance(step, Settled) and step.result is RefreshResult.REFRESHED:
            drop_spool(want.uid)  # adopted
    except (VaultError, BadBaseUrl, ServiceError) as exc:
        return Settled(RefreshResult.FAILED, problem=str(exc))
    except OSError as exc:
        return Settled(RefreshResult.FAILED, problem=f"the spool cannot be read ({exc.strerror})")
    finally:
        if lock is not None and not isinstance(step, Ticket):
            lock.release()
    return step


def _decide(want: Want, home: str, lock: RefreshLock | None) -> Ticket | Busy | Settled:
    row = _row(want.uid)
    if row is None:
        drop_spool(want.uid)
        return Settled(RefreshResult.NEEDS_LOGIN)
    if tokens := _adoptable(row):
        return Settled(RefreshResult.REFRESHED, _adopt(row, tokens))
    drop_spool(want.uid)
    if (settled := _no_need(want, row)) is not None:
        return settled
    if _is_leased(row, home if lock is not None else None):
        return Busy()
    if (settled := _no_use(want, row)) is not None:
        return settled
    return _lease(row, home, lock)


def _no_need(want: Want, row: _Row) -> Settled | None:
    generation, seen = row.token.generation, want.seen_generation
    if row.token.needs_login and not want.by_hand:
        return Settled(RefreshResult.NEEDS_LOGIN, generation)
    is_wanted = _is_due(row) if seen is None else generation <= seen
    return None if is_wanted else Settled(RefreshResult.FRESH, generation)


def _is_due(row: _Row) -> bool:
    left = row.seconds_left
    return row.token.intent is not None or (left is not None and due_in(left, row.token.lifetime_s, 0.0) <= 0)


def _is_leased(row: _Row, locked_home: str | None) -> bool:
    """Whether somebody alive may be refreshing. Of the home whose lock is ours nobody is."""
    if locked_home is not None and row.token.lease_holder.startswith(f"{locked_home}:"):
        return False
    left = row.seconds_until(row.token.lease_until)
    return 0 < left <= LEASE_SECONDS + 1  # a longer one was made before the clock was set back


def _no_use(want: Want, row: _Row) -> Settled | None:
    if not row.token.sealed_refresh:
        return Settled(RefreshResult.NEEDS_LOGIN, row.token.generation, "there is no refresh token")
    if want.by_hand:
        return None
    wait = row.seconds_until(row.token.retry_at)
    if 0 < wait <= LONGEST_WAIT_SECONDS:
        return Settled(RefreshResult.FAILED, row.token.generation, row.token.problem)
    if row.token.intent != SENT_TWICE:
        return None
    left = row.seconds_left
    if want.seen_generation is None and (left is None or left > 0):
        return Settled(RefreshResult.FAILED, row.token.generation, row.token.problem)
    return _end_login(row, row.token.problem)


def _lease(row: _Row, home: str, lock: RefreshLock | None) -> Ticket | Busy | Settled:
    account, provider = row.account, provider_of(row.account.backend.name)
    if provider is None:
        return Settled(RefreshResult.FAILED, row.token.generation, _no_provider(account))
    refresh = unseal(row.token.sealed_refresh, owner=account.uid, host=provider.refresh_host)
    holder = f"{home}:{os.getpid()}:{secrets.token_hex(4)}"
    taken = OAuthToken.objects.filter(
        pk=row.token.pk, lease_holder=row.token.lease_holder, generation=row.token.generation
    ).update(lease_holder=holder, lease_until=row.now + timedelta(seconds=LEASE_SECONDS))
    if not taken:
        return Busy()
    return Ticket(
        uid=account.uid,
        alias=account.alias,
        host=account.host,
        provider=provider,
        generation=row.token.generation,
        refresh=refresh,
        holder=holder,
        sent=row.token.intent,
        lock=lock,
    )


def _no_provider(account: Account) -> str:
    return (
        f"Backend {account.backend.name} has no OAuth provider, so the token of account {account.alias} cannot be"
        " refreshed. Configure the provider (PATCHBAY_OAUTH_… or the admin)."
    )


# --- what happened ------------------------------------------------------------------------------------------------


def intend(ticket: Ticket) -> bool:
    """Write down that the token is about to be sent. False: the lease is lost, and it must not be."""
    intent = ticket.generation if ticket.sent is None else SENT_TWICE
    with transaction.atomic():
        row = _row(ticket.uid)
        if (
            row is None
            or row.token.lease_holder != ticket.holder
            or row.token.generation != ticket.generation
        ):
            return False
        row.update(intent=intent, lease_until=row.now + timedelta(seconds=LEASE_SECONDS))
    return True


def store(tokens: Spooled) -> int:
    """Write new tokens and end the lease, in one transaction. Returns the row's generation.

    Raises GrantSuperseded when the row has gone on or is gone, DatabaseError when it cannot be written.
    """
    with transaction.atomic():
        row = _row(tokens.uid)
        if row is None or not _replaces(row, [tokens]):
            raise GrantSuperseded("The account has newer tokens, or is gone. Nothing is left to do.")
        return _adopt(row, tokens)


def refused(ticket: Ticket, exc: OAuthError) -> Settled:
    """Write down that no tokens came. A row that went on meanwhile is a lost race, and that is a success."""
    with transaction.atomic():
        row = _row(ticket.uid)
        if row is None:
            return Settled(RefreshResult.NEEDS_LOGIN)
        if row.token.generation != ticket.generation:
            return Settled(RefreshResult.FRESH, row.token.generation)
        if row.token.lease_holder != ticket.holder:
            return Settled(RefreshResult.FAILED, ticket.generation, "another process took the refresh over")
        if exc.is_terminal:
            return _end_login(row, str(exc))
        wait = backoff_seconds(row.token.failures + 1, random.random(), exc.retry_after_s)
        row.update(
            failures=row.token.failures + 1,
            retry_at=row.now + timedelta(seconds=wait),
            problem=str(exc),
            intent=row.token.intent if exc.is_ambiguous else ticket.sent,
            **_NO_LEASE,
        )
    return Settled(RefreshResult.FAILED, ticket.generation, str(exc))


def backoff_seconds(failures: int, jitter: float, asked: float | None = None) -> float:
    """How long to wait after so many failures in a row. `jitter` is 0 to 1; `asked`: what the provider wants."""
    wait: float = min(LAST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** min(failures - 1, 10))
    return min(LAST_BACKOFF_SECONDS, max(wait, asked or 0.0)) * (0.8 + 0.4 * jitter)


_NO_LEASE = {"lease_holder": "", "lease_until": None}


def _end_login(row: _Row, why: str) -> Settled:
    problem = f"{why} Run `login {row.account.alias} --oauth`.".strip()
    row.update(needs_login=True, problem=problem, intent=None, retry_at=None, **_NO_LEASE)
    ConfigVersion.bump()
    return Settled(RefreshResult.NEEDS_LOGIN, row.token.generation, problem)


# --- the spool ----------------------------------------------------------------------------------------------------


def spooled_for(uid: str) -> tuple[Spooled, Secret] | None:
    """What a crash left in the spool for this account, with its access token, when the database is only readable."""
    row = _row(uid, for_update=False)
    tokens = _adoptable(row) if row is not None else None
    if row is None or tokens is None:
        return None
    return tokens, unseal(tokens.sealed_access, owner=uid, host=row.account.host)


def _adoptable(row: _Row) -> Spooled | None:
    """Spooled tokens that replace exactly those of the row. Raises VaultError when the row's cannot be opened."""
    return _replaces(row, read_spool(row.account.uid))


def _replaces(row: _Row, offered: Iterable[Spooled]) -> Spooled | None:
    """The one that was got for the very refresh token that the row holds, so not for one of another login."""
    found = [tokens for tokens in offered if tokens.generation == row.token.generation + 1]
    if not found or not row.token.sealed_refresh:
        return None
    parent = digest(unseal(row.token.sealed_refresh, owner=row.account.uid, host=_refresh_host(row.account)))
    return next((tokens for tokens in found if tokens.parent == parent), None)


def _adopt(row: _Row, tokens: Spooled) -> int:
    account, left = row.account, None
    if tokens.expires_at is not None:
        left = lives.seconds_left(account.uid, tokens.generation, tokens.expires_at)
    refresh = None
    if tokens.sealed_refresh:
        refresh = unseal(tokens.sealed_refresh, owner=account.uid, host=_refresh_host(account))
    access = unseal(tokens.sealed_access, owner=account.uid, host=account.host)
    stored = store_grant(
        account, Grant(access, refresh, left, tokens.scope), seen_generation=row.token.generation
    )
    row.update(lifetime_s=tokens.lifetime, **_NO_LEASE)
    if stored.expires_at is not None:
        lives.note(account.uid, stored.generation, stored.expires_at.timestamp(), tokens.lifetime)
    return stored.generation


def _refresh_host(account: Account) -> str:
    provider = provider_of(account.backend.name)
    if provider is None:
        raise ServiceError(_no_provider(account))
    return provider.refresh_host


# --- reading ------------------------------------------------------------------------------------------------------


def _row(uid: str, *, for_update: bool = True) -> _Row | None:
    found = OAuthToken.objects.select_for_update(of=("self",)) if for_update else OAuthToken.objects
    tokens = found.select_related("account__backend").annotate(db_now=Now())
    token = tokens.filter(account__uid=uid, account__kind=Account.OAUTH).first()
    return None if token is None else _Row(token, token.account, token.db_now)


def schedules() -> list[Schedule]:
    """Every token that can be refreshed without a person."""
    rows = OAuthToken.objects.select_related("account").annotate(db_now=Now())
    usable = rows.filter(account__kind=Account.OAUTH, needs_login=False).exclude(sealed_refresh="")
    return [_schedule(_Row(token, token.account, token.db_now)) for token in usable]


def _schedule(row: _Row) -> Schedule:
    token = row.token
    return Schedule(
        uid=row.account.uid,
        generation=token.generation,
        left=row.seconds_left,
        lifetime=token.lifetime_s,
        retry_in=row.seconds_until(token.retry_at),
        is_open=token.intent is not None,
        is_given_up=token.intent == SENT_TWICE,
    )
