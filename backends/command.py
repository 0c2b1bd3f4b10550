"""What our management commands share: sub-commands, tables, `--json`, secrets from a prompt or stdin, exit codes.

Rule: exit 0 done, 1 failed, 2 wrong use. A failure is one line on stderr, never a traceback. A terminal gets
tables; a pipe gets plain columns that are never cut; whatever came from outside is shown with its control
characters escaped.
"""

from __future__ import annotations

import getpass
import json
import os
import sys
from argparse import SUPPRESS, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.management import CommandError
from django.core.management.base import CommandParser
from django.db import DatabaseError, connections
from django_rich.management import RichCommand
from rich import box
from rich.table import Table
from rich.text import Text

from backends.migrating import migrate_if_needed
from backends.services import ServiceError, one_line

MAX_STDIN = 64 * 1024
Options = dict[str, Any]
SubCommand = Callable[[Options], None]


class WrongUse(CommandError):
    """The command line asks for something that makes no sense: exit 2."""

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=2)


class PatchbayCommand(RichCommand):
    """One command. Subclasses parse, call a service and print what it returned."""

    requires_system_checks = ()  # `check` and `runproxy` show them; here they would drown the answer
    suppressed_base_arguments = {
        *("--version", "-v", "--verbosity", "--settings", "--pythonpath", "--traceback", "--force-color")
    }
    failures: tuple[type[Exception], ...] = (
        ServiceError,
        ValidationError,
        DatabaseError,
        ImproperlyConfigured,
    )
    needs_database = True
    examples: Sequence[str] = ()

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Django's parser with our examples below the help."""
        kwargs |= {"formatter_class": RawDescriptionHelpFormatter, "epilog": epilog(self.examples)}
        return super().create_parser(prog_name, subcommand, **kwargs)

    def run_from_argv(self, argv: list[str]) -> None:
        """The way in from the command line, and the one place that knows the exit codes."""
        code = 0
        try:
            options = self._parse(argv)
            if self.needs_database:
                with self._failures_as_command_errors():
                    migrate_if_needed()
            self.execute(**vars(options))
            sys.stdout.flush()
        except CommandError as exc:
            code = exc.returncode
            self.say_failure(f"{argv[1]}: {exc}" if str(exc) else "")
        except KeyboardInterrupt:
            code = 1
        except BrokenPipeError:
            # Whoever read our output has enough. Python must not complain when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        finally:
            connections.close_all()
        sys.exit(code)

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run `handle()`; what our services raise becomes a CommandError, for `call_command()` too."""
        with self._failures_as_command_errors():
            return super().execute(*args, **options)

    @contextmanager
    def _failures_as_command_errors(self) -> Iterator[None]:
        try:
            yield
        except ValidationError as exc:
            raise CommandError(one_line(exc)) from exc
        except DatabaseError as exc:
            raise CommandError(
                f"The database cannot be used ({exc}). Check PATCHBAY_HOME, its disk and its rights."
            ) from exc
        except self.failures as exc:
            raise CommandError(str(exc)) from exc

    def _parse(self, argv: list[str]) -> Namespace:
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        parser = self.create_parser(argv[0], argv[1])
        try:
            return parser.parse_args(argv[2:])
        except CommandError as exc:
            text = str(exc).removeprefix("Error: ")
            raise WrongUse(f"{text} (see {Path(argv[0]).name} {argv[1]} --help)") from exc

    # --- output ------------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """A line for people, on stdout."""
        self.stdout.write(printable(text))

    def say_aside(self, text: str) -> None:
        """A line that is not the answer, on stderr."""
        self.stderr.write(printable(text), style_func=str)

    def say_failure(self, text: str) -> None:
        """The one line on stderr."""
        if text:
            self.stderr.write(printable(" ".join(text.split())), style_func=str)

    def say_json(self, answer: object) -> None:
        """The answer for scripts. Everything beyond ASCII is escaped, so a terminal stays safe as well."""
        self.stdout.write(json.dumps(answer, indent=2))

    def say_table(self, columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
        """A listing. `empty` says what to do when there is nothing to list."""
        cells = [[printable("" if cell is None else str(cell)) for cell in row] for row in rows]
        if not cells:
            self.say_aside(empty)
        elif self.console.is_terminal:
            table = Table(*columns, box=box.SIMPLE_HEAD, header_style="bold")
            for row in cells:
                table.add_row(*(Text(cell) for cell in row))
            self.console.print(table)
        else:
            self._say_columns([list(columns), *cells])

    def _say_columns(self, rows: list[list[str]]) -> None:
        widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
        for row in rows:
            padded = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self.stdout.write(padded.rstrip())

    # --- input -------------------------------------------------------------------------------------------

    @property
    def is_interactive(self) -> bool:
        """Whether a person sits at both ends."""
        return sys.stdin.isatty() and sys.stdout.isatty()

    def read_secret(self, options: Options, *, prompt: str = "") -> str | None:
        """The secret from `--key`, `--key-stdin` or, at a terminal, a hidden prompt; None when none is given."""
        if options["key"] is not None:
            return str(options["key"])
        if options["key_stdin"]:
            return sys.stdin.read(MAX_STDIN)
        if prompt and self.is_interactive:
            return getpass.getpass(prompt).strip() or None
        return None

    def confirm(self, options: Options, question: str) -> bool:
        """Ask at a terminal, unless `--yes`; a script means what it says."""
        if options["yes"] or not self.is_interactive:
            return True
        return input(f"{printable(question)} [y/N] ").strip().lower() in {"y", "yes"}


class GroupCommand(PatchbayCommand):
    """A command that only groups sub-commands."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Build the sub-commands; without one the help is printed and the exit code is 2."""
        self._help = parser.format_help
        group = parser.add_subparsers(title="sub-commands", metavar="SUB-COMMAND")

        def add(name: str, run: SubCommand, text: str, examples: Sequence[str] = ()) -> CommandParser:
            sub: CommandParser = group.add_parser(
                name,
                help=text,
                description=text,
                epilog=epilog(examples),
                formatter_class=RawDescriptionHelpFormatter,
            )
            sub.add_argument("--json", action="store_true", help="Answer in JSON.")
            sub.add_argument("--no-color", action="store_true", default=SUPPRESS, help=SUPPRESS)
            sub.set_defaults(run=run)
            return sub

        self.add_subcommands(add)

    def add_subcommands(self, add: Callable[..., CommandParser]) -> None:
        """Call `add(name, function, help, examples)` for each sub-command, and give it its arguments."""
        raise NotImplementedError

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the chosen sub-command."""
        run: SubCommand | None = options.get("run")
        if run is None:
            self.stderr.write(self._help(), style_func=str)
            raise WrongUse("")
        run(options)


def printable(text: str) -> str:
    """`text` with control characters escaped: an upstream's words cannot move the cursor of a terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def comma_list(text: str) -> tuple[str, ...]:
    """`a,b, c` as a tuple of its non-empty parts: the type of a `--models` option."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def add_secret_options(parser: CommandParser, what: str) -> None:
    """`--key` and `--key-stdin`, which exclude each other."""
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--key", metavar="KEY", help=f"{what}. Other users of this machine may see it: prefer --key-stdin."
    )
    choice.add_argument(
        "--key-stdin",
        action="store_true",
        help=f"Read the key from standard input: {what[0].lower()}{what[1:]}.",
    )


def epilog(examples: Sequence[str]) -> str:
    """Examples for the end of a help text."""
    lines = [
        f"  python manage.py {example}" if not example.startswith(" ") else example for example in examples
    ]
    return "\n".join(["examples:", *lines]) if lines else ""
