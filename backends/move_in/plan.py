"""What an import would make, and what it could not take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import msgspec

from backends.move_in.shapes import (
    AccountShape,
    BackendShape,
    ClientKeyShape,
    OAuthProviderShape,
    PriceShape,
    RedactionRuleShape,
    RouteShape,
    Shape,
    TargetShape,
    TemplateShape,
)

S = TypeVar("S", bound=Shape, covariant=True)


class MoveInError(Exception):
    """The whole file or folder is refused. The text says why, in one line, and what to do."""


@dataclass(frozen=True, slots=True)
class Item(Generic[S]):
    """One row to be made. `where`: its place in the source. `key`: an account's secret, "" for none."""

    shape: S
    where: str
    key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class NotTaken:
    """A setting that stays behind: its place in the source, and why. Never its value."""

    where: str
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """`source` says in words what was read. `is_complete`: every field of the shapes is meant, not only those that
    the source has a word for."""

    source: str
    is_complete: bool = False
    backends: tuple[Item[BackendShape], ...] = ()
    oauth_providers: tuple[Item[OAuthProviderShape], ...] = ()
    accounts: tuple[Item[AccountShape], ...] = ()
    templates: tuple[Item[TemplateShape], ...] = ()
    redaction_rules: tuple[Item[RedactionRuleShape], ...] = ()
    prices: tuple[Item[PriceShape], ...] = ()
    routes: tuple[Item[RouteShape], ...] = ()
    client_keys: tuple[Item[ClientKeyShape], ...] = ()
    not_taken: tuple[NotTaken, ...] = ()


@dataclass
class Draft:
    """A plan while a parser writes it. Accounts get the name of their backend, numbered from the second on."""

    source: str
    backends: list[Item[BackendShape]] = field(default_factory=list)
    accounts: list[Item[AccountShape]] = field(default_factory=list)
    routes: list[Item[RouteShape]] = field(default_factory=list)
    not_taken: list[NotTaken] = field(default_factory=list)
    _names: set[str] = field(default_factory=set)
    _aliases: set[str] = field(default_factory=set)
    _patterns: set[str] = field(default_factory=set)

    def skip(self, where: str, why: str) -> None:
        """Report a setting that stays behind."""
        self.not_taken.append(NotTaken(where, why))

    def add_backend(self, shape: BackendShape, where: str) -> None:
        """Plan a backend. Its name must be free."""
        self._names.add(shape.name.lower())
        self.backends.append(Item(shape, where))

    def free_name(self, wanted: str) -> str:
        """`wanted`, or the first of `wanted-2`, `wanted-3` … that no planned backend has."""
        return numbered(wanted, self._names)

    def free_alias(self, backend: str) -> str:
        """The alias of the backend's next account, which nobody else gets from now on."""
        alias = numbered(backend, self._aliases)
        self._aliases.add(alias.lower())
        return alias

    def add_account(
        self, backend: str, where: str, *, key: str = "", kind: str = "api_key", alias: str = ""
    ) -> None:
        """Plan an account at a planned backend."""
        alias = alias or self.free_alias(backend)
        self._aliases.add(alias.lower())
        self.accounts.append(Item(AccountShape(alias=alias, backend=backend, kind=kind), where, key))

    def add_route(self, pattern: str, targets: list[TargetShape], where: str) -> None:
        """Plan a route whose targets have their positions, unless one of this pattern is planned already."""
        wanted = pattern.strip().lower()
        if wanted in self._patterns:
            self.skip(where, f"There is a route for {pattern} already; the first one counts.")
            return
        self._patterns.add(wanted)
        self.routes.append(Item(RouteShape(pattern=pattern, targets=targets), where))

    def plan(self) -> Plan:
        """The finished plan."""
        return Plan(
            self.source,
            backends=tuple(self.backends),
            accounts=tuple(self.accounts),
            routes=tuple(self.routes),
            not_taken=tuple(self.not_taken),
        )


def numbered(wanted: str, taken: set[str]) -> str:
    """`wanted`, else `wanted-2`, `wanted-3` …: the first that is not in `taken` (lower case)."""
    name, number = wanted, 1
    while name.lower() in taken:
        number += 1
        name = f"{wanted[:60]}-{number}"
    return name


def in_order(*groups: Sequence[TargetShape]) -> list[TargetShape]:
    """The targets of each group at one position, one group after the other; an earlier one counts."""
    placed: list[TargetShape] = []
    position = 0
    for group in groups:
        known = {(target.backend, target.model) for target in placed if not target.conditions}
        new = [target for target in group if (target.backend, target.model) not in known]
        placed += [msgspec.structs.replace(target, position=position) for target in new]
        position += bool(new)
    return placed
