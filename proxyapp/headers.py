"""Which headers pass, in both directions: open lists by prefix for the protocols' own, nothing else.

Rule: the client's credential, cookies, hop-by-hop headers and whatever `Connection` nominates never go
upstream; upstream's cookies, framing, redirects and organisation ids never come down.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Headers = list[tuple[bytes, bytes]]

_UP_NAMES = frozenset(
    (
        b"accept",
        b"user-agent",
        b"content-type",
        b"idempotency-key",
        b"originator",
        b"session-id",
        b"thread-id",
        b"conversation-id",
        b"x-app",
        b"x-title",
        b"http-referer",
        b"x-client-request-id",
    )
)
_UP_PREFIXES = (b"anthropic-", b"openai-", b"x-stainless-", b"x-claude-code-", b"x-codex-", b"x-openai-")
_DOWN_NAMES = frozenset(
    (
        b"content-type",
        b"retry-after",
        b"retry-after-ms",
        b"x-should-retry",
        b"request-id",
        b"x-request-id",
        b"x-generation-id",
    )
)
_DOWN_PREFIXES = (b"anthropic-", b"openai-", b"x-ratelimit-", b"x-codex-", b"x-groq-")
# What no browser renders. An upstream's page, of a captive portal or a gateway in front of it, comes down as text.
_PLAIN_TYPES = frozenset(("application/json", "text/event-stream", "text/plain", "application/problem+json"))
_NEVER_DOWN = frozenset(
    (b"anthropic-organization-id", b"anthropic-workspace-id", b"openai-organization", b"openai-project")
)


def upstream_headers(client: Mapping[bytes, bytes]) -> Headers:
    """What of the client's headers goes upstream. Names are lower case."""
    passing = [
        (name, value) for name, value in client.items() if name in _UP_NAMES or name.startswith(_UP_PREFIXES)
    ]
    if b"connection" in client:
        nominated = {name.strip().lower() for name in client[b"connection"].split(b",")}
        passing = [(name, value) for name, value in passing if name not in nominated]
    if b"user-agent" not in client:
        passing.append((b"user-agent", b"patchbay"))
    return passing


def translated_headers(client: Mapping[bytes, bytes]) -> Headers:
    """What goes to a backend of another protocol: who asks, and nothing that only the client's protocol knows."""
    return [(b"content-type", b"application/json"), (b"user-agent", client.get(b"user-agent", b"patchbay"))]


def client_headers(upstream: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """What of upstream's headers reaches the client: content type, retry advice, rate limits, request ids."""
    told = {
        name.decode(): value.decode("latin-1")
        for name, value in upstream
        if (name in _DOWN_NAMES or name.startswith(_DOWN_PREFIXES)) and name not in _NEVER_DOWN
    }
    kind = told.get("content-type")
    if kind is not None and kind.partition(";")[0].strip().lower() not in _PLAIN_TYPES:
        told["content-type"] = "text/plain; charset=utf-8"
    return told
