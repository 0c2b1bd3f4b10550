"""Why a request went where it went, told from its record: the same account for people, for scripts and in the admin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analytics.decision import CandidateNote, ChoiceNote, DecisionNote
from analytics.models import Attempt, RequestRecord
from analytics.rows import cost_text, iso, record_json, tokens_text


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and its lines. A line that begins with a dash belongs to the one above it."""

    title: str
    lines: tuple[str, ...]


def story(row: RequestRecord, attempts: Sequence[Attempt]) -> list[Section]:
    """The whole account, for people. Texts of clients and upstreams are in it as they came: escape them."""
    parts = {
        "Asked": asked_lines(row),
        "Answered": answered_lines(row),
        "Decided": decision_lines(row),
        "Attempts": attempt_lines(attempts),
        "Changed on the way": change_lines(row),
        "Tokens and cost": usage_lines(row),
        "Times": time_lines(row),
    }
    return [Section(title, tuple(lines)) for title, lines in parts.items() if lines]


# --- for people ---------------------------------------------------------------------------------------------


def asked_lines(row: RequestRecord) -> list[str]:
    """Who asked for what, and when."""
    shape = "streamed" if row.stream else "in one piece"
    source = f", from the {row.session_source.replace('_', ' ')}" if row.session_source else ""
    lines = [
        f"{row.kind or row.path or 'unknown'} in the {row.protocol} protocol, {shape}, at {iso(row.started_at)}",
        f"model: {row.model_asked or 'none'}",
        f"client key: {row.key}" if row.key else "",
        f"session: {row.session}{source}" if row.session else "",
        f"client: {row.client}" if row.client else "",
    ]
    return [line for line in lines if line]


def answered_lines(row: RequestRecord) -> list[str]:
    """How it ended, and who answered."""
    served = f"by {row.backend}/{row.account}, model {row.model_used}, {row.lane} lane" if row.backend else ""
    ended = f"{row.outcome}, {f'status {row.status}' if row.status else 'no status was sent'}"
    lines = [f"{ended}, after {_ms(row.duration_ms)}", served, f"error: {row.error}" if row.error else ""]
    return [line for line in lines if line]


def decision_lines(row: RequestRecord) -> list[str]:
    """The rule, and each choice with its candidates and what would have been."""
    note = row.decision_note
    if note is None:
        why = "it was refused before it was routed" if row.decision == "" else "this row does not say"
        return [f"nothing: {why}"]
    lines = [f"rule {note.rule}: {note.reason}"] if note.rule else []
    for choice, missed in zip(note.choices, note.passed_over(), strict=True):
        lines.extend(_choice_lines(choice, missed))
    return lines


def _choice_lines(choice: ChoiceNote, missed: CandidateNote | None) -> Iterator[str]:
    chosen = f"account {choice.chosen}" if choice.chosen else "no account"
    waited = f", after waiting {_ms(choice.waited_ms)}" if choice.waited_ms >= 1 else ""
    reason = f": {choice.reason}" if choice.reason else ""
    yield f"{choice.backend}, model {choice.model}, strategy {choice.strategy} → {chosen}{reason}{waited}"
    for note in choice.candidates:
        yield f"- {', '.join(_facts(note, is_chosen=note.alias == choice.chosen))}"
    if choice.others:
        yield f"- and {choice.others} more"
    if missed is not None:
        yield f"- would have gone to {missed.alias}, had it been able to serve; it was not: {missed.excluded}"


def _facts(note: CandidateNote, *, is_chosen: bool) -> list[str]:
    """An account that only faults speak against is chosen when there is no other."""
    headroom = "headroom unknown" if note.headroom is None else f"headroom {note.headroom:.0%}"
    score = "" if note.score is None else f"score {note.score:g}"
    against = f"{'in spite of' if is_chosen else 'excluded'}: {note.excluded}" if note.excluded else ""
    mark = "chosen" if is_chosen else "" if note.excluded else "could serve"
    return [f"{note.alias}: {headroom}", *(fact for fact in (score, mark, against) if fact)]


def attempt_lines(attempts: Sequence[Attempt]) -> list[str]:
    """Each try at an upstream, what came of it, and what was done next."""
    return [_attempt_line(attempt) for attempt in attempts] or ["none: no upstream was asked"]


def _attempt_line(attempt: Attempt) -> str:
    came = f"status {attempt.status}" if attempt.status else "no answer"
    then = f", then {attempt.verdict.replace('_', ' ')}" if attempt.verdict else ""
    error = f": {attempt.error}" if attempt.error else ""
    where = f"{attempt.backend}/{attempt.account}, model {attempt.model}"
    return f"{attempt.number}. {where} → {came}, {attempt.outcome} in {_ms(attempt.duration_ms)}{then}{error}"


def change_lines(row: RequestRecord) -> list[str]:
    """What was changed in the request, and what a translation could not carry."""
    lines = [f"changed: {row.mutations}" if row.mutations else "", f"lost: {row.lost}" if row.lost else ""]
    return [line for line in lines if line]


def usage_lines(row: RequestRecord) -> list[str]:
    """Tokens by kind, and the cost at list prices or why there is none."""
    parts = {
        "read from cache": row.cache_read_tokens,
        "written to cache": row.cache_write_tokens,
        "of reasoning": row.reasoning_tokens,
    }
    details = [f"{count:,} {what}" for what, count in parts.items() if count]
    lines = [f"tokens: {', '.join([tokens_text(row), *details])}" if tokens_text(row) else ""]
    if row.cost_source:
        unknown = ", no list price is known for it" if row.cost is None else " at list prices"
        lines.append(f"cost: {cost_text(row)}{unknown}")
    return [line for line in lines if line]


def time_lines(row: RequestRecord) -> list[str]:
    """Where the time went, as far as it came; what took none is left out."""
    parts = {
        "waiting for an account": row.queued_ms,
        "connecting": row.connect_ms,
        "until the first byte": row.ttfb_ms,
        "until the first content": row.ttft_ms,
        "whole request": row.duration_ms,
        "Patchbay's own share": row.overhead_ms,
    }
    return [f"{what}: {_ms(value)}" for what, value in parts.items() if value]


def _ms(value: float) -> str:
    return f"{value:,.1f} ms"


# --- for scripts --------------------------------------------------------------------------------------------


def why_json(row: RequestRecord, attempts: Sequence[Attempt]) -> dict[str, object]:
    """The fields of `history --json`, and what only the account has."""
    return {
        **record_json(row),
        "sessionSource": row.session_source or None,
        "costSource": row.cost_source or None,
        "queuedMs": row.queued_ms,
        "connectMs": row.connect_ms,
        "ttfbMs": row.ttfb_ms,
        "overheadMs": row.overhead_ms,
        "mutations": _listed(row.mutations),
        "lost": _listed(row.lost),
        "decision": _decision_json(row.decision_note),
        "attemptList": [_attempt_json(attempt) for attempt in attempts],
    }


def _listed(text: str) -> list[str]:
    return text.split(", ") if text else []


def _decision_json(note: DecisionNote | None) -> dict[str, object] | None:
    if note is None:
        return None
    choices = [
        {
            "backend": choice.backend,
            "model": choice.model,
            "strategy": choice.strategy,
            "chosen": choice.chosen or None,
            "reason": choice.reason,
            "isBound": choice.is_bound,
            "waitedMs": choice.waited_ms,
            "candidates": [_candidate_json(candidate) for candidate in choice.candidates],
            "others": choice.others,
            "passedOver": missed and _candidate_json(missed),
        }
        for choice, missed in zip(note.choices, note.passed_over(), strict=True)
    ]
    return {"rule": note.rule, "reason": note.reason, "choices": choices}


def _candidate_json(note: CandidateNote) -> dict[str, object]:
    return {
        "alias": note.alias,
        "score": note.score,
        "headroom": note.headroom,
        "excluded": note.excluded or None,
    }


def _attempt_json(attempt: Attempt) -> dict[str, object]:
    return {
        "number": attempt.number,
        "startedAt": iso(attempt.started_at),
        "durationMs": round(attempt.duration_ms, 1),
        "backend": attempt.backend,
        "account": attempt.account,
        "model": attempt.model,
        "status": attempt.status,
        "outcome": attempt.outcome,
        "verdict": attempt.verdict or None,
        "error": attempt.error or None,
    }
