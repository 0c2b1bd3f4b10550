"""Who is calling: client keys, compared in constant time, for all header forms by one function."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
from django.conf import settings

from accounts.key_use import KeyLimits
from accounts.snapshot import ClientKeyConfig, Snapshot

KEY_PREFIX = "pb-"
CREDENTIAL_HEADERS = (b"x-patchbay-key", b"x-api-key", b"authorization")


class Caller(msgspec.Struct, frozen=True):
    """A caller that may pass: the client key's name, or "" for PATCHBAY_API_KEY and keyless loopback."""

    key: str = ""
    model_globs: tuple[str, ...] = ()
    limits: KeyLimits | None = None
    keeps_bodies: bool = False


ANYBODY = Caller()


def new_client_key() -> str:
    """A fresh key: 256 random bits behind a prefix that tells people and scanners what it is."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def digest_of(key: str, *, pepper: bytes | None = None) -> str:
    """The keyed hash that is stored and looked up (HMAC-SHA-256, hex)."""
    return hmac.new(pepper or settings.PATCHBAY_KEY_PEPPERS[0], key.encode(), hashlib.sha256).hexdigest()


def keys_required(snapshot: Snapshot) -> bool:
    """Whether every proxied request must name a valid key."""
    return settings.PATCHBAY_API_KEY is not None or snapshot.has_client_keys


def authenticate(headers: Mapping[bytes, bytes], snapshot: Snapshot, *, is_loopback: bool) -> Caller | None:
    """The caller, or None if this request may not pass.

    The first valid credential of `x-patchbay-key`, `x-api-key`, `Authorization: Bearer` names the caller.
    Without any key configured only this machine may pass, and only without a forwarding header.
    """
    if not keys_required(snapshot):
        return ANYBODY if is_loopback else None
    for name in CREDENTIAL_HEADERS:
        if (credential := _credential(name, headers.get(name))) and (caller := _match(credential, snapshot)):
            return caller
    return None


def presents_credential(headers: Mapping[bytes, bytes]) -> bool:
    """Whether the request carries anything that is meant as a key."""
    return any(headers.get(name) for name in CREDENTIAL_HEADERS)


def _credential(name: bytes, value: bytes | None) -> str | None:
    """The key text in one header; None when it holds none that could be ours."""
    if not value or len(value) > 4096 or not value.isascii():
        return None
    if name != b"authorization":
        return value.decode()
    scheme, _, token = value.partition(b" ")
    return token.decode() if scheme.lower() == b"bearer" else None


def _match(credential: str, snapshot: Snapshot) -> Caller | None:
    fixed = settings.PATCHBAY_API_KEY
    if fixed is not None and hmac.compare_digest(credential.encode(), fixed.encode()):
        return ANYBODY
    for pepper in settings.PATCHBAY_KEY_PEPPERS:
        config = snapshot.client_keys.get(digest_of(credential, pepper=pepper))
        if config is not None and _is_current(config):
            return Caller(config.name, config.model_globs, config.limits, config.keeps_bodies)
    return None


def _is_current(config: ClientKeyConfig) -> bool:
    return config.expires_at is None or datetime.now(UTC) < config.expires_at
