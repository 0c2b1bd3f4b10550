"""`manage.py redaction`: what is replaced in requests before they leave, for backends that ask for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from django.core.management.base import CommandParser

from backends.command import GroupCommand, Options
from backends.models import Backend
from backends.redaction_services import (
    LONGEST_SAMPLE,
    ListedRule,
    Trial,
    list_rules,
    rule_add,
    rule_remove,
    rule_switch,
    try_rules,
)
from backends.services import ServiceError
from backends.wire.kinds import Kind

LONGEST_PATTERN = 10_000  # bytes read; the rule's own limit is far below
ADD_EXAMPLES = (
    "redaction add ticket --label TICKET --pattern 'ACME-[0-9]{4,}'",
    "redaction add customer --label CUSTOMER --pattern 'customer_no=(?P<value>[0-9]+)'   # only the number",
)
TRY_EXAMPLES = (
    "redaction try < notes.txt",
    "redaction try --file request.json --kind messages",
)
PATTERN_HELP = (
    "A regular expression of RE2, without look-around. A group (?P<value>…) limits what is replaced."
)


class Command(GroupCommand):
    """List, add, remove, switch and try redaction rules."""

    help = "What is replaced before a request leaves: list, add, remove, enable, disable, try."
    examples = ("redaction list", "redaction try < notes.txt", "backend set openai --redact yes")

    def add_subcommands(self, add: Callable[..., CommandParser]) -> None:
        """The command line."""
        add("list", self.list_all, "List the rules: your own, then the built-in ones.", ("redaction list",))
        self._add_arguments(add("add", self.add, "Add a rule. It is checked first.", ADD_EXAMPLES))
        for name, run, text in (
            ("remove", self.remove, "Remove a rule of your own."),
            ("enable", self.enable, "Turn a rule on, built-in ones too."),
            ("disable", self.disable, "Turn a rule off, built-in ones too."),
        ):
            sub = add(
                name, run, text, (f"redaction {name} {'ticket' if name == 'remove' else 'phone-number'}",)
            )
            sub.add_argument("name", metavar="NAME")
        trial = add(
            "try",
            self.trial,
            "Show what would be replaced in a text. Stores and sends nothing.",
            TRY_EXAMPLES,
        )
        trial.add_argument("--file", metavar="PATH", default="", help="Default: standard input.")
        trial.add_argument(
            "--kind",
            choices=[kind.value for kind in Kind],
            help="Read it as the body of such a request. Default: as plain text.",
        )

    def _add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME")
        parser.add_argument(
            "--label",
            metavar="TYPE",
            required=True,
            help="What stands in the placeholder: 2 to 16 capital letters or digits, such as TICKET.",
        )
        choice = parser.add_mutually_exclusive_group(required=True)
        choice.add_argument("--pattern", metavar="REGEX", help=PATTERN_HELP)
        choice.add_argument(
            "--pattern-stdin", action="store_true", help="Read the pattern from standard input."
        )

    def list_all(self, options: Options) -> None:
        """Every rule, on or off."""
        rules = list_rules()
        if options["json"]:
            self.say_json([_as_dict(rule) for rule in rules])
            return
        cells = [
            (
                rule.name,
                rule.label,
                "on" if rule.is_enabled else "off",
                "built in" if rule.is_built_in else rule.pattern,
            )
            for rule in rules
        ]
        self.say_table(("NAME", "TYPE", "STATE", "PATTERN"), cells, empty="There is no rule.")
        for rule in rules:
            if rule.problem and rule.is_enabled:
                self.say_aside(f"{rule.name} cannot be used: {rule.problem}")
        names = ", ".join(row.name for row in Backend.objects.filter(redacts=True)) or "none yet"
        self.say_aside(
            f"Backends that redact: {names}. Change: python manage.py backend set NAME --redact yes"
        )

    def add(self, options: Options) -> None:
        """Store a rule of one's own."""
        pattern = options["pattern"]
        if options["pattern_stdin"]:
            pattern = sys.stdin.read(LONGEST_PATTERN).rstrip("\r\n")
        row = rule_add(options["name"], options["label"], pattern)
        if options["json"]:
            self.say_json(_as_dict(next(rule for rule in list_rules() if rule.name == row.name)))
        else:
            self.say(f"Rule {row.name} is on. Try it: python manage.py redaction try")

    def remove(self, options: Options) -> None:
        """Delete a rule of one's own."""
        rule_remove(options["name"])
        if options["json"]:
            self.say_json({"removed": options["name"]})
        else:
            self.say(f"Rule {options['name']} was removed.")

    def enable(self, options: Options) -> None:
        """Turn a rule on."""
        self._switch(options, is_on=True)

    def disable(self, options: Options) -> None:
        """Turn a rule off."""
        self._switch(options, is_on=False)

    def _switch(self, options: Options, *, is_on: bool) -> None:
        rule = rule_switch(options["name"], is_on=is_on)
        if options["json"]:
            self.say_json(_as_dict(rule))
        else:
            self.say(f"Rule {rule.name} is {'on' if rule.is_enabled else 'off'}.")

    def trial(self, options: Options) -> None:
        """Print the text as it would leave, and what was found."""
        sample = _read(options["file"])
        found = try_rules(sample, Kind(options["kind"]) if options["kind"] else None)
        if options["json"]:
            self.say_json(_trial_dict(found))
            return
        for line in found.text.splitlines():
            self.say(line)
        for finding in found.findings:
            self.say_aside(f"{finding.type} by {finding.rule}: {finding.preview}")
        told = ", ".join(f"{count} {label}" for label, count in found.counts.items()) or "nothing"
        self.say_aside(f"Replaced: {told}.")


def _read(path: str) -> str:
    """The sample, a little more than may be tried at most. Raises ServiceError."""
    if not path:
        return sys.stdin.read(LONGEST_SAMPLE + 1)
    try:
        with Path(path).open(encoding="utf-8") as file:
            return file.read(LONGEST_SAMPLE + 1)
    except (OSError, UnicodeDecodeError) as exc:
        raise ServiceError(f"{path} cannot be read as UTF-8 text: {exc}. Give another file.") from exc


def _as_dict(rule: ListedRule) -> dict[str, object]:
    return {
        "name": rule.name,
        "label": rule.label,
        "pattern": rule.pattern,
        "enabled": rule.is_enabled,
        "builtIn": rule.is_built_in,
        "source": rule.source or None,
        "problem": rule.problem or None,
    }


def _trial_dict(found: Trial) -> dict[str, object]:
    findings = [
        {
            "path": finding.path,
            "rule": finding.rule,
            "type": finding.type,
            "placeholder": finding.placeholder,
            "preview": finding.preview,
        }
        for finding in found.findings
    ]
    return {"text": found.text, "counts": dict(found.counts), "findings": findings}
