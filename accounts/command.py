"""The base of the commands that touch accounts."""

from __future__ import annotations

from accounts.vault import VaultError
from backends.command import GroupCommand


class AccountsCommand(GroupCommand):
    """A group command that may meet a stored key which cannot be opened."""

    failures = (*GroupCommand.failures, VaultError)
