"""Making what a plan says: one transaction for all of it, and for each row the answer whether it was made, was there
already, or why not.

A dry run does the same work and rolls it back, so what it shows is what would happen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from accounts.client_auth import KEY_PREFIX
from accounts.export import backend_shape, columns, target_shape
from accounts.key_services import key_issue
from accounts.login_services import CallersOwn, Credential, LoginLater, credential_set
from accounts.models import Account, ClientKey, OAuthProvider
from backends.conditions import BadCondition
from backends.models import Backend, PriceOverride, RedactionRule, RequestTemplate, Route, RouteTarget
from backends.move_in.plan import Item, NotTaken, Plan, S
from backends.move_in.shapes import (
    AccountShape,
    BackendShape,
    ClientKeyShape,
    OAuthProviderShape,
    PriceShape,
    RedactionRuleShape,
    RouteShape,
    TargetShape,
    TemplateShape,
)
from backends.redaction_services import rule_add, rule_switch
from backends.route_checks import Surroundings, check_route
from backends.services import (
    ServiceError,
    get_backend,
    one_line,
    refuse_own_address,
    save_checked,
)
from backends.snapshot import load_routing
from backends.targets import target_texts
from backends.template_services import checked_spec, template_create

MOST_CHECKED = 200  # routes that are looked at for warnings; each is held against all the others


class Mark(StrEnum):
    """What became of a row."""

    ADDED = "+"
    EXISTS = "="


@dataclass(frozen=True, slots=True)
class Change:
    """One row: `what` it is, its name, and a few words on it."""

    mark: Mark
    what: str
    name: str
    detail: str = ""

    def line(self) -> str:
        """`+ backend openai (https://api.openai.com/v1)`, `= account work exists`."""
        words = self.detail or ("exists" if self.mark is Mark.EXISTS else "")
        return f"{self.mark.value} {self.what} {self.name} {words}".rstrip()

    def as_dict(self) -> dict[str, str]:
        """For --json."""
        return {"mark": self.mark.value, "what": self.what, "name": self.name, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was made, or would be.

    `warnings`: what may be wrong with the new routes. `waiting`: accounts that still need a credential, with the
    command that gives it. `new_keys`: client keys by name, to be shown this once.
    """

    changes: tuple[Change, ...]
    not_taken: tuple[NotTaken, ...]
    warnings: tuple[str, ...] = ()
    waiting: tuple[tuple[str, str], ...] = ()
    new_keys: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def added(self) -> tuple[Change, ...]:
        """Only what is new."""
        return tuple(change for change in self.changes if change.mark is Mark.ADDED)


def move_in(plan: Plan, *, dry_run: bool) -> Outcome:
    """Make everything in `plan` that can be made, or with `dry_run` find out what that is."""
    mover = _Mover(plan.is_complete)
    with transaction.atomic():
        mover.make(plan)
        if dry_run:
            transaction.set_rollback(True)
    keys = () if dry_run else tuple(mover.new_keys)
    return Outcome(
        tuple(mover.changes),
        (*plan.not_taken, *mover.not_taken),
        tuple(mover.warnings),
        tuple(mover.waiting),
        new_keys=keys,
    )


@dataclass
class _Mover:
    is_complete: bool
    changes: list[Change] = field(default_factory=list)
    not_taken: list[NotTaken] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    waiting: list[tuple[str, str]] = field(default_factory=list)
    new_keys: list[tuple[str, str]] = field(default_factory=list, repr=False)
    refused: set[str] = field(default_factory=set)  # backends, in lower case
    rows: dict[str, Backend] = field(default_factory=dict)  # backends that were looked up, by lower-case name

    def make(self, plan: Plan) -> None:
        """Each kind of row after those that it refers to."""
        for item in plan.backends:
            if not self._each("backend", [item], self._backend):
                self.refused.add(item.shape.name.lower())
        self._each("OAuth provider of", plan.oauth_providers, self._oauth_provider)
        self._each("account", plan.accounts, self._account)
        self._each("template", plan.templates, self._template)
        self._each("redaction rule", plan.redaction_rules, self._redaction_rule)
        self._each("price of", plan.prices, self._price)
        self._each("route", plan.routes, self._route)
        self._each("client key", plan.client_keys, self._client_key)
        self._check_routes(plan)

    def _check_routes(self, plan: Plan) -> None:
        """What the router would say to the new routes, together with all the others."""
        new = {change.name for change in self.changes if change.mark is Mark.ADDED and change.what == "route"}
        backends = {row.name.lower(): row.is_enabled for row in Backend.objects.all()}
        keys = set(ClientKey.objects.values_list("name", flat=True))
        around = Surroundings(load_routing(), backends, keys)
        for shape in [item.shape for item in plan.routes][:MOST_CHECKED]:
            pattern = shape.pattern.strip().lower()
            if pattern in new:
                specs = [
                    target.spec for target in shape.targets if target.backend.lower() not in self.refused
                ]
                found = check_route(pattern, specs, around)
                self.warnings += [f"route {pattern}: {text}" for text in (*found.errors, *found.warnings)]

    def _each(self, what: str, items: Iterable[Item[S]], make: Callable[[Item[S]], Change]) -> bool:
        """Make each row in a savepoint of its own; False if any was refused."""
        count = len(self.not_taken)
        for item in items:
            try:
                with transaction.atomic():
                    self.changes.append(make(item))
            except ServiceError as exc:
                self.not_taken.append(NotTaken(f"{item.where}: {what} {_name(item.shape)}", str(exc)))
            except ValidationError as exc:
                self.not_taken.append(NotTaken(f"{item.where}: {what} {_name(item.shape)}", one_line(exc)))
        return len(self.not_taken) == count

    def _backend(self, item: Item[BackendShape]) -> Change:
        shape = item.shape
        row = Backend.objects.filter(name__iexact=shape.name).first()
        if row is None:
            row = Backend(**columns(shape))
            save_checked(row)
            refuse_own_address(row)
            return Change(Mark.ADDED, "backend", row.name, f"({row.base_url}, {row.protocol})")
        if (row.base_url, row.protocol) != (shape.base_url, shape.protocol):
            raise ServiceError(
                f"A backend of this name is at {row.base_url} ({row.protocol}), and the source has another address."
                " Rename one of them, and import again."
            )
        other = _differences(backend_shape(row), shape) if self.is_complete else ""
        return Change(Mark.EXISTS, "backend", row.name, other)

    def _oauth_provider(self, item: Item[OAuthProviderShape]) -> Change:
        backend = self._backend_of(item.shape.backend)
        if OAuthProvider.objects.filter(backend=backend).exists():
            return Change(Mark.EXISTS, "OAuth provider of", backend.name)
        row = OAuthProvider(backend=backend, **columns(item.shape, "backend"))
        save_checked(row)
        return Change(Mark.ADDED, "OAuth provider of", backend.name, f"({row.issuer or row.token_url})")

    def _account(self, item: Item[AccountShape]) -> Change:
        shape, backend = item.shape, self._backend_of(item.shape.backend)
        found = Account.objects.select_related("backend").filter(alias__iexact=shape.alias).first()
        if found is not None:
            if found.backend_id != backend.pk:
                raise ServiceError(
                    f"The account {found.alias} is at backend {found.backend.name}. Rename one of them."
                )
            if not item.key or found.kind != Account.API_KEY or found.sealed_secret:
                return Change(Mark.EXISTS, "account", found.alias)
            credential_set(found, _provider_key(item))
            return Change(Mark.ADDED, "key of account", found.alias)
        row = Account(backend=backend, **columns(shape, "backend"))
        if item.key or row.kind in _CREDENTIALS:
            credential_set(row, _provider_key(item) or _CREDENTIALS[row.kind])
        else:
            _save_waiting(row)
        return Change(Mark.ADDED, "account", row.alias, f"at {backend.name} ({self._credential(row)})")

    def _credential(self, row: Account) -> str:
        """The state of a new account's credential in words; one that is missing is noted."""
        if row.kind == Account.TOKEN_FILE:
            return f"follows {row.token_file}"
        if row.kind == Account.OAUTH and getattr(row, "token", None) is None:
            self.waiting.append((row.alias, f"python manage.py login {row.alias} --oauth"))
            return "needs a login"
        if row.kind == Account.API_KEY and not row.sealed_secret:
            self.waiting.append((row.alias, f"python manage.py login {row.alias} --key-stdin"))
            return "needs its key"
        return {Account.API_KEY: "with its key", Account.CALLER: "the caller's own credential"}.get(
            row.kind, "no key" if row.kind == Account.NONE else "with its token"
        )

    def _route(self, item: Item[RouteShape]) -> Change:
        shape = item.shape
        pattern = shape.pattern.strip().lower()
        targets = [target for target in shape.targets if target.backend.lower() not in self.refused]
        found = Route.objects.filter(pattern=pattern).prefetch_related("targets__backend").first()
        if found is not None:
            return _existing_route(found, targets)
        if shape.targets and not targets:
            raise ServiceError("None of its backends was taken.")
        self._save_route(shape, targets)
        for target in shape.targets:
            if target not in targets:
                self.not_taken.append(
                    NotTaken(f"{item.where}: target {target.spec.name}", "Its backend was not taken.")
                )
        return Change(Mark.ADDED, "route", pattern, _arrow(targets))

    def _save_route(self, shape: RouteShape, targets: list[TargetShape]) -> None:
        template = RequestTemplate.objects.filter(name=shape.template).first()
        if shape.template and template is None:
            raise ServiceError(f"There is no template {shape.template}. Add it, and import again.")
        row = Route(pattern=shape.pattern, template=template, is_enabled=shape.is_enabled)
        save_checked(row)
        rows = [
            RouteTarget(route=row, backend=self._backend_of(target.backend), **columns(target, "backend"))
            for target in targets
        ]
        for each in rows:
            each.full_clean()
        RouteTarget.objects.bulk_create(rows)  # saving the route has told the servers

    def _template(self, item: Item[TemplateShape]) -> Change:
        shape = item.shape
        found = RequestTemplate.objects.filter(name=shape.name).first()
        if found is not None:
            detail = (
                ""
                if found.spec == checked_spec(shape.spec)
                else "exists and is left as it is; its text differs"
            )
            return Change(Mark.EXISTS, "template", found.name, detail)
        template_create(shape.name, shape.spec)
        return Change(Mark.ADDED, "template", shape.name)

    def _redaction_rule(self, item: Item[RedactionRuleShape]) -> Change:
        shape = item.shape
        if RedactionRule.objects.filter(name=shape.name).exists():
            return Change(Mark.EXISTS, "redaction rule", shape.name)
        if not shape.pattern:
            rule_switch(shape.name, is_on=shape.is_enabled)
            return Change(Mark.ADDED, "redaction rule", shape.name, "(on)" if shape.is_enabled else "(off)")
        rule_add(shape.name, shape.label, shape.pattern, is_enabled=shape.is_enabled)
        return Change(Mark.ADDED, "redaction rule", shape.name, f"({shape.label})")

    def _price(self, item: Item[PriceShape]) -> Change:
        shape = item.shape
        backend = self._backend_of(shape.backend) if shape.backend else None
        model, detail = shape.model.strip().lower(), f"(from {shape.since})"
        if PriceOverride.objects.filter(backend=backend, model=model, since=shape.since).exists():
            return Change(Mark.EXISTS, "price of", model, detail)
        save_checked(PriceOverride(backend=backend, **columns(shape, "backend")))
        return Change(Mark.ADDED, "price of", model, detail)

    def _client_key(self, item: Item[ClientKeyShape]) -> Change:
        shape = item.shape
        if ClientKey.objects.filter(name=shape.name).exists():
            return Change(Mark.EXISTS, "client key", shape.name)
        row = ClientKey(**columns(shape, "is_revoked"))
        key = key_issue(row)
        if shape.is_revoked:
            row.revoked_at = timezone.now()
            row.save()
            return Change(Mark.ADDED, "client key", shape.name, "(revoked)")
        self.new_keys.append((row.name, key))
        return Change(Mark.ADDED, "client key", shape.name, "(a new key)")

    def _backend_of(self, name: str) -> Backend:
        if name.lower() in self.refused:
            raise ServiceError("Its backend was not taken.")
        if name.lower() not in self.rows:
            self.rows[name.lower()] = get_backend(name)
        return self.rows[name.lower()]


# Kinds that are complete as they are.
_CREDENTIALS: dict[str, Credential] = {
    Account.NONE: None,
    Account.CALLER: CallersOwn(),
    Account.OAUTH: LoginLater(),
}


def _provider_key(item: Item[AccountShape]) -> str:
    """The account's key, "" for none. Raises ServiceError for a key that tools use to call Patchbay."""
    if item.key.startswith(KEY_PREFIX):
        raise ServiceError("Its key is a client key of Patchbay, and no provider knows it.")
    return item.key


def _save_waiting(row: Account) -> None:
    """Save an account whose credential comes later: checked in all else, as one that needs none."""
    kind = row.kind
    if kind == Account.API_KEY:
        row.kind = Account.NONE
    row.full_clean()
    row.kind = kind
    row.save()


def _existing_route(row: Route, targets: list[TargetShape]) -> Change:
    there = _arrow(target_shape(target) for target in row.targets.all())
    if there.lower() == _arrow(targets).lower():
        return Change(Mark.EXISTS, "route", row.pattern)
    raise ServiceError(
        f"A route for it exists, and goes {there or 'nowhere'}. To replace it: routes remove {row.pattern}, and import"
        " again."
    )


def _arrow(targets: Iterable[TargetShape]) -> str:
    """`→ first → second`, each as `routes add` takes it. Raises ServiceError for conditions that make no sense."""
    try:
        return " ".join(f"→ {text}" for text in target_texts([target.spec for target in targets]))
    except BadCondition as exc:
        raise ServiceError(str(exc)) from exc


def _differences(there: BackendShape, wanted: BackendShape) -> str:
    other = [
        name.split("_timeout")[0]
        for name in wanted.__struct_fields__
        if getattr(there, name) != getattr(wanted, name)
    ]
    return f"exists and is left as it is; it differs in {', '.join(other)}" if other else ""


def _name(shape: object) -> str:
    """What a row is called, for a report."""
    found = (getattr(shape, name, None) for name in ("alias", "pattern", "model", "name", "backend"))
    return next(str(name)[:200] for name in found if name is not None)
