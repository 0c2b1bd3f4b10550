"""`runproxy`: the server."""

from __future__ import annotations

import gc
import socket
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.admin_access import login_link_make
from accounts.checks import stored_secrets_open
from accounts.client_auth import keys_required
from accounts.snapshot import keeper
from accounts.waiting import room
from analytics.shared_counts import shared_counts
from backends.migrating import migrate_if_needed
from backends.own_url import own_url
from backends.services import ServiceError
from proxyapp.checks import open_bind_without_key, workers_without_redis
from proxyapp.front import backend_facts, next_steps, sdk_environment
from proxyapp.relay import shut_down_relays
from router_site.flags import add_flags
from router_site.home import HomeError
from router_site.home_lock import hold_home
from router_site.rejections import record_rejection
from router_site.runtime import runtime
from router_site.server import BindError, Limits, bind, serve
from router_site.workers import Place, Workers

COLLECT_AFTER = (
    5000,
    20,
    20,
)  # a request leaves few cycles; Python's own 700 looks for them ten times as often


class Command(BaseCommand):
    help = "Start Patchbay: migrate, make missing secrets, listen, and print what to do next."
    suppressed_base_arguments = {
        *("--version", "-v", "--verbosity", "--settings", "--pythonpath", "--traceback", "--force-color")
    }
    requires_system_checks: list[str] = []  # the ones that matter at start are run below, in one line each

    def add_arguments(self, parser: CommandParser) -> None:
        add_flags(parser)
        parser.add_argument(
            "--no-open", action="store_true", help="never open a browser (nothing does so now)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit 0 after a drain, 1 when forced or the port is taken, 2 for wrong use."""
        self._prepare()
        limits = Limits(max_body=settings.PATCHBAY_MAX_BODY_MB * 2**20)
        place = Place.from_environment()
        listener = place.listener if place else _bind(limits)
        if place is None and settings.PATCHBAY_WORKERS > 1:
            sys.exit(Workers(settings.PATCHBAY_WORKERS, listener, sys.argv).run())
        from router_site.admission import admit
        from router_site.asgi import application

        login_link = (
            f"{own_url()}/admin/login-link/{login_link_make()}/" if place is None or place.greets else ""
        )
        if place is not None:
            shared_counts.join(place.board)
        runtime.prepare()

        code = serve(
            application,
            host=settings.PATCHBAY_HOST,
            port=settings.PATCHBAY_PORT,
            limits=limits,
            listener=listener,
            worker=(place.crowd, place.number) if place else None,
            admit=admit,
            drain_seconds=settings.PATCHBAY_DRAIN_SECONDS,
            on_ready=lambda: self._begin(place, login_link),
            on_drain=lambda: room.close_in(max(0.0, settings.PATCHBAY_DRAIN_SECONDS - 1)),
            on_shutdown=shut_down_relays,
            on_stop=runtime.stop,
            on_rejected=record_rejection,
        )
        sys.exit(code)

    def _begin(self, place: Place | None, login_link: str) -> None:
        """It listens now."""
        runtime.start()
        if place is not None:
            place.watch_lifeline()
        if login_link:
            self._greet(login_link)
        _settle_memory()

    def _prepare(self) -> None:
        """Everything that may refuse the start. Nothing listens yet."""
        try:
            hold_home(settings.PATCHBAY_HOME)
            migrate_if_needed()
        except (HomeError, ServiceError) as exc:
            raise CommandError(str(exc)) from exc
        problems = stored_secrets_open() + open_bind_without_key() + workers_without_redis()
        if problems:
            raise CommandError(
                " ".join(f"{problem.msg} {problem.hint}" for problem in problems), returncode=2
            )

    def _greet(self, login_link: str) -> None:
        snapshot = keeper.current
        needed = keys_required(snapshot)
        write = self.stdout.write
        write(f"Patchbay {settings.VERSION} listens on {own_url()}")
        for title, variables in sdk_environment(keys_needed=needed):
            write(f"\n{title}:")
            for name, value in variables:
                write(f"  export {name}={value}")
        write("\nBackends:")
        for fact in backend_facts(snapshot):
            write(f"  {fact.name}: {fact.url}, accounts: {fact.accounts or 'none'}")
        write("\nNext:")
        for why, command in next_steps(snapshot, keys_needed=needed):
            write(f"  {why}:\n    {command}")
        write(f"\nAdmin, for the next 15 minutes, once: {login_link}")
        self.stdout.flush()


def _settle_memory() -> None:
    """What is loaded by now stays for ever. A full collection over it would stop every request for 0.1 s."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def _bind(limits: Limits) -> socket.socket:
    try:
        return bind(settings.PATCHBAY_HOST, settings.PATCHBAY_PORT, socket_buffer=limits.socket_buffer)
    except BindError as exc:
        raise CommandError(str(exc)) from exc
