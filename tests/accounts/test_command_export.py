from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import models
from django.utils import timezone

from accounts.export import export_text
from accounts.key_services import key_add, key_revoke
from accounts.login_services import CallersOwn, LoginLater
from accounts.models import Account, ClientKey, OAuthProvider
from accounts.move_in import Mark, move_in
from accounts.services import account_add
from backends.models import Backend, PriceOverride, RedactionRule, RequestTemplate, Route, RouteTarget
from backends.move_in.own import parse_own
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
from backends.services import NewBackend, backend_add, route_add
from tests.patchbay import Patchbay

pytestmark = pytest.mark.django_db
KEY = "sk-canary-0123456789"

# What an export leaves out on purpose: identities, secrets and what belongs to them, notes of Patchbay's own.
LEFT_OUT = {
    Backend: {"id", "created_at", "updated_at"},
    Account: {
        *(
            "id",
            "uid",
            "sealed_secret",
            "secret_hint",
            "secret_set_at",
            "resumed_at",
            "created_at",
            "updated_at",
        ),
    },
    Route: {"id", "created_at", "updated_at"},
    RequestTemplate: {"id", "version", "created_at", "updated_at"},
    RedactionRule: {"id", "updated_at"},
    PriceOverride: {"id", "updated_at"},
    RouteTarget: {"id", "route"},
    ClientKey: {"id", "prefix", "digest", "revoked_at", "created_at"},
    OAuthProvider: {"id"},
}
ADDED = {Route: {"targets"}, ClientKey: {"is_revoked"}}


def make_everything(token_file: Path) -> None:
    openai = backend_add(NewBackend("openai", model_globs=("gpt-*",), responses=False))
    anthropic = backend_add(NewBackend("anthropic"))
    Backend.objects.filter(pk=anthropic.pk).update(strategy="forecast", idle_timeout_s=12.5, is_enabled=False)
    local = backend_add(NewBackend("Local", base_url="http://127.0.0.1:9/v1"))
    work = account_add("work", openai, KEY)
    work.position, work.weight, work.reserve_percent, work.reserves = 3, 4, 7.5, {"7d": 5, "5h": 2.5}
    work.daily_limit, work.min_interval_ms, work.allowed_claims = Decimal("2.5"), 250, ["5h"]
    work.is_paused = True
    work.save()
    account_add("Local", local, None)
    account_add("plan", anthropic, LoginLater())
    account_add("mine", anthropic, CallersOwn())
    file = Account(
        alias="file", backend=anthropic, kind=Account.TOKEN_FILE, token_file=str(token_file), token_path="a.b"
    )
    file.save()
    route_add("fast", ["openai:gpt-5:mini", "Local"])
    route_add("claude-*", ["anthropic"])
    Route.objects.create(pattern="empty", is_enabled=False)
    RedactionRule.objects.create(name="tokens", label="TOKEN", pattern="tok-[a-z]+", is_enabled=False)
    template = RequestTemplate.objects.create(
        name="short", spec={"parameters": {"default": {"temperature": 0}}}
    )
    shared = Route.objects.create(pattern="shared", template=template)
    RouteTarget.objects.create(
        route=shared, backend=openai, model="a", weight=3, conditions={"min_tokens": 100}
    )
    RouteTarget.objects.create(route=shared, backend=local, weight=2)
    Backend.objects.filter(pk=openai.pk).update(capabilities={"images": False}, redacts=True)
    Backend.objects.filter(pk=local.pk).update(keeps_bodies=True)
    PriceOverride.objects.create(
        model="gpt-*", since=date(2026, 11, 1), input=Decimal("1.25"), note="contract"
    )
    PriceOverride.objects.create(model="qwen", since=date(2026, 11, 1), backend=local, output=Decimal(2))
    make_keys()
    OAuthProvider.objects.create(
        backend=anthropic, client_id="my-client", issuer="https://id.example.com", scopes="a b"
    )


def make_keys() -> None:
    key_add("laptop", ("gpt-*",), "90d")
    key_add("old")
    key_revoke("old")
    ClientKey.objects.filter(name="laptop").update(
        requests_per_minute=9, tokens_per_minute=900, keeps_bodies=True
    )
    ClientKey.objects.filter(name="laptop").update(budget=Decimal("2.5"), budget_period="day")
    ClientKey.objects.filter(name="laptop").update(expires_at=datetime(2030, 1, 2, 3, 4, 5, 678, tzinfo=UTC))


def forget_everything() -> None:
    for model in (PriceOverride, ClientKey, Route, Backend, RequestTemplate, RedactionRule):
        model.objects.all().delete()


def test_an_export_imported_into_an_empty_home_exports_the_same(tmp_path: Path) -> None:
    make_everything(tmp_path / "token.json")
    text = export_text()
    forget_everything()
    assert json.loads(export_text())["backends"] == []
    outcome = move_in(parse_own(text), dry_run=False)
    assert outcome.not_taken == ()
    assert {change.mark for change in outcome.changes} == {Mark.ADDED}
    assert export_text() == text


def test_what_needs_a_credential_after_the_import_is_said(tmp_path: Path) -> None:
    make_everything(tmp_path / "token.json")
    text = export_text()
    forget_everything()
    outcome = move_in(parse_own(text), dry_run=False)
    assert dict(outcome.waiting) == {
        "plan": "python manage.py login plan --oauth",
        "work": "python manage.py login work --key-stdin",
    }
    assert [name for name, _ in outcome.new_keys] == ["laptop"]
    assert not ClientKey.objects.get(name="old").is_valid_at(timezone.now())


def test_an_import_over_itself_changes_nothing(tmp_path: Path) -> None:
    make_everything(tmp_path / "token.json")
    outcome = move_in(parse_own(export_text()), dry_run=False)
    assert (outcome.added, outcome.not_taken) == ((), ())


def test_a_backend_with_other_settings_is_left_as_it_is() -> None:
    backend_add(NewBackend("openai"))
    text = export_text()
    Backend.objects.update(strategy="weighted", connect_timeout_s=2.0)
    [change] = move_in(parse_own(text), dry_run=False).changes
    assert change.line() == "= backend openai exists and is left as it is; it differs in strategy, connect"
    assert Backend.objects.get().strategy == "weighted"


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (Backend, BackendShape),
        (Account, AccountShape),
        (Route, RouteShape),
        (RouteTarget, TargetShape),
        (RequestTemplate, TemplateShape),
        (RedactionRule, RedactionRuleShape),
        (PriceOverride, PriceShape),
        (ClientKey, ClientKeyShape),
        (OAuthProvider, OAuthProviderShape),
    ],
)
def test_every_column_is_exported_or_left_out_on_purpose(
    model: type[models.Model], shape: type[Shape]
) -> None:
    """A new column belongs into its shape in backends/move_in/shapes.py, or into LEFT_OUT above."""
    columns = {field.name for field in model._meta.get_fields() if field.concrete}
    assert columns - LEFT_OUT[model] == set(shape.__struct_fields__) - ADDED.get(model, set())
    assert LEFT_OUT[model] <= columns


def test_the_text_is_sorted_versioned_and_without_secrets(tmp_path: Path) -> None:
    make_everything(tmp_path / "token.json")
    text = export_text()
    found = json.loads(text)
    assert found["patchbay"] == 1
    assert text == json.dumps(found, indent=2, sort_keys=True) + "\n"
    assert [row["name"] for row in found["backends"]] == ["Local", "anthropic", "openai"]
    stored = [row.digest for row in ClientKey.objects.all()] + [
        row.sealed_secret for row in Account.objects.all()
    ]
    assert not any(secret and secret in text for secret in [*stored, "canary"])


def test_the_command_prints_it() -> None:
    backend_add(NewBackend("ollama"))
    out = StringIO()
    call_command("export", stdout=out)
    assert out.getvalue() == export_text()


def test_a_home_moves_through_a_file(tmp_path: Path) -> None:
    make_everything(tmp_path / "token.json")
    path = tmp_path / "out.json"
    path.write_text(export_text())
    patchbay = Patchbay(home=tmp_path / "home")
    patchbay.manage("import", str(path), "--yes")
    patchbay.manage("export", "--output", str(path))
    assert path.read_text() == export_text()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("target", ["missing/out.json", "folder"])
def test_a_file_that_cannot_be_written_is_refused_and_nothing_is_left(target: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(CommandError, match="cannot be written"):
        call_command("export", "--output", str(tmp_path / target), stdout=StringIO())
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
