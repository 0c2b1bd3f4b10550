"""One refresh at a time for each account, in the order that loses no token.

The steps, and what a crash after each of them leaves to whoever comes next:

    lease    one process of all may refresh; in a process, one flight        the lease ends, or its lock is free
    re-read  a newer token in the row is taken, and nothing is sent
    intent   the row says that the refresh token is about to be sent         the same token is sent once more
    send     the provider answers, and the old refresh token is worth nothing
    spool    the first thing done with new tokens: sealed, on disk, synced   the spool is adopted
    store    one transaction: tokens, generation + 1, the lease ended        the spool is dropped
    drop     the spool file goes, and only now the pool sees the new token

Rule: no caller's cancellation ends a refresh, and a failed one leaves the old token in use until its own end.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from django.db import DatabaseError

from accounts.clock import clock
from accounts.credentials import HeldToken, held_tokens, refresh_failures
from accounts.oauth import TOKEN_TIMEOUT_S, Grant, GrantSuperseded, OAuthError, discover, refresh_grant
from accounts.refresh_spool import Spooled, digest, drop_spool, failpoint, seal_tokens, write_spool
from accounts.refresh_store import (
    RefreshResult,
    Settled,
    Ticket,
    Want,
    claim,
    intend,
    refused,
    spooled_for,
    store,
)
from accounts.snapshot import TokenFacts, keeper
from accounts.token_life import lives
from accounts.vault import Secret, VaultError
from backends.addresses import BadBaseUrl
from backends.services import ServiceError
from backends.tasks import in_database_thread, spawn

logger = logging.getLogger("patchbay.tokens")
T = TypeVar("T")
WAIT_SECONDS = 10.0  # for somebody else's refresh
POLL_SECONDS = 0.2
UNUSABLE = (
    DatabaseError,
    ServiceError,
    VaultError,
    BadBaseUrl,
    OSError,
)  # what may keep tokens out of the row
_spool_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="token-spool")


@dataclass(frozen=True, slots=True)
class _Flight:
    want: Want
    task: asyncio.Task[RefreshResult]

    def answers(self, want: Want, result: RefreshResult) -> bool:
        """Whether the result of this flight says what `want` asks."""
        if result is RefreshResult.FAILED:
            return self.want.by_hand or not want.by_hand
        if result is not RefreshResult.FRESH or want.seen_generation is None:
            return True
        return self.want.seen_generation is not None and self.want.seen_generation >= want.seen_generation


@dataclass
class Refresher:
    """The refreshes of one process. `token_timeout_s`: how long a token request may take, less than a lease."""

    token_timeout_s: float = TOKEN_TIMEOUT_S
    _flights: dict[tuple[asyncio.AbstractEventLoop, str], _Flight] = field(default_factory=dict)
    _unsaved: dict[str, Spooled] = field(default_factory=dict)

    async def refresh_now(
        self, uid: str, *, seen_generation: int | None = None, by_hand: bool = False
    ) -> RefreshResult:
        """See `accounts.refresh.refresh_now`."""
        want = Want(uid, seen_generation, by_hand)
        while True:
            flight = self._flights.get((asyncio.get_running_loop(), uid))
            is_own = flight is None
            flight = flight or self._start(want)
            await asyncio.wait({flight.task}, timeout=None if is_own else WAIT_SECONDS)
            if not flight.task.done() or flight.task.cancelled():
                return RefreshResult.FAILED
            result = flight.task.result()
            if is_own or flight.answers(want, result):
                return result

    @property
    def unsaved(self) -> tuple[str, ...]:
        """The accounts whose new tokens are not in the database yet."""
        return tuple(self._unsaved)

    async def finish(self, seconds: float) -> None:
        """Let the refreshes of this event loop end, for so long."""
        loop = asyncio.get_running_loop()
        if running := {flight.task for (where, _), flight in self._flights.items() if where is loop}:
            await asyncio.wait(running, timeout=seconds)

    def problems(self) -> list[str]:
        """What is wrong with refreshes now, in words for people."""
        unsaved = [
            f"the new token of account {_alias(uid)} is not in the database yet; it is used from memory"
            for uid in self._unsaved
        ]
        failing = [
            f"the token of account {_alias(uid)} could not be refreshed: {why}"
            for uid, (generation, why) in refresh_failures.items()
            if uid not in self._unsaved and keeper.current.account(uid) and _generation(uid) == generation
        ]
        return unsaved + failing

    # --- one refresh ------------------------------------------------------------------------------------------

    def _start(self, want: Want) -> _Flight:
        flight = _Flight(want, spawn(self._fly(want), name=f"refresh-{want.uid}"))
        self._flights[asyncio.get_running_loop(), want.uid] = flight
        return flight

    async def _fly(self, want: Want) -> RefreshResult:
        try:
            await in_database_thread(lambda: keeper.current)  # names are looked up in it
            return await self._refresh(want)
        except Exception:
            logger.exception("The refresh of account %s failed.", want.uid)
            return RefreshResult.FAILED
        finally:
            del self._flights[asyncio.get_running_loop(), want.uid]

    async def _refresh(self, want: Want) -> RefreshResult:
        if want.uid in self._unsaved:
            return await self._save(want.uid)
        give_up_at = clock() + WAIT_SECONDS
        while True:
            try:
                step = await in_database_thread(partial(claim, want))
            except DatabaseError as exc:
                return await self._without_database(want.uid, exc)
            if isinstance(step, Settled):
                return await self._settled(want.uid, step)
            if isinstance(step, Ticket):
                return await self._spend(step)
            if clock() >= give_up_at:
                return RefreshResult.FAILED
            await asyncio.sleep(POLL_SECONDS * random.uniform(0.5, 1))

    async def _spend(self, ticket: Ticket) -> RefreshResult:
        try:
            failpoint("refresh.after_lease")
            sent = await self._send(ticket)
            if isinstance(sent, Settled):
                return await self._settled(ticket.uid, sent)
            failpoint("refresh.after_answer")
            return await self._keep(ticket, *sent)
        except DatabaseError as exc:
            return await self._without_database(ticket.uid, exc)
        finally:
            if ticket.lock is not None:
                ticket.lock.release()

    async def _send(self, ticket: Ticket) -> tuple[Grant, float] | Settled:
        """The provider's answer and when it was asked, or what came of it instead."""
        try:
            provider = ticket.provider if ticket.provider.token_url else await discover(ticket.provider)
            if not await in_database_thread(partial(intend, ticket)):
                return Settled(
                    RefreshResult.FAILED, ticket.generation, "another process took the refresh over"
                )
            failpoint("refresh.after_intent")
            asked_at = clock()
            return await refresh_grant(provider, ticket.refresh, timeout_s=self.token_timeout_s), asked_at
        except OAuthError as exc:
            return await in_database_thread(partial(refused, ticket, exc))

    async def _keep(self, ticket: Ticket, grant: Grant, asked_at: float) -> RefreshResult:
        tokens = _sealed(ticket, grant, asked_at)
        try:
            await asyncio.get_running_loop().run_in_executor(_spool_thread, write_spool, tokens)
        except OSError as exc:
            logger.error("New tokens cannot be spooled (%s); they go to the database at once.", exc.strerror)
        failpoint("refresh.after_spool")
        try:
            settled = Settled(RefreshResult.REFRESHED, await in_database_thread(partial(store, tokens)))
        except GrantSuperseded:
            settled = Settled(RefreshResult.FRESH)
        except UNUSABLE as exc:
            return self._hold(tokens, grant.access, exc)
        failpoint("refresh.after_store")
        await in_database_thread(partial(drop_spool, ticket.uid))
        failpoint("refresh.after_drop")
        return await self._settled(ticket.uid, settled)

    async def _settled(self, uid: str, settled: Settled) -> RefreshResult:
        """Note what came of it, and have this process use the token at once."""
        if settled.result is RefreshResult.FAILED:
            refresh_failures[uid] = (settled.generation or _generation(uid), settled.problem)
        else:
            refresh_failures.pop(uid, None)
            await _if_usable(partial(_catch_up, uid, settled))
        _log(uid, settled)
        return settled.result

    # --- when the database cannot be written --------------------------------------------------------------------

    def _hold(self, tokens: Spooled, access: Secret, why: Exception) -> RefreshResult:
        """Use tokens that are not in the row yet."""
        uid = tokens.uid
        self._unsaved[uid] = tokens
        held_tokens[uid] = HeldToken(
            access, TokenFacts(tokens.generation, tokens.expires_at, can_refresh=True)
        )
        refresh_failures.pop(uid, None)
        logger.error(
            "The new token of account %s cannot be written to the database (%s). It is used from memory, and"
            " written as soon as that works.",
            _alias(uid),
            why,
        )
        return RefreshResult.REFRESHED

    async def _save(self, uid: str) -> RefreshResult:
        """Try again to write what is held."""
        tokens = self._unsaved[uid]
        try:
            settled = Settled(RefreshResult.REFRESHED, await in_database_thread(partial(store, tokens)))
        except GrantSuperseded:
            settled = Settled(
                RefreshResult.FRESH
            )  # another process adopted them, or somebody logged in again
        except UNUSABLE:
            return RefreshResult.FRESH if _is_alive(tokens) else RefreshResult.FAILED
        await in_database_thread(partial(drop_spool, uid))
        result = await self._settled(uid, settled)
        self._unsaved.pop(uid, None)
        held_tokens.pop(uid, None)
        return result

    async def _without_database(self, uid: str, why: DatabaseError) -> RefreshResult:
        """No lease can be had. What an earlier process left in the spool can still be used."""
        found = await _if_usable(partial(spooled_for, uid))
        if found is not None:
            return self._hold(*found, why)
        problem = f"the database cannot be written ({why})"
        return await self._settled(uid, Settled(RefreshResult.FAILED, problem=problem))


async def _if_usable(work: Callable[[], T]) -> T | None:
    """The result, or None when the database, or what it holds, cannot be used now."""
    try:
        return await in_database_thread(work)
    except UNUSABLE as exc:
        logger.warning("The configuration cannot be read now: %s", exc)
        return None


def _catch_up(uid: str, settled: Settled) -> None:
    """Read the configuration again unless the snapshot already has the token."""
    account = keeper.current.account(uid)
    known = account.token.generation if account and account.token else -1
    if settled.result is not RefreshResult.FRESH or known < settled.generation:
        keeper.reload()


def _sealed(ticket: Ticket, grant: Grant, asked_at: float) -> Spooled:
    generation, expires_at = ticket.generation + 1, None
    if grant.expires_in is not None:  # counted from the request: never longer than the provider means it
        expires_at = lives.wall() + grant.expires_in - (clock() - asked_at)
        lives.note(ticket.uid, generation, expires_at, grant.expires_in)
    access, refresh = seal_tokens(
        ticket.uid, grant.access, ticket.host, grant.refresh, ticket.provider.refresh_host
    )
    return Spooled(
        uid=ticket.uid,
        generation=generation,
        parent=digest(ticket.refresh),
        sealed_access=access,
        sealed_refresh=refresh,
        scope=grant.scope,
        expires_at=expires_at,
        lifetime=grant.expires_in,
    )


def _is_alive(tokens: Spooled) -> bool:
    if tokens.expires_at is None:
        return True
    return lives.seconds_left(tokens.uid, tokens.generation, tokens.expires_at) > 0


def _alias(uid: str) -> str:
    account = keeper.current.account(uid)
    return account.alias if account else uid


def _generation(uid: str) -> int:
    account = keeper.current.account(uid)
    return account.token.generation if account and account.token else 0


def _log(uid: str, settled: Settled) -> None:
    if settled.result is RefreshResult.REFRESHED:
        logger.info("The token of account %s was refreshed.", _alias(uid))
    elif settled.result is RefreshResult.NEEDS_LOGIN:
        logger.error("Account %s needs a login. %s", _alias(uid), settled.problem)
    elif settled.result is RefreshResult.FAILED:
        logger.warning("The token of account %s was not refreshed. %s", _alias(uid), settled.problem)
