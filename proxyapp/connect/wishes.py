"""What a tool is to be told, from the configuration in force: which models there are, and which key it needs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.utils import timezone

from accounts.client_auth import digest_of, keys_required
from accounts.models import Account, ClientKey
from accounts.snapshot import Demo, Snapshot, load_snapshot
from backends.own_url import own_url
from backends.routing import NoRoute, decide, family_backend, known_names
from backends.wire.kinds import Protocol
from proxyapp.connect.parts import ConnectError, Needs, Tool, Wish

SHOWN_NAMES = 12
_OUR_KEY = re.compile(r"\bpb-[A-Za-z0-9_-]{20,}")
_NOWHERE = "http://127.0.0.1:9"  # only names are looked at


@dataclass(frozen=True, slots=True)
class Facts:
    """The configuration as far as tools are concerned."""

    snapshot: Snapshot

    @property
    def needs_key(self) -> bool:
        """Whether Patchbay asks its callers for a key."""
        return keys_required(self.snapshot)

    def names(self) -> list[str]:
        """Every model that could be asked for: aliases first."""
        return known_names(self.snapshot.routing)

    def answers(self, model: str, protocol: Protocol) -> bool:
        """Whether a request for `model` would go anywhere."""
        try:
            return bool(decide(model, protocol, self.snapshot.routing).targets)
        except NoRoute:
            return False

    def callers_login(self, model: str, protocol: Protocol) -> bool:
        """Whether every account that `model` leads to passes on the caller's own credential."""
        try:
            targets = decide(model, protocol, self.snapshot.routing).targets
        except NoRoute:
            return False
        kinds = {account.kind for target in targets for account in self.snapshot.pool(target.backend.name)}
        return kinds == {Account.CALLER}


def load_facts() -> Facts:
    """Read the database. Without a backend the built-in simulated one is there, as in the server."""
    return Facts(load_snapshot(Demo(_NOWHERE, always=settings.PATCHBAY_DEMO)))


def wish_for(tool: Tool, facts: Facts, *, asked: Sequence[str], key: str) -> Wish:
    """What `tool` is to be told. `asked` are the models that a person named. Raises ConnectError."""
    protocol = Protocol.ANTHROPIC if tool.dialect == "anthropic" else Protocol.OPENAI
    serves_own = bool(tool.own_model) and facts.answers(tool.own_model, protocol)
    models = _checked(asked, facts, protocol)
    if not models and _must_be_told(tool, serves_own):
        models = (_only_choice(tool, facts),)
    used = models[0] if models else tool.own_model
    return Wish(
        url=own_url(),
        key=key,
        models=models,
        serves_own=serves_own,
        callers_login=bool(used) and facts.callers_login(used, protocol),
    )


def _must_be_told(tool: Tool, serves_own: bool) -> bool:
    return tool.needs_model is Needs.ALWAYS or (tool.needs_model is Needs.UNLESS_SERVED and not serves_own)


def _checked(asked: Sequence[str], facts: Facts, protocol: Protocol) -> tuple[str, ...]:
    models = tuple(dict.fromkeys(name.strip() for name in asked if name.strip()))
    for model in models:
        try:
            decide(model, protocol, facts.snapshot.routing)
        except NoRoute as exc:
            raise ConnectError(f"--model {model}: {exc}") from exc
    return models


def _only_choice(tool: Tool, facts: Facts) -> str:
    """The model to use when nobody named one: the simulated one where there is no other, the only one, `sonnet`."""
    names, routing = facts.names(), facts.snapshot.routing
    if not routing.real_backends:
        return "demo-claude" if tool.dialect == "anthropic" else "demo"
    if len(names) == 1:
        return names[0]
    if family_backend(Protocol.ANTHROPIC, routing) is not None:
        return "sonnet"
    if not names:
        raise ConnectError(
            f"Which model shall {tool.title} use? None is known yet: look with `backend models NAME`, then say --model"
            " NAME."
        )
    shown = ", ".join(names[:SHOWN_NAMES]) + (" …" if len(names) > SHOWN_NAMES else "")
    raise ConnectError(f"Which model shall {tool.title} use? Say --model NAME. Known: {shown}")


# --- the key -------------------------------------------------------------------------------------------------------


def key_in(texts: Iterable[str]) -> str:
    """A key in these texts that Patchbay takes now; "" when there is none."""
    fixed = settings.PATCHBAY_API_KEY
    for text in texts:
        if fixed is not None and len(fixed) >= 8 and fixed in text:
            return fixed
        for found in _OUR_KEY.findall(text):
            if is_valid_key(found):
                return str(found)
    return ""


def is_valid_key(key: str) -> bool:
    """Whether Patchbay takes this client key now."""
    digests = [digest_of(key, pepper=pepper) for pepper in settings.PATCHBAY_KEY_PEPPERS]
    row = ClientKey.objects.filter(digest__in=digests).first()
    return row is not None and row.is_valid_at(timezone.now())


def free_key_name(tool: str) -> str:
    """The tool's name, or with a number when a key is called that."""
    taken = set(ClientKey.objects.values_list("name", flat=True))
    names = [tool, *(f"{tool}-{number}" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)
