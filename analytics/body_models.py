"""Bodies, where the operator asked for them: cut into messages, each piece stored once however often it is sent."""

from __future__ import annotations

from django.db import models


class BodyPiece(models.Model):
    """A piece of a body: a message of a conversation, a system prompt, the tools. Compressed."""

    digest = models.CharField(
        primary_key=True, max_length=64, help_text="BLAKE2b of the piece, in hexadecimal."
    )
    data = models.BinaryField(help_text="Compressed with zlib.")
    size = models.PositiveIntegerField(help_text="Bytes before compression.")
    stored = models.PositiveIntegerField(help_text="Bytes after it.")
    last_used_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.digest[:12]


class Body(models.Model):
    """One body of one request: the order of its pieces."""

    REQUEST, RESPONSE = "request", "response"

    request_id = models.CharField(max_length=40)
    side = models.CharField(max_length=8, choices=[(REQUEST, "request"), (RESPONSE, "response")])
    content_type = models.CharField(max_length=100, blank=True)
    size = models.PositiveBigIntegerField(help_text="Bytes.")
    is_cut = models.BooleanField(default=False, help_text="Only its beginning was kept.")
    pieces = models.TextField(help_text="Digests, in order, one a line.")
    at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name_plural = "bodies"
        constraints = [models.UniqueConstraint(fields=["request_id", "side"], name="body_once")]

    def __str__(self) -> str:
        return f"{self.request_id} {self.side}"
