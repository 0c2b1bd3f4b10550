"""Another protocol's thinking inside a reasoning item's `encrypted_content`, for clients that keep the history.

Such a client sends the item back as it got it, so a signed block comes through unchanged and can be given to the
endpoint that signed it. Rule: only what we sealed ourselves is opened; everything else stays foreign. Nothing here is
a secret or a proof: the endpoint checks its own signatures.
"""

from __future__ import annotations

import base64
import binascii

import msgspec

from backends.wire import scan
from backends.wire.conversation import Thinking
from backends.wire.splice import MAX_DEPTH

_TAG = "pb1."  # whose it is and the version of the form; "." is in no base64 alphabet


class _Sealed(msgspec.Struct, omit_defaults=True, gc=False):
    """`origin`, `signature`, `encrypted` as in Thinking; `text` None: what the item shows is the whole text."""

    origin: str = ""
    text: str | None = None
    signature: str | None = None
    encrypted: str | None = None


class _Items(msgspec.Struct, gc=False):
    input: list[msgspec.Raw]


class _Encrypted(msgspec.Struct, gc=False):
    encrypted_content: str | None = None


_DECODER = msgspec.json.Decoder(_Sealed)
_ITEMS = msgspec.json.Decoder(_Items)
_ENCRYPTED = msgspec.json.Decoder(_Encrypted)


def seal(thinking: Thinking) -> str | None:
    """What to send as `encrypted_content`; None where the shown text says all there is."""
    if thinking.origin == "responses":
        return thinking.encrypted
    is_proven = thinking.signature or thinking.encrypted
    if not is_proven and thinking.origin in ("", "anthropic"):  # unsigned thinking goes back to nobody
        return None
    # A signature covers the text, so the text must not depend on what a client makes of the summary.
    text = thinking.text if thinking.signature is not None else None
    content = _Sealed(thinking.origin, text, thinking.signature, thinking.encrypted)
    return _TAG + base64.urlsafe_b64encode(msgspec.json.encode(content)).decode()


def is_sealed(encrypted: str | None) -> bool:
    """Whether this looks like our own."""
    return encrypted is not None and encrypted.startswith(_TAG)


def unseal(encrypted: str | None, shown: str) -> Thinking | None:
    """The block that was sealed; None if it is not ours, or was changed on its way."""
    if encrypted is None or not is_sealed(encrypted):
        return None
    try:
        content = _DECODER.decode(base64.b64decode(encrypted[len(_TAG) :], b"-_", validate=True))
    except (ValueError, binascii.Error):
        return None
    text = shown if content.text is None else content.text
    return Thinking(text, content.origin, content.signature, content.encrypted)


def without_sealed(body: bytes) -> list[tuple[int, int, bytes]]:
    """Edits for `splice` that take our items out of a request for a backend that speaks Responses itself.

    Such a backend refuses encrypted content that is not its own. All other items keep their bytes. `body` is one
    that `peek` has let pass.
    """
    if b'"' + _TAG.encode() not in body:
        return []
    try:
        items = [bytes(raw) for raw in _ITEMS.decode(body).input]
        start = scan.top_level_values(body, b"input", MAX_DEPTH)[-1][0]
    except (msgspec.DecodeError, scan.TooDeep, scan.TooMany, IndexError):
        return []
    kept = [item for item in items if not _holds_seal(item)]
    if len(kept) == len(items):
        return []
    return [(start, _end_of_list(body, start, items), b"[" + b",".join(kept) + b"]")]


def _holds_seal(item: bytes) -> bool:
    if _TAG.encode() not in item:
        return False
    try:
        return is_sealed(_ENCRYPTED.decode(item).encrypted_content)
    except msgspec.DecodeError:
        return False


def _end_of_list(body: bytes, at: int, items: list[bytes]) -> int:
    """The place behind the list that starts at `at`: only spaces and commas stand between its items."""
    at += 1
    for item in items:
        at = body.index(item, at) + len(item)
    return body.index(b"]", at) + 1
