"""What happened: one final record per client request, one row per attempt.

Rule: names are text and there are no foreign keys, in a database of its own. Deleting a backend never
deletes history, and a full or slow history never touches the configuration.
"""

from __future__ import annotations

from django.db import models

from analytics.body_models import Body, BodyPiece
from analytics.decision import DecisionNote
from analytics.ledger_models import Facet, LatencyHour, SessionRow, UsageDay, UsageHour, WindowSample

__all__ = [
    "Attempt",
    "Body",
    "BodyPiece",
    "Facet",
    "LatencyHour",
    "RequestRecord",
    "SessionRow",
    "UsageDay",
    "UsageHour",
    "WindowSample",
]


class RequestRecord(models.Model):
    """The history row of one client request. Times are milliseconds; absent means it never came to that."""

    id = models.CharField(primary_key=True, max_length=40, help_text="The x-patchbay-request-id.")
    started_at = models.DateTimeField(db_index=True)
    duration_ms = models.FloatField()
    kind = models.CharField(
        max_length=16, help_text="messages, chat, responses, embeddings, …; empty: never known"
    )
    status = models.PositiveSmallIntegerField(
        null=True, help_text="HTTP status sent to the client, if one was."
    )
    outcome = models.CharField(max_length=16)
    protocol = models.CharField(max_length=16)
    lane = models.CharField(max_length=16, blank=True)
    stream = models.BooleanField(default=False)
    model_asked = models.CharField(max_length=200, blank=True)
    model_used = models.CharField(max_length=200, blank=True)
    backend = models.CharField(max_length=64, blank=True)
    account = models.CharField(max_length=64, blank=True)
    provider = models.CharField(
        max_length=32,
        null=True,
        blank=True,
        help_text="The backend's preset then: whose price list applies.",
    )
    key = models.CharField("client key", max_length=64, blank=True)
    session = models.CharField(max_length=80, blank=True)
    session_source = models.CharField(
        max_length=16, null=True, blank=True, help_text="What named the session: header, metadata, …"
    )
    agent = models.CharField(
        max_length=80,
        null=True,
        blank=True,
        help_text="The agent within the session, if the client names one.",
    )
    parent_agent = models.CharField(
        max_length=80,
        null=True,
        blank=True,
        help_text="The agent that started it; empty: the session itself.",
    )
    attempts = models.PositiveSmallIntegerField(default=0)
    fresh_input_tokens = models.BigIntegerField(null=True)
    cache_read_tokens = models.BigIntegerField(null=True)
    cache_write_5m_tokens = models.BigIntegerField(null=True)
    cache_write_1h_tokens = models.BigIntegerField(null=True)
    output_tokens = models.BigIntegerField(null=True, help_text="Includes the reasoning tokens.")
    reasoning_tokens = models.BigIntegerField(null=True)
    usage_source = models.CharField(max_length=10, default="none")
    raw_usage = models.TextField(blank=True, help_text="The usage object as the provider sent it.")
    request_bytes = models.BigIntegerField(null=True, help_text="The body as the client sent it.")
    response_bytes = models.BigIntegerField(null=True, help_text="The body as the client got it.")
    lease_ms = models.FloatField(null=True, help_text="Choosing an account, without the wait for one.")
    connect_ms = models.FloatField(null=True)
    ttfb_ms = models.FloatField(null=True, help_text="Until the first byte from upstream.")
    ttft_ms = models.FloatField(null=True, help_text="Until the first content.")
    overhead_ms = models.FloatField(null=True, help_text="Patchbay's own share of the time to first byte.")
    queued_ms = models.FloatField(null=True, help_text="Waiting for an account.")
    decision = models.TextField(
        null=True,
        blank=True,
        help_text="Rule, choices and candidates as JSON; null: written before it was kept.",
    )
    cost = models.DecimalField(
        null=True, max_digits=16, decimal_places=8, help_text="US dollars at list prices; null: unpriced."
    )
    cost_source = models.CharField(
        max_length=10,
        null=True,
        blank=True,
        help_text="priced, estimated, unpriced; empty: nothing was served.",
    )
    alarm = models.CharField(
        max_length=32, null=True, blank=True, help_text="Something that should not be: zero_usage."
    )
    mutations = models.TextField(blank=True)
    lost = models.TextField(
        blank=True, help_text="What a translated request could not carry, as field paths."
    )
    error = models.TextField(blank=True)
    method = models.CharField(max_length=8, blank=True)
    path = models.CharField(max_length=200, blank=True)
    client = models.CharField("user agent", max_length=200, blank=True)

    class Meta:
        verbose_name = "request"
        ordering = ["-started_at", "-id"]
        indexes = [
            models.Index(fields=["-started_at", "-id"], name="record_newest_first"),
            models.Index(fields=["session", "-started_at"], name="record_by_session"),
            models.Index(fields=["backend", "-started_at"], name="record_by_backend"),
            models.Index(fields=["account", "-started_at"], name="record_by_account"),
            models.Index(fields=["key", "-started_at"], name="record_by_key"),
            models.Index(fields=["model_asked", "-started_at"], name="record_by_asked"),
            models.Index(fields=["model_used", "-started_at"], name="record_by_model"),
            models.Index(fields=["outcome", "-started_at"], name="record_by_outcome"),
            models.Index(
                fields=["alarm", "-started_at"],
                name="record_by_alarm",
                condition=models.Q(alarm__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.id

    @property
    def decision_note(self) -> DecisionNote | None:
        """Why it went where it went; None when nothing was decided, or it was not kept."""
        try:
            return DecisionNote.from_json(self.decision) if self.decision else None
        except ValueError:  # a row that another version wrote, or a hand
            return None

    @property
    def input_tokens(self) -> int | None:
        """All input, cache reads and writes included; None when the provider reported none."""
        parts = (
            self.fresh_input_tokens,
            self.cache_read_tokens,
            self.cache_write_5m_tokens,
            self.cache_write_1h_tokens,
        )
        return None if self.fresh_input_tokens is None else sum(part or 0 for part in parts)

    @property
    def cache_write_tokens(self) -> int | None:
        """Cache writes of both lifetimes."""
        if self.cache_write_5m_tokens is None:
            return None
        return self.cache_write_5m_tokens + (self.cache_write_1h_tokens or 0)


class Attempt(models.Model):
    """One try at one upstream."""

    request_id = models.CharField(max_length=40, db_index=True)
    number = models.PositiveSmallIntegerField()
    started_at = models.DateTimeField()
    duration_ms = models.FloatField()
    backend = models.CharField(max_length=64)
    account = models.CharField(max_length=64)
    model = models.CharField(max_length=200)
    status = models.PositiveSmallIntegerField(null=True)
    outcome = models.CharField(max_length=32, help_text="ok, or the code of what went wrong.")
    verdict = models.CharField(max_length=16, help_text="What came next: go_on, next_account, next_target, …")
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["request_id", "number"]
        constraints = [models.UniqueConstraint(fields=["request_id", "number"], name="attempt_once")]

    def __str__(self) -> str:
        return f"{self.request_id} #{self.number}"
