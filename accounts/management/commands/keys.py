"""`manage.py keys`: the keys that tools use to call Patchbay."""

from __future__ import annotations

from collections.abc import Callable

from django.core.management.base import CommandParser
from django.utils import timezone

from accounts.command import AccountsCommand
from accounts.models import ClientKey
from accounts.services import key_add, key_revoke, key_status
from backends.command import Options, comma_list

ADD_EXAMPLES = ("keys add laptop", "keys add ci --models 'gpt-*,demo' --expires 90d", "keys add ci --json")


class Command(AccountsCommand):
    """List, add and revoke client keys."""

    help = "The keys that tools use to call Patchbay: list, add, revoke."
    examples = ("keys list", "keys add laptop", "keys revoke laptop")

    def add_subcommands(self, add: Callable[..., CommandParser]) -> None:
        """The command line."""
        add("list", self.list_all, "List the client keys.", ("keys list --json",))
        new = add(
            "add", self.add, "Make a client key. It is shown once, alone on the last line.", ADD_EXAMPLES
        )
        new.add_argument("name", metavar="NAME", help="Who uses it: letters, digits, . _ -")
        new.add_argument("--models", metavar="GLOB,…", type=comma_list, default=(), help="Only these models.")
        new.add_argument("--expires", metavar="90d", default="", help="How long it works: 90d, 12h, 30m, 2w.")
        revoke = add(
            "revoke", self.revoke, "Make a key useless from the next request on.", ("keys revoke laptop",)
        )
        revoke.add_argument("name", metavar="NAME")

    def list_all(self, options: Options) -> None:
        """Every key, revoked ones too."""
        rows = ClientKey.objects.all()
        if options["json"]:
            self.say_json([_as_dict(row) for row in rows])
            return
        now = timezone.now()
        cells = [
            (
                row.name,
                f"{row.prefix}…",
                key_status(row, now),
                ", ".join(row.model_globs) or "every model",
                f"{row.expires_at:%Y-%m-%d %H:%M}" if row.expires_at else "never",
            )
            for row in rows
        ]
        self.say_table(
            ("NAME", "KEY", "STATUS", "MODELS", "EXPIRES"),
            cells,
            empty="No client key: only this machine may call.",
        )

    def add(self, options: Options) -> None:
        """Make a key and show it, this once."""
        row, key = key_add(options["name"], options["models"], options["expires"])
        if options["json"]:
            self.say_json({"name": row.name, "id": str(row.pk), "key": key})
            return
        self.say(f"Client key {row.name}. Keep it now: it is not shown again.")
        self.say(key)

    def revoke(self, options: Options) -> None:
        """Revoke a key."""
        row = key_revoke(options["name"])
        if options["json"]:
            self.say_json(_as_dict(row))
        else:
            self.say(f"Client key {row.name} is revoked.")


def _as_dict(row: ClientKey) -> dict[str, object]:
    return {
        "name": row.name,
        "id": str(row.pk),
        "prefix": row.prefix,
        "status": key_status(row, timezone.now()),
        "models": row.model_globs,
        "createdAt": row.created_at.isoformat(),
        "expiresAt": row.expires_at.isoformat() if row.expires_at else None,
        "revokedAt": row.revoked_at.isoformat() if row.revoked_at else None,
    }
