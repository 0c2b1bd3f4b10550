"""Sums kept beside the records: what pages and `/analytics` read, so that nobody has to walk a million rows.

Rule: only the history's writer adds to them, in the transaction that stores the records; `recost` and `prune` are the
only others that touch them. Names are text, as in the records.
"""

from __future__ import annotations

from django.db import models


class UsageSums(models.Model):
    """Sums over requests. Tokens are in disjoint buckets; `reasoning_tokens` are part of the output.

    `requests` counts every record: also token counts, which use nothing, and the rejected, which stand apart as well;
    so `requests - rejected` came as far as an upstream. A rejected request has neither duration nor model here: its
    client could have written any text there. `unpriced` were served, but nobody knows for how much, so `cost` is the
    cost of the `priced` ones.
    """

    backend = models.CharField(max_length=64)
    account = models.CharField(max_length=64)
    key = models.CharField("client key", max_length=64)
    model = models.CharField(
        max_length=200, help_text="As the backend was asked; else as the client asked; empty: rejected."
    )
    requests = models.PositiveBigIntegerField(default=0)
    errors = models.PositiveBigIntegerField(
        default=0, help_text="error, truncated, shutdown; not rejected, not cancelled"
    )
    rejected = models.PositiveBigIntegerField(default=0)
    priced = models.PositiveBigIntegerField(default=0, help_text="Requests with a cost.")
    unpriced = models.PositiveBigIntegerField(default=0, help_text="Served requests without a known price.")
    estimated = models.PositiveBigIntegerField(default=0, help_text="Requests whose usage is an estimate.")
    fresh_input_tokens = models.BigIntegerField(default=0)
    cache_read_tokens = models.BigIntegerField(default=0)
    cache_write_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    reasoning_tokens = models.BigIntegerField(default=0)
    cost = models.DecimalField(max_digits=24, decimal_places=8, default=0)
    duration_ms = models.FloatField(default=0, help_text="Sum over the requests that were not rejected.")
    ttft_ms = models.FloatField(default=0, help_text="Sum over the requests that have one.")
    ttft_count = models.PositiveBigIntegerField(default=0)

    class Meta:
        abstract = True


class UsageHour(UsageSums):
    """One hour (UTC, by the request's start) of one backend, account, client key and model."""

    hour = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["hour", "backend", "account", "key", "model"], name="usage_hour_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}h {self.backend}/{self.account} {self.model}"


class UsageDay(UsageSums):
    """One day (UTC) of the same; kept for good."""

    day = models.DateField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["day", "backend", "account", "key", "model"], name="usage_day_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.backend}/{self.account} {self.model}"


class LatencyHour(models.Model):
    """How many requests of one hour took how long: counts by bucket, from which percentiles over long spans come."""

    DURATION, TTFT = "duration", "ttft"

    hour = models.DateTimeField()
    metric = models.CharField(max_length=8, choices=[(DURATION, "duration"), (TTFT, "time to first content")])
    bucket = models.SmallIntegerField(help_text="Buckets grow by a tenth each: see analytics/latency.py.")
    count = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["hour", "metric", "bucket"], name="latency_bucket_once")
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}h {self.metric} {self.bucket}"


class Facet(models.Model):
    """A value that records have in one of their columns: what a filter offers, without a DISTINCT over them all."""

    column = models.CharField(
        max_length=16, help_text="backend, account, key, model_asked, model_used, client"
    )
    value = models.CharField(max_length=200)
    last_seen = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["column", "value"], name="facet_once")]

    def __str__(self) -> str:
        return f"{self.column}: {self.value}"


class SessionRow(models.Model):
    """One session: sums over its requests, without the rejected ones. Its names are as they were last."""

    id = models.CharField(primary_key=True, max_length=80, help_text="The session's id.")
    source = models.CharField(max_length=16, blank=True)
    key = models.CharField("client key", max_length=64, blank=True)
    client = models.CharField("user agent", max_length=200, blank=True)
    model = models.CharField(max_length=200, blank=True, help_text="Used last.")
    backend = models.CharField(max_length=64, blank=True, help_text="Used last.")
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    requests = models.PositiveIntegerField(default=0)
    errors = models.PositiveIntegerField(default=0)
    priced = models.PositiveIntegerField(default=0)
    unpriced = models.PositiveIntegerField(default=0)
    fresh_input_tokens = models.BigIntegerField(default=0)
    cache_read_tokens = models.BigIntegerField(default=0)
    cache_write_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    cost = models.DecimalField(max_digits=24, decimal_places=8, default=0)

    class Meta:
        verbose_name = "session"
        ordering = ["-last_at", "id"]
        indexes = [models.Index(fields=["last_at", "cost", "id"], name="session_dearest")]

    def __str__(self) -> str:
        return self.id


class WindowSample(models.Model):
    """What one window of one account showed at one time; written when it changed, at most every few minutes."""

    at = models.DateTimeField(db_index=True)
    backend = models.CharField(max_length=64)
    account = models.CharField(max_length=64)
    window = models.CharField(max_length=64)
    model_class = models.CharField(max_length=64, blank=True)
    used = models.FloatField(help_text="0..1")
    resets_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["at"]
        indexes = [models.Index(fields=["account", "window", "at"], name="sample_by_window")]

    def __str__(self) -> str:
        return f"{self.account} {self.window} {self.used:.0%} at {self.at:%Y-%m-%d %H:%M}"
