"""What is on this machine and could be a backend: provider keys in the environment, model servers on loopback ports.

Rule: finding changes nothing and sends no key; a find becomes a backend only by `take`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from django.conf import settings

from accounts.credentials import own_headers
from accounts.login_services import check_secret
from accounts.models import Account
from accounts.setup import backend_add_with_account
from accounts.snapshot import AccountConfig, load_snapshot
from accounts.surroundings import provider_environment
from backends.addresses import BadBaseUrl
from backends.catalog import CatalogError, fetch_models, store_models
from backends.config import BackendConfig, CatalogEntry
from backends.discovery import USUAL_PORTS, FoundServer, find_servers
from backends.models import Backend
from backends.move_in.dotenv import key_endpoint
from backends.move_in.endpoints import Endpoint
from backends.move_in.plan import numbered
from backends.move_in.providers import BY_NAME, FoundKey, found_keys
from backends.online import run_online
from backends.services import NewBackend, ServiceError
from backends.wire.kinds import Protocol

LIST_SECONDS = 5.0
_SECOND_KEY = (
    "it is a second key for {name}. To add it to the pool: accounts add ALIAS --backend {name} --key-stdin"
)


@dataclass(frozen=True, slots=True)
class Find:
    """Something that could be a backend. `source`: a variable or a port. `models`: how many, None if not known.

    `exists`: the backend that is there for it already. `problem`: why it cannot be taken as it is.
    """

    source: str
    name: str
    base_url: str
    protocol: Protocol
    is_server: bool
    models: int | None = None
    exists: str = ""
    problem: str = ""
    key: str = field(default="", repr=False)
    entries: tuple[CatalogEntry, ...] = field(default=(), repr=False)

    @property
    def is_offered(self) -> bool:
        """Whether it can be taken."""
        return not self.exists and not self.problem

    def line(self) -> str:
        """One sentence for a terminal."""
        what = f"{self.name} on {self.source}" if self.is_server else f"{self.source}: a key for {self.name}"
        count = "" if self.models is None else f", {count_of_models(self.models)}"
        state = (
            f"; backend {self.exists} exists" if self.exists else f"; {self.problem}" if self.problem else ""
        )
        return f"{what} ({self.base_url}){count}{state}"

    def as_dict(self) -> dict[str, object]:
        """For --json."""
        return {
            "kind": "server" if self.is_server else "key",
            "source": self.source,
            "backend": self.exists or self.name,
            "baseUrl": self.base_url,
            "protocol": self.protocol.value,
            "models": self.models,
            "exists": bool(self.exists),
            "problem": self.problem or None,
        }


def count_of_models(count: int) -> str:
    """`1 model`, `3 models`."""
    return f"{count} model{'s' * (count != 1)}"


# --- finding ----------------------------------------------------------------------------------------------------


def find_all(environ: Mapping[str, str], ports: Iterable[int] | None = None) -> list[Find]:
    """Keys first, then servers on `ports` (default: the usual ones); never Patchbay's own port."""
    own_port = settings.PATCHBAY_PORT
    wanted = [port for port in ports or USUAL_PORTS.values() if port != own_port]
    usable = provider_environment(environ)
    servers = run_online(find_servers(wanted))
    finds = [
        *(_key_find(found) for found in found_keys(usable)),
        *(_server_find(each, usable) for each in servers),
    ]
    return _named(finds)


def _key_find(found: FoundKey) -> Find:
    problem = ""
    try:
        place = key_endpoint(found)
        check_secret(found.key)
    except (BadBaseUrl, ServiceError) as exc:
        place, problem = Endpoint(found.provider.name, found.base_url, Protocol.OPENAI), str(exc)
    return Find(
        found.name,
        place.name,
        place.base_url,
        place.protocol,
        is_server=False,
        problem=problem,
        key=found.key,
    )


def _server_find(server: FoundServer, environ: Mapping[str, str]) -> Find:
    provider = BY_NAME.get(server.kind)
    names = provider.keys if provider else ()
    name = next((name for name in names if environ.get(name, "").strip()), "") if server.needs_key else ""
    problem = "" if name or not server.needs_key else f"it needs a key: backend add {server.name} --key-stdin"
    return Find(
        f"port {server.port}",
        server.name,
        server.base_url,
        Protocol.OPENAI,
        is_server=True,
        models=None if server.needs_key else len(server.models),
        problem=problem,
        key=environ[name].strip() if name else "",
        entries=server.models,
    )


def _named(finds: Sequence[Find]) -> list[Find]:
    """With names that are free, each address once, and what exists already marked."""
    existing = {(row.base_url.rstrip("/"), row.protocol): row.name for row in Backend.objects.all()}
    taken = {row.lower() for row in Backend.objects.values_list("name", flat=True)}
    taken |= {alias.lower() for alias in Account.objects.values_list("alias", flat=True)}
    offered: dict[tuple[str, str], str] = {}
    named: list[Find] = []
    for find in finds:
        identity = (find.base_url, find.protocol.value)
        if identity in existing:
            named.append(replace(find, exists=existing[identity]))
        elif identity in offered and not find.problem:
            named.append(replace(find, problem=_SECOND_KEY.format(name=offered[identity])))
        else:
            name = numbered(find.name, taken)
            if not find.problem:
                taken.add(name.lower())
                offered[identity] = name
            named.append(replace(find, name=name))
    return named


# --- taking -----------------------------------------------------------------------------------------------------


def take(find: Find) -> Account:
    """Make the backend with its first account. Raises ServiceError."""
    new = NewBackend(name=find.name, base_url=find.base_url, protocol=find.protocol.value)
    account = backend_add_with_account(new, find.key or None)
    if find.entries:
        store_models(account.backend.name, find.entries)
    return account


def list_models(names: Sequence[str]) -> dict[str, int | str]:
    """The model lists of backends that were just taken, asked together: how many models, or why there is no list."""
    snapshot = load_snapshot()
    pairs = [
        (backend, snapshot.pool(backend.name)[0])
        for name in names
        if (backend := snapshot.routing.backends.get(name.lower())) is not None
        and snapshot.pool(backend.name)
    ]
    answers = run_online(_ask_all(pairs))
    for (backend, _), answer in zip(pairs, answers, strict=True):
        if not isinstance(answer, str):
            store_models(backend.name, answer)
    return {
        backend.name: answer if isinstance(answer, str) else len(answer)
        for (backend, _), answer in zip(pairs, answers, strict=True)
    }


async def _ask_all(pairs: Sequence[tuple[BackendConfig, AccountConfig]]) -> list[list[CatalogEntry] | str]:
    return list(await asyncio.gather(*(_ask(backend, account) for backend, account in pairs)))


async def _ask(backend: BackendConfig, account: AccountConfig) -> list[CatalogEntry] | str:
    try:
        return await asyncio.wait_for(
            fetch_models(backend, own_headers(account, backend.protocol)), LIST_SECONDS
        )
    except CatalogError as exc:
        return str(exc)
    except TimeoutError:
        return f"It did not answer within {LIST_SECONDS:.0f} seconds. Try: backend test {backend.name}"
