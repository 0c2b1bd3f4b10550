"""`manage.py createadmin`: a way into the admin."""

from __future__ import annotations

import getpass
import sys
from typing import Any

from django.core.management.base import CommandParser

from accounts.admin_access import LOGIN_LINK_MINUTES, admin_set_password, login_link_url
from accounts.command import AccountsCommand
from backends.command import MAX_STDIN, PatchbayCommand, WrongUse


class Command(PatchbayCommand):
    """A one-time login link, or an admin user with a password."""

    help = "A way into the admin: a one-time login link, or with --username a user with a password."
    examples = (
        "createadmin                                             # a link, good once, for 15 minutes",
        "createadmin --username ann                              # asks for the password",
        "createadmin --username ann --password-stdin < password.txt",
    )
    failures = AccountsCommand.failures

    def add_arguments(self, parser: CommandParser) -> None:
        """The command line."""
        parser.add_argument(
            "--username", metavar="NAME", help="Make this user an admin, or change their password."
        )
        parser.add_argument(
            "--password-stdin", action="store_true", help="Read the password from standard input."
        )
        parser.add_argument("--json", action="store_true", help="Answer in JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the link, or set the password."""
        if options["username"]:
            self._set_password(options)
            return
        if options["password_stdin"]:
            raise WrongUse("--password-stdin needs --username.")
        url = login_link_url()
        if options["json"]:
            self.say_json({"url": url, "minutes": LOGIN_LINK_MINUTES})
            return
        self.say(f"Open this link on this machine. It works once, for {LOGIN_LINK_MINUTES} minutes:")
        self.say(url)

    def _set_password(self, options: dict[str, Any]) -> None:
        password = self._read_password(options)
        is_new = admin_set_password(options["username"], password)
        if options["json"]:
            self.say_json({"username": options["username"], "created": is_new})
        else:
            self.say(f"Admin {options['username']} was {'created' if is_new else 'given a new password'}.")

    def _read_password(self, options: dict[str, Any]) -> str:
        if options["password_stdin"]:
            return sys.stdin.read(MAX_STDIN).rstrip("\r\n")
        if not self.is_interactive:
            raise WrongUse("There is no terminal to ask at: give the password with --password-stdin.")
        password = getpass.getpass("Password: ")
        if getpass.getpass("Again: ") != password:
            raise WrongUse("The two passwords differ. Nothing was changed.")
        return password
