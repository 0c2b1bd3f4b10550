"""Invented traffic: a month of sessions of coding agents and scripts. Import it once Django is set up."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from analytics.decision import CandidateNote, ChoiceNote
from analytics.drafts import AttemptDraft, Outcome, RecordDraft
from backends.wire.kinds import Kind, Protocol
from backends.wire.usage import Usage

DAYS = 30
SUBSCRIPTIONS = ("max-anna", "max-ben")
CLAUDE_CODE = "claude-cli/2.1.44 (external, cli)"
CODEX = "codex_cli_rs/0.63.0 (Debian 12; x86_64)"


@dataclass
class Worker:
    """One kind of client: what it asks for, where that goes."""

    key: str
    client: str
    model: str
    used: str
    backend: str
    provider: str
    protocol: str
    kind: str
    accounts: tuple[str, ...]
    turns: tuple[int, int]
    agents: tuple[str, ...] = ()
    source: str = "header"


ANTHROPIC = ("anthropic", "anthropic", "anthropic", "messages")
WORKERS = (
    Worker("laptop", CLAUDE_CODE, "claude-opus-4-8", "claude-opus-4-8", *ANTHROPIC,
           SUBSCRIPTIONS, (14, 60), ("explore", "review")),
    Worker("ci", CLAUDE_CODE, "claude-sonnet-4-5", "claude-sonnet-4-5", *ANTHROPIC,
           (*SUBSCRIPTIONS, "anthropic-api"), (6, 24), ("tests",)),
    Worker("laptop", CODEX, "gpt-5", "gpt-5", "openai", "openai", "openai", "responses", ("openai",), (8, 30)),
    Worker("notebook", "OpenAI/Python 2.9.0", "fast", "gpt-5-mini", "openai", "openai", "openai", "chat",
           ("openai",), (1, 5), (), "derived"),
    Worker("notebook", "OpenAI/Python 2.9.0", "local", "qwen3-coder:30b", "ollama", "", "openai", "chat",
           ("ollama",), (2, 12), (), "derived"),
)  # fmt: skip

FAULTS = (
    ("error", 529, "overloaded_error: Overloaded", "overloaded"),
    (
        "error",
        429,
        "This request would exceed your account's rate limit. Please try again later.",
        "rate_limited",
    ),
    ("truncated", 200, "The upstream closed the stream before its end.", "cut"),
    ("error", 400, "prompt is too long: 214732 tokens > 200000 maximum", "too_long"),
)


@dataclass
class Story:
    """Makes the drafts, with one source of chance. `broken`: turns that missed the cache, each with the one before."""

    now: datetime
    days: int = DAYS
    chance: random.Random = field(default_factory=lambda: random.Random(6))
    broken: list[tuple[str, str]] = field(default_factory=list)

    def drafts(self) -> Iterator[RecordDraft]:
        """A month of sessions, at the hours in which people work."""
        for day in range(self.days - 1, -1, -1):
            date = self.now - timedelta(days=day)
            busy = 12 if day < 2 else 3 if date.weekday() >= 5 else 11 - day // 6
            for number in range(busy):
                hour = 8 + 11 * self.chance.betavariate(2, 2) if day else 0
                begin = date.replace(hour=0, minute=0) + timedelta(hours=hour)
                if not day:  # today: over the last hours, whenever "now" is
                    begin = self.now - timedelta(hours=self.chance.uniform(0.3, 11))
                yield from self.session(f"{day:02d}{number:02d}", begin)

    def session(self, name: str, begin: datetime) -> Iterator[RecordDraft]:
        """One conversation: the context grows, the cache carries most of it, and once it breaks."""
        worker = self.chance.choices(WORKERS, (5, 3, 3, 4, 2))[0]
        account = self.chance.choice(worker.accounts)
        session = f"{random.Random(name).getrandbits(128):032x}"
        turns = self.chance.randint(*worker.turns)
        broken = self.chance.randrange(4, turns) if turns > 8 else -1
        moment, contexts, last = begin, {"": 14_000}, {"": ""}
        for turn in range(turns):
            agent = self.chance.choice(worker.agents) if worker.agents and self.chance.random() < 0.3 else ""
            before = contexts.get(agent, 0)
            grown = int(self.chance.lognormvariate(7.4, 0.8)) + (9_000 if agent and not before else 0)
            contexts[agent] = before + grown
            draft = self.draft(f"{name}{turn:03d}", worker, account, moment)
            draft.session, draft.session_source = session, worker.source
            draft.agent = agent
            self.spend(draft, worker, before if turn and turn != broken else 0, contexts[agent])
            moment += timedelta(milliseconds=draft.duration_ms, seconds=self.chance.expovariate(1 / 25))
            if moment > self.now:
                return
            if turn == broken and last.get(agent):
                self.broken.append((last[agent], draft.id))
            last[agent] = draft.id
            yield draft

    def draft(self, name: str, worker: Worker, account: str, moment: datetime) -> RecordDraft:
        """The request itself, without its tokens."""
        draft = RecordDraft(
            f"req_{random.Random(name).getrandbits(96):024x}", Protocol(worker.protocol), Kind(worker.kind)
        )
        draft.started_at, draft.method, draft.path = moment, "POST", Kind(worker.kind).path
        draft.client, draft.key, draft.lane, draft.stream = worker.client, worker.key, "direct", True
        draft.model_asked, draft.model_used = worker.model, worker.used
        draft.backend, draft.account, draft.provider = worker.backend, account, worker.provider
        draft.rule, draft.route_reason = (
            ("alias", f"alias {worker.model}") if worker.model != worker.used else ("family", "")
        )
        draft.choices = [
            ChoiceNote(worker.backend, worker.used, "headroom", account, "most headroom", 0.0,
                       tuple(CandidateNote(alias) for alias in worker.accounts))
        ]  # fmt: skip
        draft.connect_ms, draft.overhead_ms, draft.lease_ms = 0.0, self.chance.uniform(0.5, 1.6), 0.04
        draft.ttfb_ms = self.chance.lognormvariate(6.6, 0.45)
        draft.ttft_ms = draft.ttfb_ms + self.chance.uniform(5, 120)
        draft.status, draft.outcome = 200, Outcome.OK
        return draft

    def spend(self, draft: RecordDraft, worker: Worker, cached: int, context: int) -> None:
        """Its tokens and how long they took; now and then it fails instead."""
        attempt = AttemptDraft(draft.backend, draft.account, draft.model_used, started_at=draft.started_at)
        output = int(self.chance.lognormvariate(5.9, 1.0))
        draft.duration_ms = (draft.ttft_ms or 0) + output * self.chance.uniform(9, 16)
        draft.request_bytes, draft.response_bytes = context * 4, output * 46
        fresh, written = (
            (context - cached, 0)
            if worker.provider != "anthropic"
            else (self.chance.randint(3, 40), context - cached)
        )
        draft.usage = Usage(fresh, cached, written, 0, output, 0, b"")
        attempt.status, attempt.outcome, attempt.duration_ms = 200, "ok", draft.duration_ms
        dice = self.chance.random()
        if dice < 0.025:
            outcome, status, error, code = self.chance.choice(FAULTS)
            draft.outcome, draft.status, draft.error, draft.usage = Outcome(outcome), status, error, None
            attempt.outcome, attempt.status, attempt.error = code, status, error
            draft.duration_ms = attempt.duration_ms = self.chance.uniform(300, 9000)
        elif dice < 0.04:
            draft.outcome, draft.usage_is_final = Outcome.CANCELLED, False
        draft.attempts = [attempt]
