"""The models that the simulated provider lists, in the shape that both official SDKs accept at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from backends.simulator.asking import JsonObject


@dataclass(frozen=True, slots=True)
class Model:
    """One listed model. `created` is a date, e.g. `2026-01-05`."""

    name: str
    created: str = "2025-01-01"
    owner: str = "patchbay-simulator"
    lifecycle: str = "active"
    context: int = 200_000
    output: int = 64_000

    def as_json(self) -> JsonObject:
        moment = datetime.fromisoformat(self.created).replace(tzinfo=UTC)
        return {
            "id": self.name,
            "object": "model",
            "created": int(moment.timestamp()),
            "owned_by": self.owner,
            "type": "model",
            "display_name": self.name.replace("-", " ").title(),
            "created_at": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "lifecycle": self.lifecycle,
            "max_input_tokens": self.context,
            "max_tokens": self.output,
        }


DEMO = (
    Model("demo", "2026-01-01"),
    Model("demo-claude", "2026-01-01"),
    Model("demo-gpt", "2026-01-01"),
)
DEFAULT = (
    Model("claude-opus-4-8", "2026-04-16", "anthropic"),
    Model("claude-opus-4-1", "2025-08-05", "anthropic"),
    Model("claude-sonnet-4-5", "2025-09-29", "anthropic"),
    Model("claude-sonnet-4-0", "2025-05-22", "anthropic"),
    Model("claude-haiku-4-5", "2025-10-01", "anthropic"),
    Model("claude-3-5-haiku-20241022", "2024-10-22", "anthropic"),
    Model("gpt-4o", "2024-05-13", "openai", context=128_000, output=16_384),
    Model("gpt-4o-mini", "2024-07-18", "openai", context=128_000, output=16_384),
    Model("o3", "2025-04-16", "openai"),
    Model("text-embedding-3-small", "2024-01-25", "openai", context=8191, output=0),
)


def models(listed: Iterable[str | Model]) -> dict[str, Model]:
    """Models by name; a bare name gets usual facts."""
    made = (Model(one) if isinstance(one, str) else one for one in listed)
    return {model.name: model for model in made}


def page(listed: Iterable[Model], query: dict[str, str]) -> JsonObject:
    """The list, or the part of it that Anthropic's `limit`, `after_id`, `before_id` ask for."""
    data = [model.as_json() for model in listed]
    names = [model["id"] for model in data]
    if query.get("after_id") in names:
        data = data[names.index(query["after_id"]) + 1 :]
    if query.get("before_id") in names:
        data = data[: names.index(query["before_id"])]
    limit = int(query["limit"]) if query.get("limit", "").isdigit() else len(data)
    more = len(data) > limit
    data = data[: max(1, limit)]
    ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
    return {"object": "list", "data": data, "has_more": more, **ends}
