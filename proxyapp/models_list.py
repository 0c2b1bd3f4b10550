"""`/v1/models`: every name a client may ask for, once, in a shape that both official SDKs accept.

OpenAI's SDK needs id, created, object, owned_by; Anthropic's needs id, type, display_name, created_at,
lifecycle, and `has_more: false`, or its pager asks for the same page for ever.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from accounts.catalogs import refresh_catalogs
from accounts.client_auth import Caller
from accounts.snapshot import Snapshot, keeper
from backends.config import CatalogEntry, Routing
from backends.globs import glob_matches
from backends.routing import NoRoute, decide
from backends.wire.kinds import Protocol
from proxyapp.errors import ProxyError

Entry = dict[str, Any]


async def model_list(snapshot: Snapshot, caller: Caller) -> dict[str, Any]:
    """The whole list as one page."""
    entries = await _entries(snapshot, caller)
    return {
        "object": "list",
        "data": entries,
        "has_more": False,
        "first_id": entries[0]["id"] if entries else None,
        "last_id": entries[-1]["id"] if entries else None,
    }


async def model_entry(snapshot: Snapshot, caller: Caller, model_id: str) -> Entry:
    """One model. Raises ProxyError 404 with the closest names."""
    wanted = model_id.strip().lower()
    for entry in await _entries(snapshot, caller):
        if entry["id"].lower() == wanted:
            return entry
    try:
        reason = decide(model_id, Protocol.OPENAI, keeper.current.routing).reason
        message = f"No backend lists {model_id!r}, though requests for it would be sent on: {reason}."
    except NoRoute as exc:
        message = str(exc)
    raise ProxyError(404, message, code="model_not_found", param="model", is_rejection=True)


async def _entries(snapshot: Snapshot, caller: Caller) -> list[Entry]:
    if await refresh_catalogs(snapshot, only_missing=True):
        snapshot = keeper.current
    found: dict[str, Entry] = {}
    for entry in _all(snapshot.routing):
        found.setdefault(entry["id"].lower(), entry)
    return [entry for name, entry in found.items() if _may_see(caller, name)]


def _all(routing: Routing) -> list[Entry]:
    """Aliases first, then each backend's models; the first of a name stands."""
    entries = [_entry(CatalogEntry(pattern), "patchbay") for pattern in routing.aliases]
    for backend in routing.backends.values():
        entries += [_entry(model, backend.name) for model in backend.offered()]
    return entries


def _entry(model: CatalogEntry, owner: str) -> Entry:
    created = datetime.fromtimestamp(model.created, UTC)
    context = {} if model.context is None else {"max_input_tokens": model.context}
    return {
        "id": model.model,
        "object": "model",
        "created": model.created,
        "owned_by": owner,
        "type": "model",
        "display_name": model.display_name or model.model,
        "created_at": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": "active",
        **context,
    }


def _may_see(caller: Caller, name: str) -> bool:
    return not caller.model_globs or any(glob_matches(glob, name) for glob in caller.model_globs)
