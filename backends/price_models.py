"""Prices that the operator sets: over the price list's, from a date on."""

from __future__ import annotations

from decimal import Decimal

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models

_POSITIVE = [MinValueValidator(Decimal(0))]


class PriceOverride(models.Model):
    """US dollars per million tokens of the models that a glob names, at one backend or at all, from a date on.

    The newest row that has begun when the request began, and whose glob is the most specific, counts. An empty price
    of cache reads or writes means the input's; an empty price of input or output means that the use is unpriced.
    """

    backend = models.ForeignKey(
        "backends.Backend",
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="prices",
        help_text="Empty: at every backend.",
    )
    model = models.CharField(max_length=200, help_text="An upstream model name or a glob.")
    since = models.DateField(help_text="Counts for requests from this day on (UTC).")
    input = models.DecimalField(
        "input, $ per million tokens",
        max_digits=12,
        decimal_places=6,
        null=True,
        blank=True,
        validators=_POSITIVE,
    )
    cache_read = models.DecimalField(
        "cache reads", max_digits=12, decimal_places=6, null=True, blank=True, validators=_POSITIVE
    )
    cache_write_5m = models.DecimalField(
        "cache writes, 5 minutes",
        max_digits=12,
        decimal_places=6,
        null=True,
        blank=True,
        validators=_POSITIVE,
    )
    cache_write_1h = models.DecimalField(
        "cache writes, 1 hour", max_digits=12, decimal_places=6, null=True, blank=True, validators=_POSITIVE
    )
    output = models.DecimalField(
        "output", max_digits=12, decimal_places=6, null=True, blank=True, validators=_POSITIVE
    )
    note = models.CharField(max_length=200, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "price"
        ordering = ["model", "-since"]
        constraints = [
            models.UniqueConstraint(fields=["backend", "model", "since"], name="price_once_a_day"),
            models.UniqueConstraint(
                fields=["model", "since"], condition=models.Q(backend=None), name="common_price_once_a_day"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model} from {self.since}"

    def clean(self) -> None:
        """Globs match without regard to case and outer spaces, so they are stored that way."""
        self.model = (self.model or "").strip().lower()
        if not self.model or any(ord(char) < 33 or ord(char) == 127 for char in self.model):
            raise ValidationError({"model": "Give a model name or a glob, without spaces."})
        if self.input is None and self.output is None:
            raise ValidationError({"input": "Give a price for input or for output."})
