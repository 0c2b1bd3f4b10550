"""Patchbay's configuration as data: what `export` writes, what `import` reads, and what every plan is made of.

Fields are named as the columns they come from, and written in camelCase. No field holds a secret.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import msgspec

from backends.conditions import parse_conditions
from backends.targets import TargetSpec

VERSION = 1


class Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """One row."""


class BackendShape(Shape, frozen=True, kw_only=True):
    """An upstream service. Timeouts are seconds; None is the setting's."""

    name: str
    base_url: str
    protocol: str = "openai"
    preset: str = ""
    responses: bool | None = None
    model_globs: list[str] = []
    strategy: str = "headroom"
    connect_timeout_s: float | None = None
    first_byte_timeout_s: float | None = None
    first_byte_plain_timeout_s: float | None = None
    idle_timeout_s: float | None = None
    capabilities: dict[str, object] = {}
    redacts: bool = False
    keeps_bodies: bool = False
    is_enabled: bool = msgspec.field(default=True, name="enabled")


class AccountShape(Shape, frozen=True, kw_only=True):
    """An account without its credential: `kind` says which credential it needs."""

    alias: str
    backend: str
    kind: str = "api_key"
    token_file: str = ""
    token_path: str = ""
    is_paused: bool = msgspec.field(default=False, name="paused")
    position: int = 0
    weight: int = 1
    reserve_percent: float = 2.0
    reserves: dict[str, int | float] = {}
    min_interval_ms: int | None = None
    allowed_claims: list[str] = []
    daily_limit: Decimal | None = None
    monthly_limit: Decimal | None = None


class TargetShape(Shape, frozen=True, kw_only=True):
    """One target of a route. An empty model is the name that the client used.

    The lowest position is tried first; targets of one position share the requests by weight.
    """

    backend: str
    model: str = ""
    position: int = 0
    weight: int = 1
    conditions: dict[str, object] = {}

    @property
    def spec(self) -> TargetSpec:
        """The same for the router. Raises BadCondition."""
        conditions = parse_conditions(self.conditions)
        return TargetSpec(self.backend, self.model, self.weight, self.position, conditions)


class RouteShape(Shape, frozen=True, kw_only=True):
    """A route; one whose pattern is an exact name is an alias."""

    pattern: str
    targets: list[TargetShape] = []
    template: str = ""
    is_enabled: bool = msgspec.field(default=True, name="enabled")


class TemplateShape(Shape, frozen=True, kw_only=True):
    """A request template, in its present version."""

    name: str
    spec: dict[str, object] = {}


class RedactionRuleShape(Shape, frozen=True, kw_only=True):
    """A redaction rule. An empty pattern is a built-in one."""

    name: str
    label: str
    pattern: str = ""
    is_enabled: bool = msgspec.field(default=True, name="enabled")


class PriceShape(Shape, frozen=True, kw_only=True):
    """The operator's own prices, US dollars per million tokens. An empty backend is every backend."""

    model: str
    since: date
    backend: str = ""
    input: Decimal | None = None
    cache_read: Decimal | None = None
    cache_write_5m: Decimal | None = None
    cache_write_1h: Decimal | None = None
    output: Decimal | None = None
    note: str = ""


class ClientKeyShape(Shape, frozen=True, kw_only=True):
    """A client key's name and limits. The key itself cannot be exported: only its hash is kept."""

    name: str
    model_globs: list[str] = []
    expires_at: datetime | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    budget: Decimal | None = None
    budget_period: str = "month"
    keeps_bodies: bool = False
    is_revoked: bool = msgspec.field(default=False, name="revoked")


class OAuthProviderShape(Shape, frozen=True, kw_only=True):
    """The operator's own OAuth client at one backend."""

    backend: str
    client_id: str
    issuer: str = ""
    authorize_url: str = ""
    token_url: str = ""
    scopes: str = ""
    redirect_url: str = ""


class Configuration(Shape, frozen=True, kw_only=True):
    """Everything, in the order in which it is created again. `patchbay` is the version of this format."""

    patchbay: int
    backends: list[BackendShape] = []
    oauth_providers: list[OAuthProviderShape] = []
    accounts: list[AccountShape] = []
    templates: list[TemplateShape] = []
    redaction_rules: list[RedactionRuleShape] = []
    prices: list[PriceShape] = []
    routes: list[RouteShape] = []
    client_keys: list[ClientKeyShape] = []
