"""What the master secrets open: their data keys, their fingerprints, and the file that holds them.

The fingerprint of a secret tells two apart and gives neither away.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from backends.private_files import sync_directory, whole_file
from router_site.home import SECRET_FILE
from router_site.settings import derive


def secret_path() -> Path:
    """Where this home keeps its master secrets."""
    home: Path = settings.PATCHBAY_HOME
    return home / "secrets" / SECRET_FILE


def are_given() -> bool:
    """Whether the environment names the master secrets, so that the file means nothing."""
    return any(name in os.environ for name in ("PATCHBAY_SECRET_KEY", "PATCHBAY_SECRET_KEY_FILE"))


def fingerprint(secret: str) -> str:
    """Sixteen hexadecimal digits."""
    return derive(secret, "fingerprint").hex()[:16]


def cipher_of(masters: Sequence[str]) -> MultiFernet:
    """Opens what any of these secrets sealed, and seals with the first."""
    return MultiFernet([Fernet(base64.urlsafe_b64encode(derive(secret, "data"))) for secret in masters])


def opens(cipher: MultiFernet, sealed: str) -> bool:
    """Whether it decrypts a sealed value, whoever that was sealed for."""
    try:
        cipher.decrypt(sealed.encode())
    except InvalidToken:
        return False
    return True


def write_secrets(path: Path, masters: Iterable[str]) -> None:
    """Replace the file by these secrets, newest first: whole, private and durable. Raises OSError."""
    with whole_file(path) as file:
        file.writelines(f"{secret}\n".encode() for secret in masters)
    sync_directory(path.parent)
