"""What models a backend has: asked from its own list, kept in the database, last good kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from django.db import transaction
from django.utils import timezone

from backends.capabilities import MOST_CONTEXT
from backends.config import BackendConfig, CatalogEntry
from backends.errors import UpstreamError
from backends.models import Backend, CatalogModel, ConfigVersion
from backends.upstream import Deadlines, current_upstream
from backends.wire.kinds import Protocol

LIST_DEADLINES = Deadlines(connect=5, first_byte=15, idle=15)
MAX_LIST_BYTES = 16 * 2**20
MAX_MODELS = 5000


class CatalogError(Exception):
    """The backend's model list could not be had. `status` is its HTTP status, if it answered."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


async def fetch_models(
    backend: BackendConfig, credential: Sequence[tuple[bytes, bytes]]
) -> list[CatalogEntry]:
    """Ask the backend for its models (costs nothing). Raises CatalogError."""
    anthropic = backend.protocol is Protocol.ANTHROPIC
    headers = [(b"accept", b"application/json"), (b"user-agent", b"patchbay"), *credential]
    if anthropic:
        headers.append((b"anthropic-version", b"2023-06-01"))
    try:
        response = await current_upstream().send(
            method="GET",
            base=backend.base,
            path=backend.models_path,
            query=b"limit=1000" if anthropic else b"",
            headers=headers,
            body=b"",
            deadlines=LIST_DEADLINES,
        )
        try:
            body = await response.read(MAX_LIST_BYTES)
        finally:
            response.close()
    except UpstreamError as exc:
        raise CatalogError(str(exc)) from exc
    if response.status != 200:
        raise CatalogError(_why_status(response.status), response.status)
    return parse_models(body)


def parse_models(body: bytes) -> list[CatalogEntry]:
    """Entries of a model list in either protocol's shape; what is not understood is left out."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise CatalogError(
            "The model list is not JSON. Check the base URL: it may lead to a web page."
        ) from exc
    rows = document.get("data", document.get("models")) if isinstance(document, dict) else document
    if not isinstance(rows, list):
        raise CatalogError("The answer holds no model list. Check the base URL and the protocol.")
    entries = [_entry(row) for row in rows[:MAX_MODELS] if isinstance(row, dict)]
    return [entry for entry in entries if entry is not None]


def store_models(backend: str, entries: Iterable[CatalogEntry]) -> None:
    """Replace the stored list of a backend (by name). Unknown backend: nothing, it was removed meanwhile."""
    now = timezone.now()
    with transaction.atomic():
        row = Backend.objects.filter(name=backend).first()
        if row is None:
            return
        unique = {entry.model: entry for entry in entries}
        CatalogModel.objects.filter(backend=row).delete()
        CatalogModel.objects.bulk_create([_row(row, entry, now) for entry in unique.values()])
        ConfigVersion.bump()


def _row(backend: Backend, entry: CatalogEntry, now: datetime) -> CatalogModel:
    created = datetime.fromtimestamp(entry.created, UTC) if entry.created else None
    return CatalogModel(
        backend=backend,
        model_id=entry.model,
        display_name=entry.display_name,
        context_tokens=entry.context,
        created_at=created,
        seen_at=now,
    )


def _entry(row: dict[str, Any]) -> CatalogEntry | None:
    model = row.get("id") or row.get("name")
    if not isinstance(model, str) or not 0 < len(model) <= 200 or not model.isprintable():
        return None
    display = row.get("display_name") or row.get("name")
    return CatalogEntry(
        model=model.removeprefix("models/"),
        display_name=display[:200] if isinstance(display, str) and display.isprintable() else "",
        created=_created(row.get("created"), row.get("created_at")),
        context=_context(row),
    )


# Where lists say how many tokens a model takes: OpenRouter and Together, Groq, vLLM, Anthropic, LiteLLM, Mistral,
# Gemini. A list that gives several means the same by them.
_CONTEXT_FIELDS = (
    *("context_length", "context_window", "max_model_len", "max_input_tokens"),
    *("max_context_length", "inputTokenLimit", "input_token_limit"),
)


def _context(row: dict[str, Any]) -> int | None:
    """The context in tokens, if the list tells it."""
    meta = row.get("meta")  # llama.cpp: `n_ctx` is what the server was started with
    given = [row.get(name) for name in _CONTEXT_FIELDS] + [
        meta.get("n_ctx") if isinstance(meta, dict) else None
    ]
    return next((value for value in given if type(value) is int and 0 < value <= MOST_CONTEXT), None)


def _created(seconds: object, text: object) -> int:
    """Seconds since the epoch from either protocol's field; 0 when absent or absurd."""
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 < seconds < 2**33:
        return int(seconds)
    if isinstance(text, str):
        try:
            return max(0, int(datetime.fromisoformat(text).timestamp()))
        except (ValueError, OverflowError):
            return 0
    return 0


def _why_status(status: int) -> str:
    if status in (401, 403):
        return f"The backend refused the key (HTTP {status}). Set a valid key for the account."
    if status == 404:
        return (
            "The backend has no model list at this address (HTTP 404). Check the base URL and the protocol."
        )
    return f"The backend answered its model list with HTTP {status}. Try again later, or check the base URL."
