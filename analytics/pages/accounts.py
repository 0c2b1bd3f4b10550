"""Accounts and backends: what each has left, what keeps it from serving, and the buttons for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponseRedirect, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from accounts.admin_accounts import AccountAdmin
from accounts.models import Account
from accounts.pool_view import AccountView
from accounts.status import CredentialStatus, credential_status
from analytics.pages.forecast_marks import AccountGauges, account_gauges
from analytics.pages.frame import needs, show_fresh, staff_page
from analytics.pages.live_state import LiveState, live_state
from analytics.pages.queries import Spent, spent_by_account
from analytics.pages.window_curves import DAYS, window_curves
from analytics.usage_sums import Sums
from backends.admin_buttons import run_safely
from backends.config import BackendConfig

ACTIONS = ("test", "pause", "resume")
NOTHING = Spent(Sums(), Sums())


@dataclass(frozen=True, slots=True)
class AccountPanel:
    """All that the page tells of one account. `pk`: None for the built-in one, which has no row."""

    shown: AccountGauges
    credential: CredentialStatus
    pk: int | None
    spent: Spent

    @property
    def view(self) -> AccountView:
        """The account as the pool sees it."""
        return self.shown.view

    @property
    def may_pause(self) -> bool:
        """Whether it is in the pool."""
        return not self.view.account.is_paused

    @property
    def may_resume(self) -> bool:
        """Whether there is anything that a resume would end."""
        return (
            self.view.obstacle is not None
            or self.view.standing.obstacle is not None
            or self.view.reason is not None
        )

    @property
    def recovers_at(self) -> datetime | None:
        """When the next try is due; None when that takes somebody's help, or nothing is in the way."""
        obstacle = self.view.obstacle
        if obstacle is None or obstacle.recovers_at is None:
            return None
        return datetime.fromtimestamp(self.view.wall + (obstacle.recovers_at - self.view.now), UTC)

    @property
    def expiry(self) -> str:
        """When its credential ends; "" when nobody says."""
        return self.credential.expiry(self.view.wall)


@staff_page
@needs("accounts.view_account")
def accounts_page(request: HttpRequest) -> HttpResponseBase:
    """Every backend with its accounts."""
    state = live_state()
    context: dict[str, Any] = {
        "state": state,
        "backends": panels(state),
        "days": days_of(request),
        "spans": DAYS,
    }
    context["may_act"] = request.user.has_perm("accounts.change_account")
    return show_fresh(request, "dashboard/accounts.html", "accounts", context)


def panels(state: LiveState) -> list[tuple[BackendConfig, list[AccountPanel]]]:
    """By backend, in order. Two queries."""
    pks: dict[str, int] = dict(Account.objects.values_list("uid", "pk"))
    money = spent_by_account(timezone.now())
    found: dict[str, list[AccountPanel]] = {}
    for item in account_gauges(state.accounts):
        account = item.view.account
        panel = AccountPanel(
            shown=item,
            credential=credential_status(account, item.view.wall, is_refused=item.view.standing.is_refused),
            pk=pks.get(account.uid),
            spent=money.get(account.alias, NOTHING),
        )
        found.setdefault(account.backend, []).append(panel)
    return [(backend, found.get(backend.name, [])) for backend in state.snapshot.routing.backends.values()]


@staff_page
@needs("accounts.view_account")
@require_GET
def account_windows(request: HttpRequest, alias: str) -> HttpResponseBase:
    """The chart of one account's windows, as JSON."""
    return JsonResponse(window_curves(alias, days_of(request), timezone.now()))


def days_of(request: HttpRequest) -> int:
    """How many days the charts show."""
    text = request.GET.get("days", "")
    return int(text) if text in {str(number) for number in DAYS} else 7


@staff_page
@needs("accounts.change_account")
@require_POST
def account_act(request: HttpRequest, alias: str, action: str) -> HttpResponseBase:
    """A button of an account, the same as in the admin, with its line in the account's history there."""
    row = Account.objects.select_related("backend").filter(alias=alias).first()
    button = next((found for found in AccountAdmin.buttons if found.name == action), None)
    if row is None or button is None or action not in ACTIONS:
        raise Http404
    pressed = run_safely(button, row)
    if button.is_change and pressed.ok:
        admin.site.get_model_admin(Account).log_change(request, row, pressed.text)
    messages.add_message(request, messages.SUCCESS if pressed.ok else messages.ERROR, pressed.text)
    return HttpResponseRedirect(f"{reverse('accounts')}#{quote(alias)}")
