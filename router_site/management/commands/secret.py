"""`manage.py secret`: the master secret, and its replacement by a new one."""

from __future__ import annotations

from collections.abc import Callable

from django.core.management.base import CommandParser

from backends.command import GroupCommand, Options
from router_site.secret_rotation import finish, rotate, secret_state


class Command(GroupCommand):
    """Show, rotate, finish."""

    help = "The master secret, which seals stored keys. `rotate` and `finish` replace it by a new one."

    def add_subcommands(self, add: Callable[..., CommandParser]) -> None:
        """The command line."""
        add("show", self.show, "The secrets in force by their fingerprints, and what each still seals.")
        parser = add(
            "rotate",
            self.rotate,
            "Make a new secret and seal everything with it; the old one goes on opening what it sealed.",
            ("secret rotate", "secret finish"),
        )
        parser.add_argument(
            "--online",
            action="store_true",
            help="Make no new secret: seal with the newest, which every running server was started with.",
        )
        parser = add("finish", self.finish, "Forget the old secrets, once nothing is sealed with them.")
        parser.add_argument(
            "--online", action="store_true", help="While servers run that know the newest secret."
        )
        parser.add_argument(
            "--forget-keys", action="store_true", help="Also if client keys that are older stop working."
        )

    def show(self, options: Options) -> None:
        """Fingerprints and counts, never a secret."""
        state = secret_state()
        if options["json"]:
            self.say_json({name: getattr(state, name) for name in state.__slots__})
            return
        for number, fingerprint in enumerate(state.fingerprints):
            self.say(f"{fingerprint}  {'newest' if number == 0 else 'old'}")
        self.say(
            f"Stored values: {state.newest} by the newest, {state.older} by old ones, {state.closed} by none."
        )
        if state.old_keys:
            self.say(f"Client keys that need an old one: {', '.join(state.old_keys)}.")

    def rotate(self, options: Options) -> None:
        """Exit 1 while a server runs on this home, and when a value opens with no secret."""
        is_new, count = rotate(online=options["online"])
        if options["json"]:
            self.say_json({"new": is_new, "sealed": count})
            return
        self.say(
            f"{'A new secret is in force' if is_new else 'No new secret was made'}; {count} values were sealed anew."
        )
        self.say_aside(
            "Copy secrets/secret_key to where its backup is. `secret finish` forgets the old secrets."
        )

    def finish(self, options: Options) -> None:
        """Exit 1 when something still needs an old secret."""
        count = finish(forget_keys=options["forget_keys"], online=options["online"])
        if options["json"]:
            self.say_json({"forgotten": count})
            return
        self.say(f"{count} old secrets were forgotten." if count else "There is no old secret.")
        if count:
            self.say_aside(
                "Whoever was logged in to the admin must log in again. Backups from before need the old one."
            )
