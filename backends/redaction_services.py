"""Changing redaction rules, and trying them: the one function behind command, admin page and import.

Rule: a rule is compiled before it is stored, so a pattern that cannot be matched in linear time, or that is none, never
reaches a server.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction

from backends.models import RedactionRule
from backends.redaction import BUILT_IN, compiled, rules_in_force
from backends.services import ServiceError, save_checked
from backends.wire.kinds import Kind
from backends.wire.redaction import (
    BUILTIN,
    Finding,
    Rule,
    RuleError,
    RuleSet,
    Vault,
    check_rule,
    dry_run,
    redact_request,
    redact_text,
)
from backends.wire.redaction.vault import SHAPE
from backends.wire.shapes import BadBody
from backends.wire.splice import splice

MOST_RULES = 200
LONGEST_SAMPLE = 512 * 1024  # bytes
_PLACEHOLDER = re.compile(SHAPE.pattern.decode())


@dataclass(frozen=True, slots=True)
class ListedRule:
    """A rule as a list shows it. `source`: where a built-in rule's format is documented. `problem`: why it cannot be
    used, "" if it can."""

    name: str
    label: str
    pattern: str
    is_enabled: bool
    is_built_in: bool
    source: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """What the rules would make of a sample. `pieces`: the text in order, each with whether it is a placeholder."""

    text: str
    findings: tuple[Finding, ...]
    pieces: tuple[tuple[str, bool], ...]

    @property
    def counts(self) -> Mapping[str, int]:
        """How many values of each type, the most frequent first."""
        return dict(Counter(finding.type for finding in self.findings).most_common())


# --- listing ------------------------------------------------------------------------------------------------------


def list_rules() -> list[ListedRule]:
    """One's own rules by name, then the built-in ones in their order."""
    rows = {row.name: row for row in RedactionRule.objects.order_by("name")}
    own = [_listed(row) for row in rows.values() if not is_switch(row)]
    return [*own, *(_listed_built_in(rule, rows.get(rule.name)) for rule in BUILTIN)]


def is_switch(row: RedactionRule) -> bool:
    """Whether a row only turns a built-in rule on or off."""
    return not row.pattern and row.name in BUILT_IN


def _listed(row: RedactionRule) -> ListedRule:
    return ListedRule(
        row.name,
        row.label,
        row.pattern,
        row.is_enabled,
        False,
        problem=fault_of(row.name, row.label, row.pattern),
    )


def _listed_built_in(rule: Rule, row: RedactionRule | None) -> ListedRule:
    is_on = row.is_enabled if row is not None and is_switch(row) else rule.is_enabled
    return ListedRule(rule.name, rule.label, rule.pattern, is_on, True, rule.source)


def fault_of(name: str, label: str, pattern: str) -> str:
    """Why this cannot be a rule of one's own; "" if it can."""
    if not pattern:
        return "It has no pattern, and no built-in rule has its name. Remove it."
    try:
        check_rule(Rule(name, label, pattern))
    except RuleError as exc:
        return exc.message
    return ""


# --- changing -----------------------------------------------------------------------------------------------------


@transaction.atomic
def rule_add(name: str, label: str, pattern: str, *, is_enabled: bool = True) -> RedactionRule:
    """Make a rule of one's own. Raises ServiceError."""
    if RedactionRule.objects.filter(name=name).exists():
        raise ServiceError(f"A redaction rule {name} exists. Remove it first, or choose another name.")
    if RedactionRule.objects.exclude(pattern="").count() >= MOST_RULES:
        raise ServiceError(f"There are {MOST_RULES} rules already. Join some of them: one|two.")
    return rule_save(RedactionRule(name=name, label=label, pattern=pattern, is_enabled=is_enabled))


def rule_save(row: RedactionRule) -> RedactionRule:
    """Check a rule of one's own, and save it. Raises ServiceError."""
    check_own(row)
    save_checked(row)
    return row


def check_own(row: RedactionRule) -> None:
    """Raises ServiceError for a row that cannot be a rule of one's own."""
    if row.name in BUILT_IN:
        raise ServiceError(f"{row.name} is a built-in rule. Choose another name, or turn that one off.")
    if not row.pattern:
        raise ServiceError("A rule needs a pattern: a regular expression of what is to be replaced.")
    if fault := fault_of(row.name, row.label, row.pattern):
        raise ServiceError(fault)


@transaction.atomic
def rule_switch(name: str, *, is_on: bool) -> ListedRule:
    """Turn a rule on or off, a built-in one too. Raises ServiceError."""
    row = RedactionRule.objects.filter(name=name).first()
    if row is None:
        if name not in BUILT_IN:
            raise _unknown(name)
        row = RedactionRule(name=name, label=BUILT_IN[name].label)
    row.is_enabled = is_on
    if is_on and not is_switch(row):
        check_own(row)
    row.save()  # as it is: also a rule that cannot be used can be turned off
    return next(listed for listed in list_rules() if listed.name == name)


def rule_remove(name: str) -> None:
    """Delete a rule of one's own. Raises ServiceError; a built-in one can only be turned off."""
    row = RedactionRule.objects.filter(name=name).first()
    if row is not None and not is_switch(row):
        row.delete()
    elif name in BUILT_IN:
        raise ServiceError(f"{name} is built in. Turn it off: python manage.py redaction disable {name}")
    else:
        raise _unknown(name)


def _unknown(name: str) -> ServiceError:
    own = ", ".join(RedactionRule.objects.exclude(pattern="").values_list("name", flat=True)) or "none"
    return ServiceError(f"There is no redaction rule {name!r}. Of your own: {own}. All: redaction list")


# --- trying -------------------------------------------------------------------------------------------------------


def try_rules(sample: str, kind: Kind | None = None) -> Trial:
    """What the rules in force would replace in a text, or with `kind` in a request body. Stores nothing.

    Raises ServiceError for a body that is no JSON, a sample that is too long, and rules that cannot be used.
    """
    if len(sample.encode("utf-8", "surrogatepass")) > LONGEST_SAMPLE:
        raise ServiceError(f"The sample is longer than {LONGEST_SAMPLE // 1024} KB. Try a part of it.")
    try:
        rules = compiled(rules_in_force())
    except RuleError as exc:
        raise ServiceError(f"The redaction rule {exc.rule} cannot be used: {exc.message}") from exc
    vault = Vault(settings.PATCHBAY_REDACTION_KEY)
    if kind is None:
        text, findings = redact_text(sample, rules, vault)
    else:
        text, findings = _try_request(kind, sample.encode("utf-8", "surrogatepass"), rules, vault)
    return Trial(text, tuple(findings), tuple(_pieces(text, {finding.placeholder for finding in findings})))


def _try_request(kind: Kind, body: bytes, rules: RuleSet, vault: Vault) -> tuple[str, list[Finding]]:
    try:
        edits, _ = redact_request(kind, body, rules, vault)
        findings = dry_run(kind, body, rules, settings.PATCHBAY_REDACTION_KEY)
    except BadBody as exc:
        raise ServiceError(exc.message) from exc
    return splice(body, edits).decode("utf-8", "replace"), findings


def _pieces(text: str, made: Collection[str]) -> Iterator[tuple[str, bool]]:
    """The text cut at the placeholders that were put into it."""
    at = 0
    for match in _PLACEHOLDER.finditer(text):
        if match[0] in made:
            yield text[at : match.start()], False
            yield match[0], True
            at = match.end()
    yield text[at:], False
