"""What a machine already holds: a provider's key in the environment, the token file of an installed program.

Only looks; whoever calls asks a person before anything is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from accounts.client_auth import KEY_PREFIX
from accounts.login_services import Credential, TokenFile, check_secret
from accounts.token_files import TokenFileError, read_token_file
from backends.addresses import BadBaseUrl, check_base_url
from backends.models import Backend
from backends.presets import PRESETS
from backends.services import ServiceError

SHORTEST_KEY = 20


@dataclass(frozen=True, slots=True)
class Found:
    """One find, in words for a question."""

    what: str
    credential: Credential


def found_credentials(backend: Backend, environ: Mapping[str, str], home: Path) -> Iterator[Found]:
    """What this machine holds for a known provider, the key first."""
    if backend.preset not in PRESETS:
        return
    name = backend.preset.upper()
    with suppress(ServiceError):  # absent, an example, or not a key at all
        key = check_secret(environ.get(f"{name}_API_KEY", ""))
        if _is_providers(key.reveal()) and _is_same_host(environ.get(f"{name}_BASE_URL", ""), backend):
            yield Found(f"the key {key.hint} in {name}_API_KEY", key.reveal())
    if backend.preset == "anthropic":
        yield from _claude_code(environ, home)


def _is_providers(key: str) -> bool:
    """Not one of Patchbay's own, nor the word that its banner puts where a tool insists on a key."""
    return len(key) >= SHORTEST_KEY and not key.startswith(KEY_PREFIX) and key != settings.PATCHBAY_API_KEY


def _is_same_host(base_url: str, backend: Backend) -> bool:
    """Whether tools that use the key talk to this backend: beside another address it is a key for that one."""
    if not base_url:
        return True
    with suppress(BadBaseUrl):
        return check_base_url(base_url).authority == check_base_url(backend.base_url).authority
    return False


def _claude_code(environ: Mapping[str, str], home: Path) -> Iterator[Found]:
    """Claude Code keeps its login in `.credentials.json` of its directory, which CLAUDE_CONFIG_DIR moves."""
    directory = Path(environ.get("CLAUDE_CONFIG_DIR") or home / ".claude").expanduser()
    path = str((directory / ".credentials.json").absolute())
    try:
        read_token_file(path)
    except TokenFileError:
        return
    yield Found(f"the login of Claude Code in {path}", TokenFile(path))
