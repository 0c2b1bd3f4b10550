"""What the machine around Patchbay holds: files of other tools, and an environment with keys.

Rule: reads only, and never further than asked: one file, or the known files of one folder.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from django.conf import settings

from accounts.client_auth import KEY_PREFIX
from backends.addresses import BadBaseUrl
from backends.models import Backend
from backends.move_in.plan import MoveInError
from backends.move_in.providers import PROVIDERS, Provider
from backends.move_in.recognise import FOLDER_FILES, FOLDER_FOLDERS, Source
from backends.services import ServiceError, refuse_own_address

MAX_FILE_BYTES = 16 * 2**20  # an export of many routes; what others write may hold 1 MiB
MAX_ENTRIES = 1000


def read_source(path: str) -> Source:
    """A file, or the files of a folder that an import looks at. Raises MoveInError."""
    place = Path(path).expanduser()
    try:
        if not place.is_dir():
            return Source(is_folder=False, texts={place.name: _read(place)})
        names = _entries(place)
        files = [name for name in FOLDER_FILES if name in names]
        for folder in FOLDER_FOLDERS:
            if folder in names and (place / folder).is_dir():
                files += [
                    f"{folder}/{name}" for name in sorted(_entries(place / folder)) if _is_plain_json(name)
                ]
        return Source(is_folder=True, texts={name: _read(place / name) for name in files}, names=names)
    except OSError as exc:
        raise MoveInError(f"{path} cannot be read ({exc.strerror}). Check the path and its rights.") from exc


def _entries(folder: Path) -> frozenset[str]:
    names = frozenset(os.listdir(folder))
    if len(names) > MAX_ENTRIES:
        raise MoveInError(f"{folder} has more than {MAX_ENTRIES} entries. Name the file that is meant.")
    return names


def _is_plain_json(name: str) -> bool:
    return name.endswith(".json") and not name.startswith(".")


def _read(path: Path) -> str:
    """The text of a regular file. A pipe or a device would never end, and is not opened for reading."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise MoveInError(f"{path} is no regular file. Name a file or a folder.")
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise MoveInError(f"{path} is larger than 16 MiB. It is no configuration.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise MoveInError(f"{path} is no UTF-8 text. Save it as plain text.") from None


def provider_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without what leads back to Patchbay: its own address, and the keys that tools send to it."""
    left_out = {name for name, value in environ.items() if _is_own_key(value.strip())}
    for provider in PROVIDERS:
        if any(_is_own_address(environ.get(name, "").strip()) for name in provider.bases):
            left_out |= set(_names(provider))
    return {name: value for name, value in environ.items() if name not in left_out}


def _names(provider: Provider) -> Iterator[str]:
    yield from provider.keys
    yield from provider.bases


def _is_own_key(value: str) -> bool:
    """A client key of ours, or what `connect` writes where a tool wants some key."""
    return (
        value == "patchbay"
        or value.startswith(KEY_PREFIX)
        or (bool(value) and value == settings.PATCHBAY_API_KEY)
    )


def _is_own_address(url: str) -> bool:
    try:
        refuse_own_address(Backend(base_url=url))
    except ServiceError:
        return True
    except BadBaseUrl:
        return False
    return False
