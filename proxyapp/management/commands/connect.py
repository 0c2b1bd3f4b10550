"""`manage.py connect`: points a tool's own configuration at Patchbay, and back."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import CommandError
from django.core.management.base import CommandParser

from backends.command import MAX_STDIN, Options, PatchbayCommand, WrongUse
from backends.online import run_online
from proxyapp.connect import shell
from proxyapp.connect.acting import Plan, carry_out, make_plan, take_back
from proxyapp.connect.files import Written
from proxyapp.connect.ledger import Changed
from proxyapp.connect.parts import KEY_TO_COME, ConnectError, Place, Tool
from proxyapp.connect.round_trip import Tested, round_trip
from proxyapp.connect.showing import joined
from proxyapp.connect.tools import TOOLS
from proxyapp.connect.wishes import load_facts


class Command(PatchbayCommand):
    """Show what would change in a tool's files, and change it after a yes."""

    help = (
        "Point a tool's own configuration at Patchbay: shows the difference, keeps a backup, can be undone."
    )
    examples = (
        "connect claude-code",
        "connect codex --model fast --yes",
        "connect aider --print                                   # what would be written, and nothing else",
        "connect claude-code --undo                              # exactly as it was before",
    )
    failures = (*PatchbayCommand.failures, ConnectError)

    def add_arguments(self, parser: CommandParser) -> None:
        """The command line."""
        parser.add_argument("tool", metavar="TOOL", choices=list(TOOLS), help=", ".join(TOOLS))
        parser.add_argument(
            "--model",
            metavar="MODEL",
            action="append",
            default=[],
            help="What the tool shall use. May be repeated where a tool keeps a list; the first is its default.",
        )
        way = parser.add_mutually_exclusive_group()
        way.add_argument("--print", action="store_true", help="Print what would be written; change nothing.")
        way.add_argument("--undo", action="store_true", help="Put back what the last connect changed.")
        parser.add_argument("--yes", action="store_true", help="Do not ask.")
        parser.add_argument(
            "--key-stdin",
            action="store_true",
            help="Read the client key from standard input. Else, where keys are needed, one is made for the tool.",
        )
        parser.add_argument("--json", action="store_true", help="Answer in JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Undo, print, tell, or connect."""
        tool = TOOLS[options["tool"]]
        place = Place(Path.home(), os.environ, settings.PATCHBAY_HOME, sys.platform)
        if options["undo"]:
            self._undo(tool, place, options)
            return
        plan = make_plan(
            tool,
            place,
            load_facts(),
            asked=options["model"],
            key=_given_key() if options["key_stdin"] else "",
            all_files=options["print"],
        )
        if tool.is_guide:
            self._tell(plan, options)
        elif options["print"]:
            self._print(plan, options)
        else:
            self._connect(plan, options)

    def _connect(self, plan: Plan, options: Options) -> None:
        if not options["json"]:
            self._show(plan)
        paths = [str(change.path) for change in plan.changes]
        if paths and not self.confirm(options, f"Change {joined(paths)}?"):
            raise CommandError("Nothing was changed.")
        wish, written = carry_out(plan) if paths else (plan.wish, [])
        tested = Tested(skipped=f"{plan.tool.title} keeps its key itself")
        if wish.key != KEY_TO_COME:
            tested = run_online(round_trip(plan.tool, wish, is_new_key=bool(plan.makes_key)))
        if options["json"]:
            self.say_json(_answer(plan, written, tested))
        else:
            self._say_done(plan, written, tested)
        if tested.problem:
            raise CommandError(f"The test through {wish.url} failed: {tested.problem}")

    def _show(self, plan: Plan) -> None:
        for line in plan.lines:
            self.say(line.replace("\t", "    "))
        if plan.makes_key:
            self.say(f"A client key {plan.makes_key} will be made; it is shown as ***.")
        if not plan.changes:
            self.say(f"{plan.tool.title} is connected already; there is nothing to change.")

    def _say_done(self, plan: Plan, written: list[Written], tested: Tested) -> None:
        for one in written:
            self.say(f"Wrote {one.path}" + (f"; backup: {one.backup.name}" if one.backup else " (new)"))
        for note in plan.notes:
            self.say(f"Note: {note}")
        for line in tested.lines:
            self.say(f"Tested: {line}")
        if tested.skipped:
            self.say(f"Not tested: {tested.skipped}.")
        if written:
            self.say(f"To undo: python manage.py connect {plan.tool.name} --undo")

    def _print(self, plan: Plan, options: Options) -> None:
        if options["json"]:
            found = [{"path": path, "text": text} for path, text in plan.texts.items()]
            self.say_json({"tool": plan.tool.name, "files": found})
            return
        if plan.tool.name == shell.TOOL.name:
            for line in shell.exports(plan.place, plan.wish):
                self.say(line)
            if plan.makes_key:
                self.say_aside("The file with the key does not exist yet: run `connect shell` once.")
            return
        for path, text in plan.texts.items():
            self.say_aside(f"{path}:")
            for line in text.splitlines():
                self.say(line.replace("\t", "    "))

    def _tell(self, plan: Plan, options: Options) -> None:
        if options["json"]:
            self.say_json(
                {"tool": plan.tool.name, "changed": False, "canConnect": False, "notes": plan.notes}
            )
            return
        for note in plan.notes:
            self.say(note)

    def _undo(self, tool: Tool, place: Place, options: Options) -> None:
        try:
            entry = take_back(tool, place)
        except Changed as exc:
            for line in exc.lines:
                self.say_aside(line)
            raise
        paths = [filed.path for filed in entry.files]
        if options["json"]:
            self.say_json({"tool": tool.name, "restored": paths, "revokedKey": entry.key or None})
            return
        self.say(f"Restored {joined(paths)}.")
        if entry.key:
            self.say(f"Client key {entry.key} is revoked.")


def _given_key() -> str:
    key = sys.stdin.read(MAX_STDIN).strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise WrongUse("--key-stdin: there is no key on standard input.")
    return key


def _answer(plan: Plan, written: list[Written], tested: Tested) -> dict[str, object]:
    return {
        "tool": plan.tool.name,
        "changed": bool(written),
        "files": [
            {"path": str(one.path), "backup": str(one.backup) if one.backup else None} for one in written
        ],
        "diff": plan.lines,
        "model": plan.wish.model or None,
        "keyMade": plan.makes_key or None,
        "notes": plan.notes,
        "tested": tested.lines,
        "notTested": tested.skipped or None,
        "problem": tested.problem or None,
    }
