from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from accounts.admin_access import admin_set_password, login_link_make, login_link_url, login_link_use
from accounts.models import LoginLink
from backends.services import ServiceError

pytestmark = pytest.mark.django_db


def test_a_login_link_works_once() -> None:
    token = login_link_make()
    assert token not in LoginLink.objects.get().digest
    user = login_link_use(token)
    assert user is not None
    assert user.is_superuser
    assert login_link_use(token) is None


def test_a_new_login_link_ends_the_old_one() -> None:
    old = login_link_make()
    login_link_make()
    assert login_link_use(old) is None


def test_a_login_link_ends_after_a_quarter_of_an_hour() -> None:
    token = login_link_make()
    LoginLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert login_link_use(token) is None


def test_the_link_leads_to_this_machine() -> None:
    assert login_link_url().startswith("http://127.0.0.1:")


def test_the_first_link_makes_the_first_admin_without_a_password() -> None:
    assert not User.objects.exists()
    login_link_use(login_link_make())
    user = User.objects.get()
    assert not user.has_usable_password()
    login_link_use(login_link_make())
    assert User.objects.count() == 1


def test_an_admin_password_is_checked_and_can_be_changed() -> None:
    with pytest.raises(ServiceError, match="too short"):
        admin_set_password("ann", "12")
    assert not User.objects.exists()
    assert admin_set_password("ann", "correct-horse-9") is True
    assert admin_set_password("ann", "battery-staple-7") is False
    assert User.objects.get().check_password("battery-staple-7")
