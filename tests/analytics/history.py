"""Rows for history tests."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

from django.utils import timezone

from analytics.models import RequestRecord

_numbers = itertools.count(1)


def add_record(*, age_s: float = 0, **fields: Any) -> RequestRecord:
    """Store a row that began `age_s` seconds ago; what is not given is that of a plain good request."""
    plain: dict[str, Any] = {
        "id": f"req_{next(_numbers):06d}",
        "started_at": timezone.now() - timedelta(seconds=age_s),
        "duration_ms": 12.345,
        "kind": "chat",
        "status": 200,
        "outcome": "ok",
        "protocol": "openai",
        "lane": "direct",
        "model_asked": "fast",
        "model_used": "llama3",
        "backend": "ollama",
        "account": "ollama",
        "attempts": 1,
    }
    return RequestRecord.objects.create(**(plain | fields))
