"""The process behind `tests.desk`: one JSON list of orders a line comes in, one JSON answer a line goes out."""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable
from typing import Any

import django

gc.disable()  # a short life; looking for garbage takes a tenth of the start
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "router_site.settings")
django.setup()

from django.db import transaction  # noqa: E402

from accounts import key_services, services  # noqa: E402
from accounts.login_services import CallersOwn, Credential, TokenFile, credential_set  # noqa: E402
from accounts.models import ClientKey  # noqa: E402
from accounts.oauth import read_token_json  # noqa: E402
from accounts.oauth_models import OAuthProvider  # noqa: E402
from accounts.pool_models import KeySpend  # noqa: E402
from analytics.models import RequestRecord  # noqa: E402
from analytics.rows import record_json  # noqa: E402
from backends.models import Backend, ConfigVersion, RedactionRule, RequestTemplate, Route  # noqa: E402
from backends.redaction_services import rule_add, rule_remove, rule_switch  # noqa: E402
from backends.services import NewBackend, backend_add, get_backend, route_add  # noqa: E402
from backends.template_services import template_set  # noqa: E402


def backend(name: str, base: str, protocol: str = "", **fields: Any) -> None:
    """Add a backend without an account; a known name brings its protocol."""
    _set(backend_add(NewBackend(name, base, protocol)), fields)


def account(alias: str, backend: str, credential: dict[str, Any], **fields: Any) -> None:
    """Add an account. `credential` names one of key, oauth, file, caller; empty: none is needed."""
    _set(services.account_add(alias, get_backend(backend), _credential(credential)), fields)


def _credential(given: dict[str, Any]) -> Credential:
    if "oauth" in given:
        return read_token_json(json.dumps(given["oauth"]))
    if "file" in given:
        return TokenFile(given["file"])
    return CallersOwn() if "caller" in given else given.get("key")


def provider(backend: str, **fields: Any) -> None:
    """Say who logs in the accounts of a backend."""
    OAuthProvider.objects.create(backend=get_backend(backend), **fields)


def login(alias: str, tokens: dict[str, Any]) -> None:
    """Log an account in anew."""
    credential_set(services.get_account(alias), read_token_json(json.dumps(tokens)))


def edit(alias: str, **fields: Any) -> None:
    """Change fields of an account."""
    _set(services.get_account(alias), fields)


def rows(**which: str) -> list[dict[str, object]]:
    """The history of one backend or client key, oldest first."""
    return [record_json(row) for row in RequestRecord.objects.filter(**which).order_by("started_at")]


def clear() -> None:
    """Take away every backend, account and client key."""
    Route.objects.all().delete()
    Backend.objects.all().delete()
    ClientKey.objects.all().delete()


def key_spent(name: str) -> list[tuple[str, str]]:
    """What the ledger says of a client key, by day."""
    found = KeySpend.objects.filter(key__name=name).values_list("period", "amount")
    return [(period, str(amount)) for period, amount in found]


def template_damage(name: str, spec: object) -> None:
    """Put a text into the database that no service would take, as a restored one may hold."""
    RequestTemplate.objects.filter(name=name).update(spec=spec)
    ConfigVersion.bump()


def _set(row: Any, fields: dict[str, Any]) -> None:
    if fields:
        vars(row).update(fields)
        row.save()


def broken_rule(name: str, pattern: str) -> None:
    """Store a redaction rule that nobody checked, as a restored database may hold it."""
    RedactionRule.objects.create(name=name, label="BROKEN", pattern=pattern)


ORDERS: dict[str, Callable[..., object]] = {
    "backend": backend,
    "account": account,
    "provider": provider,
    "login": login,
    "edit": edit,
    "rows": rows,
    "clear": clear,
    "route": lambda pattern, targets, template="": route_add(pattern, targets, template) and None,
    "template": lambda name, spec: template_set(name, spec) and None,
    "template_damage": template_damage,
    "key": lambda name, **more: key_services.key_add(name, **more)[1],
    "key_set": lambda name, **more: key_services.key_set(name, **more) and None,
    "key_revoke": lambda name: key_services.key_revoke(name) and None,
    "key_spent": key_spent,
    "forget-key": lambda name: ClientKey.objects.get(name=name).delete() and None,
    "pause": lambda alias: services.account_pause(alias) and None,
    "resume": lambda alias: services.account_resume(alias) and None,
    "remove": services.account_remove,
    "rule": lambda name, label, pattern: rule_add(name, label, pattern) and None,
    "rule_remove": rule_remove,
    "rule_switch": lambda name, on: rule_switch(name, is_on=on) and None,
    "broken_rule": broken_rule,
}


def carry_out(orders: list[dict[str, Any]]) -> dict[str, object]:
    """All of them or none."""
    try:
        with transaction.atomic():
            results = [ORDERS[order.pop("do")](**order) for order in orders]
        return {"results": results, "version": ConfigVersion.current()}
    except Exception as exc:
        return {"error": repr(exc)}


for line in sys.stdin:
    sys.stdout.write(json.dumps(carry_out(json.loads(line))) + "\n")
    sys.stdout.flush()
