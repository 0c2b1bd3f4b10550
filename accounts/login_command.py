"""What `login` and `accounts add` share: the options for a credential, and the questions at a terminal.

Rule: nothing that was found on the machine is used without a yes; what is named on the command line is the yes.
"""

from __future__ import annotations

import getpass
import os
import sys
import time
import webbrowser
from dataclasses import replace
from pathlib import Path

from django.core.management import CommandError
from django.core.management.base import CommandParser

from accounts.command import AccountsCommand
from accounts.found_credentials import found_credentials
from accounts.listing import list_account
from accounts.login_services import (
    CallersOwn,
    Credential,
    LoginLater,
    TokenFile,
    as_stored,
    checked_file,
    kind_of,
    required_provider,
)
from accounts.models import Account
from accounts.oauth import Grant, read_token_json
from accounts.oauth_login import login_by_paste, login_with_browser
from accounts.providers import ProviderConfig, provider_of
from accounts.terms import terms_notice
from accounts.token_files import followed
from backends.command import MAX_STDIN, Options, PatchbayCommand, WrongUse, printable
from backends.models import Backend
from backends.online import run_online
from backends.presets import PRESETS
from backends.wire.kinds import Protocol

WAYS = ("key", "key_stdin", "token_file", "oauth", "oauth_json_stdin", "caller")
WAYS_IN_WORDS = "--key-stdin, --token-file PATH, --oauth, --oauth-json-stdin or --caller"
NOTHING_DONE = "No credential was given, so nothing was changed."


def add_credential_options(parser: CommandParser) -> None:
    """The options that say what the credential is. At most one way."""
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--key", help="An API key. Other users of this machine may see it: prefer --key-stdin.")
    way.add_argument("--key-stdin", action="store_true", help="Read the API key from standard input.")
    way.add_argument(
        "--token-file", metavar="PATH", help="Follow the token file of another program; it is never written."
    )
    way.add_argument(
        "--oauth", action="store_true", help="Log in with the backend's configured OAuth client."
    )
    way.add_argument(
        "--oauth-json-stdin", action="store_true", help="Read OAuth tokens as JSON from standard input."
    )
    way.add_argument("--caller", action="store_true", help="Pass on the credential that each caller sends.")
    parser.add_argument(
        "--token-path", metavar="A.B.C", help="With --token-file: where its JSON holds the token."
    )
    parser.add_argument(
        "--manual", action="store_true", help="With --oauth: paste the code, for a machine without a browser."
    )
    parser.add_argument(
        "--no-browser", action="store_true", help="With --oauth: print the address, open nothing."
    )


class CredentialCommand(PatchbayCommand):
    """A command that gives an account its credential."""

    failures = AccountsCommand.failures

    def read_credential(self, options: Options, backend: Backend, *, may_be_none: bool = False) -> Credential:
        """The credential that the options name, else the one that a person chooses at the terminal.

        `may_be_none`: none will do, where the backend is not known to need one.
        """
        self._check_options(options)
        if not any(options[way] not in (None, False) for way in WAYS):
            may_be_none = may_be_none and not _needs_key(backend)
            return self._ask_for_credential(options, backend, may_be_none)
        if options["oauth"]:
            provider = required_provider(backend.name)
            self._say_terms(backend, LoginLater())
            return self._log_in(provider, options)
        credential = self._named_credential(options, backend)
        self._say_terms(backend, credential)
        return credential

    def report_account(self, options: Options, row: Account, text: str) -> None:
        """The account as JSON, or `text` and the state of its credential."""
        listed = list_account(row, time.time())
        if options["json"]:
            self.say_json(listed.as_dict())
        else:
            self.say(f"{text} Credential: {listed.credential.line(listed.now)}.")

    def _check_options(self, options: Options) -> None:
        if options["token_path"] is not None and options["token_file"] is None:
            raise WrongUse("--token-path needs --token-file PATH.")
        if (options["manual"] or options["no_browser"]) and not options["oauth"]:
            raise WrongUse("--manual and --no-browser need --oauth.")

    def _named_credential(self, options: Options, backend: Backend) -> Credential:
        if options["oauth_json_stdin"]:
            return self._imported(backend)
        if options["token_file"] is not None:
            return self._file(TokenFile(options["token_file"], options["token_path"] or ""))
        return CallersOwn() if options["caller"] else self.read_secret(options)

    def _imported(self, backend: Backend) -> Grant:
        grant = read_token_json(sys.stdin.read(MAX_STDIN))
        if grant.refresh is None or provider_of(backend.name) is not None:
            return grant
        self.say_aside(
            f"The refresh token is left out: backend {backend.name} has no OAuth provider that could use it."
            " The account works until its token ends. Configure the provider and import again to keep it."
        )
        return replace(grant, refresh=None)

    def _file(self, named: TokenFile) -> TokenFile:
        file = checked_file(named)
        if warning := followed(file.path, file.token_path).warning:
            self.say_aside(warning)
        return file

    def _say_terms(self, backend: Backend, credential: Credential) -> None:
        kind = kind_of(as_stored(backend, credential))
        if notice := terms_notice(kind, is_anthropic=backend.protocol == Protocol.ANTHROPIC):
            self.say_aside(notice)

    def _log_in(self, provider: ProviderConfig, options: Options) -> Grant:
        """Through a browser. Only a person gets one opened; a script gets the address."""

        def show(line: str) -> None:
            stream = self.stderr if options["json"] else self.stdout
            stream.write(printable(line), style_func=str)
            stream.flush()

        if options["manual"]:
            return run_online(login_by_paste(provider, show=show, ask=_ask))
        opens = self.is_interactive and not options["no_browser"]
        opener = webbrowser.open if opens else _open_nothing
        return run_online(login_with_browser(provider, open_browser=opener, show=show))

    # --- at a terminal ------------------------------------------------------------------------------------

    def _ask_for_credential(self, options: Options, backend: Backend, may_be_none: bool) -> Credential:
        if not self.is_interactive and may_be_none:
            return None
        if not self.is_interactive:
            raise WrongUse(f"Say what the credential for {backend.name} is: {WAYS_IN_WORDS}.")
        for found in found_credentials(backend, os.environ, Path.home()):
            self._say_terms(backend, found.credential)
            if self._is_wanted(f"Use {found.what} for {backend.name} ({backend.base_url})?"):
                return found.credential
        provider = provider_of(backend.name)
        if provider is not None:
            self._say_terms(backend, LoginLater())
            if self._is_wanted(f"Log in at {provider.issuer or provider.authorize_url}?"):
                return self._log_in(provider, options)
        return self._ask_for_key(backend, may_be_none)

    def _ask_for_key(self, backend: Backend, may_be_none: bool) -> str | None:
        hint = "input is hidden; empty: none" if may_be_none else "input is hidden"
        try:
            key = getpass.getpass(f"Key for {printable(backend.name)} ({hint}): ").strip()
        except EOFError as exc:
            raise CommandError(NOTHING_DONE) from exc
        if key:
            self._say_terms(backend, key)
        elif not may_be_none:
            raise CommandError(NOTHING_DONE)
        return key or None

    def _is_wanted(self, question: str) -> bool:
        try:
            return input(f"{printable(question)} [y/N] ").strip().lower() in {"y", "yes"}
        except EOFError as exc:
            raise CommandError(NOTHING_DONE) from exc


def _needs_key(backend: Backend) -> bool:
    """Whether a known provider is meant that does not answer without a key."""
    return backend.preset in PRESETS and PRESETS[backend.preset].needs_key


def _ask(prompt: str) -> str:
    """A line from the terminal or a pipe. The prompt goes to stderr, so that stdout stays the answer's."""
    sys.stderr.write(prompt)
    sys.stderr.flush()
    return sys.stdin.readline(MAX_STDIN)


def _open_nothing(url: str) -> None:
    """The address was shown; that is enough."""
