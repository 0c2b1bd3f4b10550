"""Secrets: the type that never prints itself, and the sealing of stored ones.

Rule: a sealed secret opens only for the account and the host it was sealed for. Whoever can write the
database can move a row, but cannot make a key travel to another host. Opening fails loudly: ciphertext
is never returned, and no new key is ever made over data that an old key sealed.
"""

from __future__ import annotations

import hmac
import json
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class VaultError(Exception):
    """A stored secret cannot be used. The text says what to do; it never holds the secret."""


class Secret:
    """A credential in memory. Prints, pickles and serialises as `***`; `reveal()` is the one way out."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself. Called where the header for the upstream is built, and nowhere else."""
        return self._text

    @property
    def hint(self) -> str:
        """The last four characters, for people to tell keys apart; nothing of a short secret."""
        return f"…{self._text[-4:]}" if len(self._text) >= 12 else "…"

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("A Secret is not pickled; pass the account instead.")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(("Secret", self._text))


def seal(text: str, *, owner: str, host: str) -> str:
    """Encrypt `text` for one owner (an account's uid) and one host (of its backend)."""
    envelope = json.dumps({"secret": text, "owner": owner, "host": host})
    return _cipher().encrypt(envelope.encode()).decode()


def unseal(sealed: str, *, owner: str, host: str) -> Secret:
    """Open what `seal` made for the same owner and host, else raise VaultError."""
    try:
        envelope = json.loads(_cipher().decrypt(sealed.encode()))
    except InvalidToken as exc:
        raise VaultError(
            "The master secret does not open this stored key. Restore secrets/secret_key (or"
            " PATCHBAY_SECRET_KEY) from the backup that belongs to this database, or set the key again."
        ) from exc
    if envelope["owner"] != owner:
        raise VaultError("This stored key belongs to another account. Set the account's key again.")
    if envelope["host"] != host:
        raise VaultError(
            f"The key was stored for {envelope['host']}, but the backend now points to {host}."
            " If that is right, set the account's key again."
        )
    return Secret(envelope["secret"])


def can_decrypt(sealed: str) -> bool:
    """Whether the master secrets in force decrypt `sealed`, whoever it was sealed for."""
    try:
        _cipher().decrypt(sealed.encode())
    except InvalidToken:
        return False
    return True


@lru_cache(maxsize=1)
def _cipher_for(keys: tuple[bytes, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def _cipher() -> MultiFernet:
    return _cipher_for(tuple(settings.PATCHBAY_DATA_KEYS))
