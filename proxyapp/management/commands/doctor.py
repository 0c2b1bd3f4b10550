"""`manage.py doctor`: everything that can be wrong, one line each."""

from __future__ import annotations

from typing import Any

from django.core.management import CommandError
from django.core.management.base import CommandParser

from accounts.vault import VaultError
from backends.command import PatchbayCommand
from proxyapp.doctor.examination import examine
from proxyapp.doctor.findings import Level


class Command(PatchbayCommand):
    """Examine, and say what to do."""

    help = (
        "Check everything that can be wrong: one line each, with its cure. Changes nothing and costs nothing."
    )
    examples = ("doctor", "doctor --json")
    failures = (*PatchbayCommand.failures, VaultError)
    needs_database = False  # it looks at the databases as they are

    def add_arguments(self, parser: CommandParser) -> None:
        """The command line."""
        parser.add_argument("--json", action="store_true", help="Answer in JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit 1 if anything fails."""
        findings = examine()
        failed = sum(finding.level is Level.FAIL for finding in findings)
        if options["json"]:
            self.say_json({"ok": not failed, "findings": [finding.as_dict() for finding in findings]})
        else:
            for finding in findings:
                self.say(finding.line())
        if failed:
            raise CommandError(f"{failed} of {len(findings)} checks failed.")
