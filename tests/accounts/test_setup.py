from __future__ import annotations

import pytest

from accounts.models import Account
from accounts.services import ServiceError, account_add
from accounts.setup import (
    backend_add_with_account,
    backend_remove_all,
    default_backend,
    login_complete,
    login_plan,
)
from backends.models import Backend, Route
from backends.services import NewBackend, backend_add, route_add

pytestmark = pytest.mark.django_db


def test_a_backend_with_a_key_has_one_account_of_its_name() -> None:
    account = backend_add_with_account(NewBackend("openai"), "sk-0123456789abcdef")
    assert (account.alias, account.kind, account.secret_hint) == ("openai", "api_key", "…cdef")


def test_a_backend_without_a_key_has_an_account_that_needs_none() -> None:
    assert backend_add_with_account(NewBackend("ollama"), None).kind == "none"


@pytest.mark.parametrize("key", ["", "   ", "two words", "changeme", "café"])
def test_a_refused_key_leaves_no_backend(key: str) -> None:
    with pytest.raises(ServiceError):
        backend_add_with_account(NewBackend("openai"), key)
    assert not Backend.objects.exists()


def test_a_taken_alias_is_explained_and_leaves_no_backend() -> None:
    other = backend_add(NewBackend("ollama"))
    account_add("openai", other, None)
    with pytest.raises(ServiceError, match=r"alias openai is taken .*ollama"):
        backend_add_with_account(NewBackend("openai"), "sk-0123456789abcdef")
    assert not Backend.objects.filter(name="openai").exists()


def test_removing_a_backend_names_what_goes_with_it() -> None:
    backend_add_with_account(NewBackend("ollama"), None)
    backend_add_with_account(NewBackend("openai"), "sk-0123456789abcdef")
    route_add("fast", ["ollama", "openai"])
    removal = backend_remove_all("OLLAMA")
    assert removal.line() == "Backend ollama with account ollama and the target in route fast"
    assert [account.alias for account in Account.objects.all()] == ["openai"]
    assert [str(target) for target in Route.objects.get().targets.all()] == ["openai"]


def test_a_new_account_belongs_to_anthropic_else_to_the_only_backend() -> None:
    with pytest.raises(ServiceError, match="backend add"):
        default_backend()
    backend_add(NewBackend("ollama"))
    assert default_backend().name == "ollama"
    backend_add(NewBackend("openai"))
    with pytest.raises(ServiceError, match=r"ollama \| openai"):
        default_backend()
    backend_add(NewBackend("anthropic"))
    assert default_backend().name == "anthropic"


KEY = "sk-0123456789abcdef"


def test_login_makes_the_claude_backend_and_the_account_together() -> None:
    plan = login_plan("login", None)
    assert plan.adds_backend
    assert not Backend.objects.exists()
    row = login_complete(plan, KEY)
    assert (row.alias, row.backend.name, row.backend.base_url) == (
        "login",
        "anthropic",
        "https://api.anthropic.com",
    )
    assert row.backend.preset == "anthropic"


def test_a_refused_credential_leaves_neither_backend_nor_account() -> None:
    with pytest.raises(ServiceError):
        login_complete(login_plan("login", "anthropic"), "two words")
    assert not Backend.objects.exists()
    assert not Account.objects.exists()


def test_login_uses_the_backend_of_the_account_that_is_there() -> None:
    account = backend_add_with_account(NewBackend("openai"), KEY)
    plan = login_plan("openai", None)
    assert (plan.account.pk, plan.adds_backend) == (account.pk, False)
    backend_add(NewBackend("ollama"))
    with pytest.raises(ServiceError, match="belongs to backend openai"):
        login_plan("openai", "ollama")


def test_the_claude_backend_may_have_another_name() -> None:
    backend_add(NewBackend("claude"))
    assert login_plan("login", None).backend.name == "claude"
    assert login_plan("login", "anthropic").adds_backend


@pytest.mark.parametrize(("alias", "backend"), [("login", "nowhere"), ("a b", None)])
def test_a_plan_that_cannot_be_is_refused_before_anything_is_asked(alias: str, backend: str | None) -> None:
    with pytest.raises(ServiceError):
        login_plan(alias, backend)
