"""What the pool remembers over a restart. Written beside the requests, in batches; never on their way.

Rule: these rows are observations, not configuration: they never move `ConfigVersion`.
"""

from __future__ import annotations

from django.db import models


class Window(models.Model):
    """One limit of one account, as the provider last reported it."""

    account = models.ForeignKey("accounts.Account", on_delete=models.CASCADE, related_name="windows")
    name = models.CharField(max_length=64, help_text="5h, 7d, 7d_opus, requests, tokens, overage, …")
    model_class = models.CharField(max_length=200, blank=True, help_text="Which models; empty: every model.")
    utilization = models.FloatField(help_text="0 to 1; over 1 when the provider let more through.")
    remaining = models.BigIntegerField(null=True)
    limit = models.BigIntegerField(null=True)
    is_rejected = models.BooleanField("rejected", default=False)
    resets_at = models.DateTimeField(null=True)
    observed_at = models.DateTimeField()

    class Meta:
        ordering = ["account", "name", "model_class"]
        constraints = [models.UniqueConstraint(fields=["account", "name", "model_class"], name="window_once")]

    def __str__(self) -> str:
        return f"{self.name} {self.model_class}".strip()


class Bench(models.Model):
    """Why an account is out of rotation for now, and when the next try is due."""

    account = models.ForeignKey("accounts.Account", on_delete=models.CASCADE, related_name="benches")
    kind = models.CharField(max_length=16, help_text="limited, quota, auth or fault.")
    model_class = models.CharField(max_length=200, blank=True, help_text="Which models; empty: every model.")
    reason = models.CharField(max_length=500)
    strikes = models.PositiveIntegerField(default=1)
    since = models.DateTimeField()
    until = models.DateTimeField(help_text="When the next try is due: a prediction, not a latch.")
    window = models.CharField(max_length=64, blank=True, help_text="The limit that caused it, if known.")

    class Meta:
        ordering = ["account", "kind", "model_class"]
        verbose_name_plural = "benches"
        constraints = [models.UniqueConstraint(fields=["account", "kind", "model_class"], name="bench_once")]

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}"


class Spend(models.Model):
    """Money that an account used in one UTC day (2026-11-22) or month (2026-11)."""

    account = models.ForeignKey("accounts.Account", on_delete=models.CASCADE, related_name="spends")
    period = models.CharField(max_length=10)
    amount = models.DecimalField(max_digits=16, decimal_places=8, default=0)

    class Meta:
        ordering = ["account", "period"]
        constraints = [models.UniqueConstraint(fields=["account", "period"], name="spend_once")]

    def __str__(self) -> str:
        return f"{self.period}: {self.amount}"


class KeySpend(models.Model):
    """Money that a client key used in one UTC day (2026-11-22): a budget's week or month is a sum over its days."""

    key = models.ForeignKey("accounts.ClientKey", on_delete=models.CASCADE, related_name="spends")
    period = models.CharField(max_length=10)
    amount = models.DecimalField(max_digits=16, decimal_places=8, default=0)

    class Meta:
        ordering = ["key", "period"]
        constraints = [models.UniqueConstraint(fields=["key", "period"], name="key_spend_once")]

    def __str__(self) -> str:
        return f"{self.period}: {self.amount}"
