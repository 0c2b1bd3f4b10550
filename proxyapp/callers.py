"""What a request without a valid key is told, wherever it is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from accounts.client_auth import presents_credential
from accounts.key_throttle import key_throttle
from proxyapp.errors import ProxyError, unauthorized


def refused_caller(headers: Mapping[bytes, bytes], client: Sequence[object] | None) -> ProxyError:
    """401, or 429 for a peer (`client`: its address and port) that has sent too many wrong keys.

    Only wrong keys are counted: who sends none does not guess.
    """
    if not presents_credential(headers):
        return unauthorized()
    seconds = key_throttle.failed(str(client[0]) if client else "")
    if not seconds:
        return unauthorized()
    return ProxyError(
        429,
        "Too many wrong keys came from this address. Wait, and send a valid Patchbay key:"
        " `python manage.py keys add NAME` makes one.",
        code="too_many_wrong_keys",
        headers={"retry-after": str(seconds), "x-should-retry": "false"},
        is_rejection=True,
    )
