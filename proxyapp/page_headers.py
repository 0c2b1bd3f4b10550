"""Headers that every page carries, whoever renders it: only our own files, no framing, no caching."""

from __future__ import annotations

from django.http.response import HttpResponseBase

CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "font-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)


def add_page_headers(response: HttpResponseBase) -> HttpResponseBase:
    """Set them on `response` and return it. A stricter word that is already there stays."""
    response.headers.setdefault("Content-Security-Policy", CONTENT_POLICY)
    response.headers["Cache-Control"] = "no-store"
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    return response
