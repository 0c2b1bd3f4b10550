"""Token files: a credential that another program keeps on this machine. Read, followed, never written or refreshed.

Rule: a file is looked at once a second at most, read again when its (time, size, inode) changed, and while it is
broken the last good token stays in use for a few seconds: the other program may be in the middle of writing it.
"""

from __future__ import annotations

import math
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from accounts.redact import register_secrets
from accounts.vault import Secret

LOOK_SECONDS = 1.0
KEEP_SECONDS = 5.0
MAX_BYTES = 2**20
MAX_TOKEN_CHARS = 16_384
USUAL_PATHS = ("access_token", "accessToken", "claudeAiOauth.accessToken")
EXPIRY_NAMES = ("expires_at", "expiresAt", "expiry")
MILLISECONDS_FROM = 1e12  # a time this large is milliseconds, any smaller one seconds
_INDEX = re.compile(r"[0-9]{1,6}")
_PASTED = "\u200b\u200c\u200d\ufeff"
_Signature = tuple[int, int, int]


class TokenFileError(Exception):
    """No token can be had from the file. The text says what to do and holds nothing of what the file holds."""


@dataclass(frozen=True, slots=True)
class FileToken:
    """A token as it stands in its file. `expires_at` is seconds since the epoch, None when the file does not say.

    `warning` says what is wrong with the file although its token can be used; "" when nothing is.
    """

    secret: Secret
    expires_at: float | None
    warning: str = ""
    written_at: float = 0.0  # seconds since the epoch, by the file's own time


@dataclass(slots=True)
class _Followed:
    """What is known of one file."""

    looked_at: float = -math.inf
    signature: _Signature | None = None
    good: FileToken | None = None
    problem: str = ""
    broken_at: float = -math.inf  # the first look that met the problem


@dataclass
class TokenFiles:
    """The files that are followed. `clock` counts seconds and is never set back."""

    clock: Callable[[], float] = time.monotonic
    _followed: dict[tuple[str, str], _Followed] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def followed(self, path: str, token_path: str = "") -> FileToken:
        """The token in the file now. Raises TokenFileError."""
        with self._lock:
            known = self._followed.setdefault((path, token_path), _Followed())
            now = self.clock()
            if now - known.looked_at >= LOOK_SECONDS:
                known.looked_at = now
                _look(known, os.path.expanduser(path), token_path, now)
            if known.good is not None and (not known.problem or now - known.broken_at < KEEP_SECONDS):
                return known.good
            raise TokenFileError(known.problem)

    def has_changed(self, path: str, token_path: str = "") -> bool:
        """Look again at once: whether the file holds another token than the one given out last."""
        with self._lock:
            known = self._followed.setdefault((path, token_path), _Followed())
            before, known.looked_at = known.good, -math.inf
        try:
            return before is None or self.followed(path, token_path).secret != before.secret
        except TokenFileError:
            return False


def _look(known: _Followed, path: str, token_path: str, now: float) -> None:
    """Read the file if it is new, changed or broken."""
    try:
        if known.problem or known.signature != _signature_of(path):
            good, known.signature = _read(path, token_path)
            # The token before this one may still be on its way, in a request that began with it.
            tokens = [token.secret.reveal() for token in (good, known.good) if token is not None]
            register_secrets(tokens, source=f"{path} {token_path}")
            known.good = good
        known.problem = ""
    except TokenFileError as exc:
        known.broken_at = known.broken_at if known.problem else now
        known.problem = str(exc)


def read_token_file(path: str, token_path: str = "") -> FileToken:
    """The token in the file, read now whatever is known of it. Raises TokenFileError."""
    return _read(os.path.expanduser(path), token_path)[0]


# --- the file -------------------------------------------------------------------------------------------------


def _signature_of(path: str) -> _Signature:
    try:
        return _signature(os.stat(path))
    except (OSError, ValueError) as exc:
        raise _unreadable(path, exc) from None


def _signature(found: os.stat_result) -> _Signature:
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _read(path: str, token_path: str) -> tuple[FileToken, _Signature]:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not hold us up
        with os.fdopen(handle, "rb") as file:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise TokenFileError(f"{path} is no regular file. Name the file that holds the token.")
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as exc:
        raise _unreadable(path, exc) from None
    if len(content) > MAX_BYTES:
        raise TokenFileError(f"{path} is larger than 1 MiB, so it is no token file. Name another file.")
    secret, expires_at = parse_token(content, token_path, path)
    return FileToken(secret, expires_at, _exposure(path, found.st_mode), found.st_mtime), _signature(found)


def _unreadable(path: str, exc: OSError | ValueError) -> TokenFileError:
    why = exc.strerror if isinstance(exc, OSError) else "that is no path"
    if isinstance(exc, FileNotFoundError | NotADirectoryError):
        return TokenFileError(
            f"There is no token file {path}. Log in with the program that writes it, or name another file with"
            " --token-file."
        )
    return TokenFileError(
        f"{path} cannot be read: {why}. Let the user that runs Patchbay read it, or name another file."
    )


def _exposure(path: str, mode: int) -> str:
    if not mode & 0o004:
        return ""
    return f"{path} can be read by every user of this machine. Run: chmod 600 {path}"


# --- what stands in it ----------------------------------------------------------------------------------------


def parse_token(content: bytes, token_path: str, path: str) -> tuple[Secret, float | None]:
    """The token in `content` and its end (seconds since the epoch, None if unsaid). Raises TokenFileError.

    A content that begins with `{`, `[` or a quote is JSON, any other the token itself. `path` is for the texts.
    """
    try:
        text = content.decode().strip().strip(_PASTED).strip()
    except UnicodeDecodeError:
        raise TokenFileError(f"{path} is no text. Name the file that holds the token.") from None
    if not text:
        raise TokenFileError(f"{path} is empty. Log in with the program that writes it.")
    if text[0] in '{["':
        return _parse_json(text, token_path, path)
    if token_path:
        raise TokenFileError(f"{path} is no JSON, so there is no {token_path} in it. Leave out --token-path.")
    return _checked(text, path), None


def _parse_json(text: str, token_path: str, path: str) -> tuple[Secret, float | None]:
    try:
        document = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise TokenFileError(
            f"{path} is no whole JSON. Log in again with the program that writes it, or name another file."
        ) from None
    if isinstance(document, str) and not token_path:
        return _checked(document, path), None
    for tried in [token_path] if token_path else USUAL_PATHS:
        *parents, name = tried.split(".")
        holder = _walk(document, parents)
        token = _walk(holder, [name])
        if isinstance(token, str) and token.strip():
            return _checked(token.strip(), path), _expiry_beside(holder)
    places = token_path or ", ".join(USUAL_PATHS)
    raise TokenFileError(
        f"There is no token in {path} at {places}. Say where it stands with --token-path a.b.c."
    )


def _walk(document: Any, names: list[str]) -> Any:
    """What stands below `names` in decoded JSON; None if there is no such place. A number is a place in a list."""
    for name in names:
        if isinstance(document, dict):
            document = document.get(name)
        elif isinstance(document, list) and _INDEX.fullmatch(name) and int(name) < len(document):
            document = document[int(name)]
        else:
            return None
    return document


def _checked(token: str, path: str) -> Secret:
    """The token, if a header can carry it."""
    if not token.isascii() or not token.isprintable() or " " in token:
        raise TokenFileError(
            f"What stands in {path} is no token: it holds spaces, lines or characters that no token has. Name a"
            " file with the token alone, or a JSON file."
        )
    if len(token) > MAX_TOKEN_CHARS:
        raise TokenFileError(f"What stands in {path} is too long for a token. Name another file.")
    return Secret(token)


def _expiry_beside(holder: Any) -> float | None:
    values = (holder.get(name) for name in EXPIRY_NAMES) if isinstance(holder, dict) else iter(())
    return next(_readable_times(values), None)


def _readable_times(values: Iterator[Any]) -> Iterator[float]:
    """Seconds since the epoch from seconds, milliseconds or ISO 8601; what is none of these is left out."""
    for value in values:
        number = _number(value)
        if number is not None:
            yield number / 1000 if number >= MILLISECONDS_FROM else number


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        return _from_text(value.strip())
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 < value < 1e15 else None


def _from_text(text: str) -> float | None:
    try:
        return _number(float(text))
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


token_files = TokenFiles()


def followed(path: str, token_path: str = "") -> FileToken:
    """The token in a file of another program, as it is now. Raises TokenFileError."""
    return token_files.followed(path, token_path)
