"""The header that carries an account's credential to its own backend: the one place a Secret is opened."""

from __future__ import annotations

from accounts.snapshot import AccountConfig
from backends.wire.kinds import Protocol


def credential_headers(account: AccountConfig, protocol: Protocol) -> list[tuple[bytes, bytes]]:
    """An Anthropic key goes in `x-api-key`, every other in `Authorization: Bearer`; kind `none` sends none."""
    if account.secret is None:
        return []
    text = account.secret.reveal().encode()
    if protocol is Protocol.ANTHROPIC:
        return [(b"x-api-key", text)]
    return [(b"authorization", b"Bearer " + text)]
