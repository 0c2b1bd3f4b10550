"""From rows to the redaction rules in force: the built-in ones, less those that are turned off, and the operator's own.

Rule: a rule that cannot be used is never skipped. What it should have hidden would go out unnoticed; so backends that
redact get nothing until it is corrected.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from backends.config import Redaction
from backends.models import RedactionRule
from backends.wire.redaction import BUILTIN, Rule, RuleError, RuleSet

BUILT_IN = {rule.name: rule for rule in BUILTIN}


def load_redaction() -> Redaction:
    """The rules as they are stored now, ready to use, or why they cannot be used."""
    try:
        return Redaction(rules=compiled(rules_in_force()))
    except RuleError as exc:
        return Redaction(problem=f"the redaction rule {exc.rule} cannot be used: {exc.message}")


def rules_in_force() -> tuple[Rule, ...]:
    """Every enabled rule. One's own come first: where two overlap, the first one names the type.

    Raises RuleError for a row that should be a built-in rule and is none, as a restored database may have.
    """
    rows = list(RedactionRule.objects.order_by("name"))
    switches = {row.name: row.is_enabled for row in rows if not row.pattern}
    if unknown := [name for name, is_on in switches.items() if is_on and name not in BUILT_IN]:
        raise RuleError(unknown[0], "It has no pattern, and no built-in rule has its name. Remove it.")
    own = [Rule(row.name, row.label, row.pattern) for row in rows if row.pattern and row.is_enabled]
    built_in = [replace(rule, is_enabled=switches.get(rule.name, rule.is_enabled)) for rule in BUILTIN]
    return (*own, *(rule for rule in built_in if rule.is_enabled))


@lru_cache(maxsize=4)
def compiled(rules: tuple[Rule, ...]) -> RuleSet:
    """The rules, compiled once as long as they stay the same. Raises RuleError."""
    return RuleSet(rules)
