"""Setting up and taking away whole backends: what touches a backend and its accounts together."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction

from accounts.login_services import Credential, credential_set
from accounts.models import Account
from accounts.services import account_add, check_new_alias
from backends.models import Backend, RouteTarget
from backends.presets import PRESETS
from backends.services import NewBackend, ServiceError, backend_add, backend_remove, get_backend

DEFAULT_BACKEND = "anthropic"


@dataclass(frozen=True, slots=True)
class Removal:
    """What goes away together with a backend."""

    backend: str
    accounts: tuple[str, ...]
    routes: tuple[str, ...]

    def line(self) -> str:
        """One sentence for a terminal."""
        parts = [
            f"{word}{'s' if len(names) > 1 else ''} {', '.join(names)}" for word, names in self._others()
        ]
        return f"Backend {self.backend}" + (f" with {' and '.join(parts)}" if parts else "")

    def _others(self) -> list[tuple[str, tuple[str, ...]]]:
        found = [("account", self.accounts), ("the target in route", self.routes)]
        return [(word, names) for word, names in found if names]


@transaction.atomic
def backend_add_with_account(new: NewBackend, credential: Credential) -> Account:
    """A backend and its first account, whose alias is the backend's name: both or neither.

    Without a credential the account is of kind `none`. Raises ServiceError.
    """
    taken = Account.objects.select_related("backend").filter(alias=new.name).first()
    if taken is not None:
        raise ServiceError(
            f"The account alias {new.name} is taken (backend {taken.backend.name}), and the first account of a"
            " backend gets its name. Choose another backend name, or remove that account."
        )
    return account_add(new.name, backend_add(new), credential)


def backend_removal(name: str) -> Removal:
    """What `backend_remove` would delete. Raises ServiceError if there is no such backend."""
    row = get_backend(name)
    routes = RouteTarget.objects.filter(backend=row).values_list("route__pattern", flat=True)
    return Removal(
        backend=row.name,
        accounts=tuple(row.accounts.values_list("alias", flat=True)),
        routes=tuple(dict.fromkeys(routes)),
    )


@transaction.atomic
def backend_remove_all(name: str) -> Removal:
    """Delete a backend with all that hangs on it; returns what went."""
    removal = backend_removal(name)
    backend_remove(removal.backend)
    return removal


def default_backend() -> Backend:
    """The backend of a new account that names none: `anthropic`, else the only one. Raises ServiceError."""
    rows = list(Backend.objects.all())
    for row in rows:
        if row.name.lower() == DEFAULT_BACKEND or len(rows) == 1:
            return row
    if not rows:
        raise ServiceError("There is no backend yet. Add one: backend add NAME")
    raise ServiceError(f"Say which backend: --backend {' | '.join(row.name for row in rows)}")


@dataclass(frozen=True, slots=True)
class LoginPlan:
    """Which account `login` gives a credential to. An account or a backend without a `pk` will be made."""

    account: Account

    @property
    def backend(self) -> Backend:
        """Where the account is, or will be."""
        return self.account.backend

    @property
    def adds_backend(self) -> bool:
        """Whether the backend has to be made from its preset."""
        return self.backend.pk is None


def login_plan(alias: str, backend_name: str | None) -> LoginPlan:
    """Find the account, or plan a new one at `backend_name`, else at the Claude backend. Raises ServiceError."""
    row = Account.objects.select_related("backend").filter(alias=alias).first()
    if row is None:
        check_new_alias(alias)
        return LoginPlan(Account(alias=alias, backend=_login_backend(backend_name)))
    if backend_name and get_backend(backend_name).pk != row.backend_id:
        raise ServiceError(
            f"Account {alias} belongs to backend {row.backend.name}. Leave --backend out, or choose another alias."
        )
    return LoginPlan(row)


@transaction.atomic
def login_complete(plan: LoginPlan, credential: Credential) -> Account:
    """Give the planned account its credential, and make what has to be made: all or nothing. Raises ServiceError."""
    if plan.adds_backend:
        plan.account.backend = backend_add(NewBackend(plan.backend.name))
    return credential_set(plan.account, credential)


def _login_backend(name: str | None) -> Backend:
    """The named backend, else the Claude backend; that one may still have to be made."""
    if name and name.lower() != DEFAULT_BACKEND:
        return get_backend(name)
    found = Backend.objects.filter(name__iexact=DEFAULT_BACKEND).first()
    if found is None and not name:
        found = Backend.objects.filter(preset=DEFAULT_BACKEND).first()
    preset = PRESETS[DEFAULT_BACKEND]
    return found or Backend(
        name=DEFAULT_BACKEND, preset=DEFAULT_BACKEND, base_url=preset.base_url, protocol=preset.protocol.value
    )
