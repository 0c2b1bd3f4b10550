"""Backends, routes and the model lists that backends report.

Rule: every saved or deleted configuration row moves `ConfigVersion`; running servers watch that number
and swap their snapshot whole. Rows written with `QuerySet.update()` must call `ConfigVersion.bump()`.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models, transaction
from django.db.models.functions import Lower

from backends.addresses import BadBaseUrl, check_base_url
from backends.capabilities import BadCapability, parse_overrides
from backends.conditions import BadCondition, parse_conditions
from backends.config import Strategy
from backends.presets import PRESETS, is_own_server
from backends.price_models import PriceOverride as PriceOverride
from backends.wire.kinds import Protocol
from backends.wire.templates import BadTemplate, parse_spec

NAME_RULE = r"^[A-Za-z0-9._-]{1,64}$"
name_validator = RegexValidator(NAME_RULE, "Use 1 to 64 letters, digits, dots, underscores or hyphens.")


OWN_SERVER_STAYS_RAW = (
    "A model server in your own network gets its requests as they are, since they go nowhere else. Leave this off; if"
    " it passes them on to a cloud, add it under a name of its own."
)


def validate_base_url(value: str) -> None:
    """Admin and command line refuse the same addresses that the connection would refuse."""
    try:
        check_base_url(value)
    except BadBaseUrl as exc:
        raise ValidationError(str(exc)) from exc


def is_glob_list(value: object) -> bool:
    """Whether `value` is a list of non-empty strings."""
    return isinstance(value, list) and all(isinstance(glob, str) and glob for glob in value)


class ConfigVersion(models.Model):
    """One row whose number moves with every change of the configuration."""

    number = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(pk=1), name="one_config_version")]

    def __str__(self) -> str:
        return str(self.number)

    @classmethod
    def bump(cls) -> None:
        """Tell every running server that the configuration changed."""
        with transaction.atomic(using="default"):
            cls.objects.get_or_create(pk=1)
            cls.objects.filter(pk=1).update(number=models.F("number") + 1)

    @classmethod
    def current(cls) -> int:
        """The number now; 0 before the first change."""
        return cls.objects.filter(pk=1).values_list("number", flat=True).first() or 0


class Backend(models.Model):
    """An upstream service: where it is and which protocol it speaks."""

    PROTOCOLS = [(Protocol.ANTHROPIC.value, "Anthropic Messages"), (Protocol.OPENAI.value, "OpenAI")]
    STRATEGIES = [
        (Strategy.HEADROOM.value, "headroom: the account with the most left"),
        (Strategy.FORECAST.value, "forecast: most likely to last, spending first what resets soonest"),
        (Strategy.FILL_FIRST.value, "fill-first: one account until it is spent, then the next"),
        (Strategy.ROUND_ROBIN.value, "round-robin: each in turn"),
        (Strategy.WEIGHTED.value, "weighted: in proportion to each account's weight"),
    ]

    name = models.CharField(max_length=64, unique=True, validators=[name_validator])
    preset = models.CharField(
        max_length=32, blank=True, editable=False, help_text="The known provider this backend was made from."
    )
    protocol = models.CharField(max_length=16, choices=PROTOCOLS, default=Protocol.OPENAI.value)
    base_url = models.CharField(
        "base URL",
        max_length=500,
        validators=[validate_base_url],
        help_text="OpenAI: ends in the version (https://api.openai.com/v1). Anthropic: without it.",
    )
    responses = models.BooleanField(
        "speaks /responses",
        null=True,
        blank=True,
        help_text="Whether an OpenAI backend answers the Responses API. Unknown counts as no.",
    )
    model_globs = models.JSONField(
        "models",
        default=list,
        blank=True,
        help_text="Only these models (globs); empty: whatever the backend lists.",
    )
    strategy = models.CharField(
        max_length=16,
        choices=STRATEGIES,
        default=Strategy.HEADROOM.value,
        help_text="How an account of the pool is chosen when several can serve.",
    )
    connect_timeout_s = models.FloatField("connect timeout (s)", null=True, blank=True)
    first_byte_timeout_s = models.FloatField("first byte timeout, streams (s)", null=True, blank=True)
    first_byte_plain_timeout_s = models.FloatField(
        "first byte timeout, plain answers (s)", null=True, blank=True
    )
    idle_timeout_s = models.FloatField("idle timeout (s)", null=True, blank=True)
    capabilities = models.JSONField(
        default=dict,
        blank=True,
        help_text='What its models can, where it differs from what is known: {"images": false, "context": 32000}.',
    )
    redacts = models.BooleanField(
        "redact requests",
        default=False,
        help_text="Replace secrets and personal data before sending, by the redaction rules.",
    )
    keeps_bodies = models.BooleanField(
        "keep bodies",
        default=False,
        help_text="Store the bodies of its requests and answers in the history.",
    )
    is_enabled = models.BooleanField("enabled", default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(Lower("name"), name="backend_name_ignoring_case")]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Values that no single field can check."""
        if not is_glob_list(self.model_globs):
            raise ValidationError({"model_globs": 'Give a list of globs, such as ["gpt-*", "o3"].'})
        for field in ("connect", "first_byte", "first_byte_plain", "idle"):
            value = getattr(self, f"{field}_timeout_s")
            if value is not None and not 0 < value <= 86_400:
                raise ValidationError(
                    {f"{field}_timeout_s": "Give seconds between 0 and 86400, or leave it empty."}
                )
        try:
            parse_overrides(self.capabilities)
        except BadCapability as exc:
            raise ValidationError({"capabilities": str(exc)}) from exc
        if self.redacts and self.is_own_server:
            raise ValidationError({"redacts": OWN_SERVER_STAYS_RAW})

    @property
    def is_own_server(self) -> bool:
        """Whether it is a model server in one's own network, which gets its requests as they are."""
        try:
            return is_own_server(self.preset, check_base_url(self.base_url))
        except BadBaseUrl:
            return False

    @property
    def speaks_responses(self) -> bool:
        """The row's own word, else the preset's, else no."""
        if self.protocol != Protocol.OPENAI:
            return False
        if self.responses is not None:
            return self.responses
        return self.preset in PRESETS and PRESETS[self.preset].responses


class CatalogModel(models.Model):
    """One model that a backend's own list named when it last answered (kept while it is offline)."""

    backend = models.ForeignKey(Backend, on_delete=models.CASCADE, related_name="catalog")
    model_id = models.CharField(max_length=200)
    display_name = models.CharField(max_length=200, blank=True)
    context_tokens = models.PositiveIntegerField(null=True, blank=True, help_text="If the list says it.")
    created_at = models.DateTimeField(null=True, blank=True)
    seen_at = models.DateTimeField()

    class Meta:
        ordering = ["backend", "model_id"]
        constraints = [models.UniqueConstraint(fields=["backend", "model_id"], name="model_once_per_backend")]

    def __str__(self) -> str:
        return self.model_id


class Route(models.Model):
    """A rule: which models go to which targets. A pattern of one exact name is an alias."""

    pattern = models.CharField(
        max_length=200,
        unique=True,
        help_text="An exact name (an alias) or a glob such as claude-*; * is the default route.",
    )
    template = models.ForeignKey(
        "backends.RequestTemplate", on_delete=models.SET_NULL, null=True, blank=True, related_name="routes"
    )
    is_enabled = models.BooleanField("enabled", default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["pattern"]

    def __str__(self) -> str:
        return self.pattern

    def clean(self) -> None:
        """Patterns match without regard to case and outer spaces, so they are stored that way."""
        self.pattern = (self.pattern or "").strip().lower()
        if not self.pattern or any(ord(char) < 33 or ord(char) == 127 for char in self.pattern):
            raise ValidationError({"pattern": "Give a model name or a glob, without spaces."})

    @property
    def is_alias(self) -> bool:
        """Whether the pattern is one exact name."""
        return not any(char in self.pattern for char in "*?")


class RouteTarget(models.Model):
    """One place a route sends to; the order is the fallback order."""

    route = models.ForeignKey(Route, on_delete=models.CASCADE, related_name="targets")
    position = models.PositiveSmallIntegerField(default=0)
    backend = models.ForeignKey(Backend, on_delete=models.CASCADE, related_name="route_targets")
    model = models.CharField(
        max_length=200,
        blank=True,
        help_text="The name to ask the backend for; empty: the name the client used.",
    )
    weight = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1)],
        help_text="Targets of the same position share the requests in proportion.",
    )
    conditions = models.JSONField(
        default=dict,
        blank=True,
        help_text='When this target counts: {"needs": ["images"], "min_tokens": 100000}.',
    )

    class Meta:
        ordering = ["route", "position", "pk"]

    def __str__(self) -> str:
        return f"{self.backend.name}:{self.model}" if self.model else self.backend.name

    def clean(self) -> None:
        """Conditions are stored in one spelling."""
        self.model = self.model.strip()
        try:
            self.conditions = parse_conditions(self.conditions).as_json()
        except BadCondition as exc:
            raise ValidationError({"conditions": str(exc)}) from exc


class LearnedQuirk(models.Model):
    """Something that a backend refused by name once, and that is left out since."""

    KINDS = [("parameter", "parameter"), ("beta", "anthropic-beta value")]

    backend = models.ForeignKey(Backend, on_delete=models.CASCADE, related_name="quirks")
    model = models.CharField(max_length=200, help_text="The upstream model, in lower case.")
    kind = models.CharField(max_length=16, choices=KINDS)
    name = models.CharField(max_length=200)
    evidence = models.CharField(max_length=500, blank=True, help_text="What the backend said.")
    learned_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["backend", "model", "kind", "name"]
        constraints = [
            models.UniqueConstraint(fields=["backend", "model", "kind", "name"], name="quirk_once")
        ]

    def __str__(self) -> str:
        return f"{self.backend}:{self.model} without {self.name}"


class RequestTemplate(models.Model):
    """What is put into, or over, the requests of a route: written by the operator, versioned."""

    name = models.CharField(max_length=64, unique=True, validators=[name_validator])
    version = models.PositiveIntegerField(default=1, editable=False)
    spec = models.JSONField(default=dict, help_text="The template.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return f"{self.name} (version {self.version})"

    def clean(self) -> None:
        """A template is stored in one spelling, and only if it can be used."""
        try:
            self.spec = parse_spec(self.spec).as_json()
        except BadTemplate as exc:
            raise ValidationError({"spec": str(exc)}) from exc


class TemplateVersion(models.Model):
    """An earlier, or the present, text of a template."""

    template = models.ForeignKey(RequestTemplate, on_delete=models.CASCADE, related_name="versions")
    version = models.PositiveIntegerField()
    spec = models.JSONField()
    saved_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["template", "-version"]
        constraints = [models.UniqueConstraint(fields=["template", "version"], name="template_version_once")]

    def __str__(self) -> str:
        return f"{self.template.name} {self.version}"


class RedactionRule(models.Model):
    """What is replaced in requests to backends that ask for it. A built-in rule has no pattern of its own."""

    name = models.CharField(max_length=64, unique=True, validators=[name_validator])
    label = models.CharField(
        max_length=16, help_text="The type that stands in the placeholder, such as EMAIL."
    )
    pattern = models.CharField(
        max_length=1000, blank=True, help_text="A regular expression; empty: built in."
    )
    is_enabled = models.BooleanField("enabled", default=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


def bump_on_change(sender: Any, **kwargs: Any) -> None:
    """Signal receiver: a configuration row was saved or deleted."""
    if not kwargs.get("raw"):
        ConfigVersion.bump()
