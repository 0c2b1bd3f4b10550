"""An HTTP/1.1 client for one job: post a body, read an answer that may stream for minutes.

Rule: knows neither Django nor the HTTP client library. Every wait has a deadline; nothing here starts a task.
"""

from __future__ import annotations
