"""Log lines that never hold a secret: redaction after formatting, on the handler.

Two layers: the exact text of every secret now loaded (`register_secrets`), then the shapes of well-known
keys. Control characters are escaped, so that one event stays one line whatever a client sent.
"""

from __future__ import annotations

import logging

from accounts.redact import redact


class RedactingFormatter(logging.Formatter):
    """`time level logger: message`, redacted, tracebacks included."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        text = redact(super().format(record))
        if record.exc_info or record.stack_info:
            return text
        return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
