"""A new master secret in the place of an old one, in two steps that may each be cut short and begun again.

`rotate`: a new secret comes first in the file, then every stored value is sealed with it, in one transaction. The old
one still opens what it sealed, so at no moment is anything lost. `finish` forgets the old ones, when nothing needs
them but client keys that are known by their hash: which those are, nobody can tell from a hash.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.fernet import InvalidToken, MultiFernet
from django.conf import settings
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone

from accounts.models import Account, ClientKey, OAuthToken
from accounts.refresh_spool import failpoint
from backends.services import ServiceError
from router_site.home import HomeError
from router_site.home_lock import home_alone
from router_site.master_secrets import are_given, cipher_of, fingerprint, opens, secret_path, write_secrets

# Every column that holds sealed values: model, how its account is named, columns.
_COLUMNS: tuple[tuple[type[models.Model], str, tuple[str, ...]], ...] = (
    (Account, "alias", ("sealed_secret",)),
    (OAuthToken, "account__alias", ("sealed_access", "sealed_refresh")),
)
ONE_GIVEN = (
    "PATCHBAY_SECRET_KEY holds one secret. Put a new one before it, with a comma between (a new one:"
    " python -c 'import secrets; print(secrets.token_urlsafe(48))'), for every server, and run this again."
)


@dataclass(frozen=True, slots=True)
class SecretState:
    """`fingerprints`: of the master secrets, newest first. Values sealed by the newest, by older ones, by none.

    `old_keys`: client keys in force that may be known by an older secret only.
    """

    fingerprints: tuple[str, ...]
    newest: int
    older: int
    closed: int
    old_keys: tuple[str, ...]


def secret_state() -> SecretState:
    """How far a rotation is."""
    masters: list[str] = settings.MASTER_SECRETS
    newest, every = cipher_of(masters[:1]), cipher_of(masters)
    sealed = [*_sealed_values(), *_spooled_values()]
    by_newest = sum(opens(newest, value) for value in sealed)
    openable = sum(opens(every, value) for value in sealed)
    return SecretState(
        tuple(map(fingerprint, masters)),
        by_newest,
        openable - by_newest,
        len(sealed) - openable,
        _old_keys(masters),
    )


def rotate(*, online: bool = False) -> tuple[bool, int]:
    """(whether a new secret was made, how many values were sealed anew). Begun again after a crash, it goes on.

    `online`: make none, and seal with the newest while servers run that all know it. Raises ServiceError.
    """
    try:
        with _lock(online):
            masters, is_new = (settings.MASTER_SECRETS, False) if online else _with_a_new_one()
            failpoint("secret.listed")
            return is_new, _reseal(masters)
    except (HomeError, OSError) as exc:
        raise ServiceError(str(exc)) from exc


def finish(*, forget_keys: bool = False, online: bool = False) -> int:
    """Forget every secret but the newest. How many were forgotten. Raises ServiceError when something needs one.

    `forget_keys`: also if client keys stop working.
    """
    if are_given():
        raise ServiceError(f"{_given_state()}Take the old secrets out of PATCHBAY_SECRET_KEY yourself.")
    try:
        with _lock(online):
            state = secret_state()
            if state.older or state.closed:
                raise ServiceError(
                    f"{state.older + state.closed} stored values are not sealed with the newest secret."
                    " Run `secret rotate` first; tokens in the spool are stored by the next start of Patchbay."
                )
            if state.old_keys and not forget_keys:
                raise ServiceError(_keys_would_end(state.old_keys))
            write_secrets(secret_path(), settings.MASTER_SECRETS[:1])
            return len(settings.MASTER_SECRETS) - 1
    except (HomeError, OSError) as exc:
        raise ServiceError(str(exc)) from exc


def _keys_would_end(names: Sequence[str]) -> str:
    return (
        f"These client keys are older than the newest secret and stop working with the old one: {', '.join(names)}."
        " Replace them first (`keys add`, `keys revoke`), or add --forget-keys."
    )


def _given_state() -> str:
    state = secret_state()
    if state.older or state.closed:
        return f"{state.older + state.closed} stored values still need one: run `secret rotate` first. "
    ended = f"These client keys may stop working with them: {', '.join(state.old_keys)}. "
    return ended if state.old_keys else ""


def _lock(online: bool) -> AbstractContextManager[None]:
    """Servers of this home know the secrets that they started with, and no newer one."""
    return nullcontext() if online else home_alone(settings.PATCHBAY_HOME)


def _with_a_new_one() -> tuple[list[str], bool]:
    """The secrets with a new one first, in the file; or as they are, where a rotation was not finished."""
    masters: list[str] = settings.MASTER_SECRETS
    if len(masters) > 1:
        return masters, False
    if are_given():
        raise ServiceError(ONE_GIVEN)
    masters = [secrets.token_urlsafe(48), *masters]
    write_secrets(secret_path(), masters)
    return masters, True


def _reseal(masters: Sequence[str]) -> int:
    newest, every = cipher_of(masters[:1]), cipher_of(masters)
    done = 0
    with transaction.atomic():
        for model, alias, columns in _COLUMNS:
            for row in (
                model._default_manager.select_for_update().order_by("pk").values("pk", alias, *columns)
            ):
                stale = {name: row[name] for name in columns if row[name] and not opens(newest, row[name])}
                if stale:
                    model._default_manager.filter(pk=row["pk"]).update(
                        **_sealed_anew(stale, every, row[alias])
                    )
                done += len(stale)
        failpoint("secret.sealed")
    return done


def _sealed_anew(stale: dict[str, str], every: MultiFernet, alias: str) -> dict[str, str]:
    """The same contents, for the same account and host, under the first secret."""
    try:
        return {name: every.rotate(value.encode()).decode() for name, value in stale.items()}
    except InvalidToken as exc:
        raise ServiceError(
            f"No master secret opens what is stored for account {alias}. Restore the secret that belongs to it, or"
            " set that account's key again. Nothing was sealed anew."
        ) from exc


def _sealed_values() -> Iterator[str]:
    for model, _, columns in _COLUMNS:
        for row in model._default_manager.values_list(*columns):
            yield from (value for value in row if value)


def _spooled_values() -> Iterator[str]:
    """Tokens that a crash left in the spool, to be stored by the next start."""
    home: Path = settings.PATCHBAY_HOME
    for path in sorted((home / "spool").glob("token-*.json")):
        try:
            found = json.loads(path.read_text())
        except (OSError, ValueError):
            continue  # cut short by a crash: no token yet
        if isinstance(found, dict):
            yield from (value for name in ("sealed_access", "sealed_refresh") if (value := found.get(name)))


def _old_keys(masters: Sequence[str]) -> tuple[str, ...]:
    """Client keys in force that were made before the newest secret came; all, if nobody knows when that was."""
    if len(masters) < 2:
        return ()
    in_force = Q(revoked_at__isnull=True) & (Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now()))
    rows = ClientKey.objects.filter(in_force)
    if not are_given():
        since = datetime.fromtimestamp(secret_path().stat().st_mtime, UTC)
        rows = rows.filter(created_at__lt=since)
    return tuple(rows.values_list("name", flat=True))
