"""What a request has tried and what is left: targets in order, each account of a target at most once."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

from accounts.pool import Lease, NoAccount, obstacle, pool
from accounts.snapshot import AccountConfig
from analytics.drafts import AttemptDraft
from backends.routing import Decision, Target
from backends.wire.kinds import carrier
from proxyapp.call import ClientCall
from proxyapp.errors import ProxyError
from proxyapp.exchange import Exchange
from proxyapp.policy import MAX_ATTEMPTS, Fault, Move, Options, verdict

RETRY_PAUSE_SECONDS = (0.05, 0.2)


@dataclass(slots=True)
class Trail:
    """The way of one request through its targets. `open()` makes one; `lease()`, `judge()`, `advance()` move it."""

    call: ClientCall
    targets: tuple[Target, ...]
    index: int = 0
    tried: set[str] = field(default_factory=set)
    same_tried_again: bool = False
    ambiguous_before: bool = False
    again: AccountConfig | None = None  # the account that the verdict wants tried once more
    attempt: AttemptDraft | None = None

    @classmethod
    def open(cls, call: ClientCall, decision: Decision) -> Trail:
        """A trail over the targets that could serve this call now. Raises ProxyError when none could."""
        refusals = [_refusal(call, decision, target) for target in decision.targets]
        usable = tuple(
            target for target, refusal in zip(decision.targets, refusals, strict=True) if not refusal
        )
        if not usable and refusals[0]:
            raise refusals[0]
        return cls(call, usable)

    @property
    def target(self) -> Target:
        """The target in turn."""
        return self.targets[self.index]

    @property
    def is_fallback(self) -> bool:
        """Whether the target in turn is not the decision's first choice any more."""
        return self.index > 0

    async def lease(self) -> Lease:
        """An account of the target in turn. Raises ProxyError 503."""
        backend = self.target.backend.name
        try:
            if self.again is not None:
                lease = await pool.lease(backend, (self.again,))
            else:
                lease = await pool.lease(backend, self._accounts(), exclude=self.tried)
        except NoAccount as exc:
            raise no_account(exc) from exc
        self._begin(lease.account)
        return lease

    def judge(self, result: Exchange) -> Move:
        """The policy's verdict on the attempt, noted in its row."""
        move = verdict(result.fault, self._options())
        self.ambiguous_before |= result.fault is Fault.AMBIGUOUS
        if self.attempt is not None:
            self.attempt.status = result.status
            self.attempt.end(result.code, move.value, result.message)
        return move

    async def advance(self, move: Move, account: AccountConfig) -> None:
        """Make the next `lease()` follow the verdict on `account`."""
        self.again = None
        if move is Move.NEXT_TARGET:
            self.index += 1
            self.tried.clear()
            self.same_tried_again = False
        elif move is Move.SAME_ACCOUNT:
            self.again, self.same_tried_again = account, True
            await asyncio.sleep(random.uniform(*RETRY_PAUSE_SECONDS))

    def abandon(self) -> None:
        """The client left, or something of ours failed, while an attempt ran."""
        if self.attempt is not None and not self.attempt.outcome:
            self.attempt.end("cancelled", "")

    def _begin(self, account: AccountConfig) -> None:
        target, draft = self.target, self.call.draft
        self.tried.add(account.uid)
        self.attempt = AttemptDraft(target.backend.name, account.alias, target.model)
        draft.attempts.append(self.attempt)
        draft.backend, draft.account, draft.model_used = target.backend.name, account.alias, target.model

    def _options(self) -> Options:
        left = MAX_ATTEMPTS - len(self.call.draft.attempts)
        return Options(
            attempts_left=left if self.call.seconds_left else 0,
            other_account=any(a.uid not in self.tried and not obstacle(a) for a in self._accounts()),
            other_target=self.index + 1 < len(self.targets),
            same_tried_again=self.same_tried_again,
            ambiguous_before=self.ambiguous_before,
        )

    def _accounts(self) -> tuple[AccountConfig, ...]:
        return self.call.snapshot.pool(self.target.backend.name)


def no_account(exc: NoAccount) -> ProxyError:
    """503 `account_unavailable`, naming the backend and what is wrong with each account."""
    message = f"No account of backend {exc.backend} can serve: {exc}. See `python manage.py accounts list`."
    return ProxyError(503, message, code="account_unavailable")


def _refusal(call: ClientCall, decision: Decision, target: Target) -> ProxyError | None:
    """Why this target cannot serve this call, or None."""
    backend = target.backend
    if carrier(call.kind, backend.kinds) is None:
        message = (
            f"Backend {backend.name} speaks {backend.protocol.value} and has nothing like {call.kind.path}."
            f" Route {decision.asked!r} to a backend that does."
        )
        return ProxyError(400, message, param="model", is_rejection=True)
    accounts = call.snapshot.pool(backend.name)
    if any(not obstacle(account) for account in accounts):
        return None
    return no_account(NoAccount(backend.name, {account.alias: obstacle(account) for account in accounts}))
