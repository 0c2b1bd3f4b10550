from __future__ import annotations

import pytest

from accounts.explain import explain
from accounts.setup import backend_add_with_account
from accounts.snapshot import load_snapshot
from backends.routing import NoRoute
from backends.services import NewBackend
from backends.wire.kinds import Protocol

pytestmark = pytest.mark.django_db


def test_a_family_name_without_a_catalog_says_that_it_will_be_resolved() -> None:
    backend_add_with_account(NewBackend("anthropic"), "sk-ant-0123456789")
    found = explain("opus", Protocol.ANTHROPIC, load_snapshot())
    assert "newest of the family" in found.targets[0].model


def test_an_account_whose_key_does_not_open_is_shown_with_the_reason() -> None:
    account = backend_add_with_account(NewBackend("openai"), "sk-0123456789abcdef")
    account.backend.base_url = "https://elsewhere.example.com/v1"
    account.backend.save()
    [target] = explain("gpt-5", Protocol.OPENAI, load_snapshot()).targets
    assert "elsewhere.example.com" in target.accounts["openai"]


def test_nothing_configured_is_no_route() -> None:
    with pytest.raises(NoRoute, match="backend add"):
        explain("gpt-5", Protocol.OPENAI, load_snapshot())
