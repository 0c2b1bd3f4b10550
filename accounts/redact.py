"""Taking secrets out of text that leaves the process: logs, error bodies, history.

Rule: exact values first (every secret of the snapshot in force), then the shapes of known keys.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from urllib.parse import quote

MASK = "[redacted]"
_SHAPES = re.compile(
    r"sk-(?:ant-|proj-|or-|sim-|pb-)?[A-Za-z0-9_\-]{16,}|pb-[A-Za-z0-9_\-]{20,}|AIza[A-Za-z0-9_\-]{30,}"
    r"|gsk_[A-Za-z0-9]{20,}|ya29\.[A-Za-z0-9_\-]{10,}|gh[pousr]_[A-Za-z0-9]{20,}"
    r"|eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}"
    r"|(?i:(?<=bearer )[A-Za-z0-9._~+/\-]{8,}=*)|(?i:(?<=[?&]key=)[^&\s\"']{6,})"
)
_told: dict[str, set[str]] = {}  # by who told
_known: tuple[str, ...] = ()


def register_secrets(texts: Iterable[str], *, source: str = "snapshot") -> None:
    """Replace the exact values to take out that one source tells of: a snapshot swapped in, a token file read."""
    global _known
    _told[source] = {spelling for text in texts if len(text) >= 6 for spelling in _spellings(text)}
    _known = tuple(sorted(set().union(*_told.values()), key=len, reverse=True))


def redact(text: str) -> str:
    """`text` without any known secret and without anything shaped like a key."""
    return _SHAPES.sub(MASK, redact_exact(text)) if text else text


def redact_exact(text: str) -> str:
    """`text` without any secret of ours: plain, URL-encoded and base64. Other keys stay."""
    for secret in _known:
        if secret in text:
            text = text.replace(secret, MASK)
    return text


def redact_body(body: bytes) -> bytes:
    """An upstream's error body without our own secrets; the same object when it holds none."""
    found = [secret.encode() for secret in _known if secret.encode() in body]
    for secret in found:
        body = body.replace(secret, MASK.encode())
    return body


def _spellings(text: str) -> set[str]:
    raw = text.encode()
    encoded = base64.b64encode(raw).decode().rstrip("=")
    return {text, quote(text, safe=""), encoded, base64.urlsafe_b64encode(raw).decode().rstrip("=")}
