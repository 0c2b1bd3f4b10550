"""What a person is told first: by `runproxy` on the terminal and by `/` in a browser, from the same facts."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.template.loader import render_to_string

from accounts.pool_view import pool_obstacles
from accounts.snapshot import Snapshot
from backends.own_url import own_url


@dataclass(frozen=True, slots=True)
class BackendFact:
    """One line about a backend."""

    name: str
    url: str
    accounts: str
    models: int


def sdk_environment(*, keys_needed: bool) -> list[tuple[str, list[tuple[str, str]]]]:
    """The two environment variables that point each SDK here. Without a key any text will do as one."""
    key = "YOUR_CLIENT_KEY" if keys_needed else "patchbay"
    return [
        ("Anthropic SDKs, Claude Code", [("ANTHROPIC_BASE_URL", own_url()), ("ANTHROPIC_API_KEY", key)]),
        ("OpenAI SDKs and tools", [("OPENAI_BASE_URL", f"{own_url()}/v1"), ("OPENAI_API_KEY", key)]),
    ]


def backend_facts(snapshot: Snapshot) -> list[BackendFact]:
    """What is configured."""
    facts = []
    for backend in snapshot.routing.backends.values():
        obstacles = pool_obstacles(snapshot, backend.name)
        accounts = [f"{alias} ({why})" if why else alias for alias, why in obstacles.items()]
        facts.append(BackendFact(backend.name, str(backend.base), ", ".join(accounts), len(backend.catalog)))
    return facts


def next_steps(snapshot: Snapshot, *, keys_needed: bool) -> list[tuple[str, str]]:
    """What to do now: (why, command)."""
    if not snapshot.routing.real_backends:
        return [
            (
                "Add a backend; its key is asked for, not put on the command line",
                "python manage.py backend add openai",
            ),
            ("Or a model server on this machine", "python manage.py backend add ollama"),
            ("Until then the built-in simulated model answers", "python manage.py ask --model demo 'hello'"),
        ]
    steps = [("Try it", "python manage.py ask --model MODEL 'hello'")]
    if not keys_needed:
        steps.append(("Give each tool a key of its own", "python manage.py keys add NAME"))
    return [*steps, ("See what happens", "python manage.py history --follow")]


def front_page(snapshot: Snapshot, *, keys_needed: bool) -> str:
    """The page at `/`."""
    context = {
        "version": settings.VERSION,
        "base_url": own_url(),
        "sdks": sdk_environment(keys_needed=keys_needed),
        "backends": backend_facts(snapshot),
        "is_demo": not snapshot.routing.real_backends,
        "steps": next_steps(snapshot, keys_needed=keys_needed),
    }
    return render_to_string("front.html", context)
