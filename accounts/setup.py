"""Setting up and taking away whole backends: what touches a backend and its accounts together."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction

from accounts.models import Account
from accounts.services import account_add
from backends.models import Backend, RouteTarget
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
def backend_add_with_account(new: NewBackend, secret: str | None) -> Account:
    """A backend and its first account, whose alias is the backend's name: both or neither.

    Without a secret the account is of kind `none`. Raises ServiceError.
    """
    taken = Account.objects.select_related("backend").filter(alias=new.name).first()
    if taken is not None:
        raise ServiceError(
            f"The account alias {new.name} is taken (backend {taken.backend.name}), and the first account of a"
            " backend gets its name. Choose another backend name, or remove that account."
        )
    return account_add(new.name, backend_add(new), secret)


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
