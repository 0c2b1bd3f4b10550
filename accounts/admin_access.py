"""Who may enter the admin: one-time login links, and users with a password."""

from __future__ import annotations

import secrets
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from accounts.client_auth import digest_of
from accounts.models import LoginLink
from backends.services import ServiceError, one_line

LOGIN_LINK_MINUTES = 15


def login_link_make() -> str:
    """A fresh one-time token for the admin; only its hash is kept. Older unused ones stop working."""
    token = secrets.token_urlsafe(32)
    with transaction.atomic():
        LoginLink.objects.all().delete()
        expires = timezone.now() + timedelta(minutes=LOGIN_LINK_MINUTES)
        LoginLink.objects.create(digest=digest_of(token), expires_at=expires)
    return token


def login_link_url() -> str:
    """A fresh one-time link for a browser on this machine."""
    path = reverse("login-link", args=[login_link_make()], urlconf=settings.ROOT_URLCONF)
    return f"http://127.0.0.1:{settings.PATCHBAY_PORT}{path}"


def login_link_use(token: str) -> User | None:
    """The admin user, if the token is good; it is spent by this call. Makes the first admin user if there is none."""
    with transaction.atomic():
        spent = LoginLink.objects.filter(
            digest=digest_of(token), used_at__isnull=True, expires_at__gt=timezone.now()
        ).update(used_at=timezone.now())
        return admin_user() if spent else None


def admin_user() -> User:
    """The first active superuser; made, without a usable password, if there is none."""
    user = User.objects.filter(is_superuser=True, is_active=True).order_by("pk").first()
    return user or User.objects.create_superuser("admin", password=None)


@transaction.atomic
def admin_set_password(username: str, password: str) -> bool:
    """Make `username` an active superuser with this password. True if the user is new. Raises ServiceError."""
    found = User.objects.filter(username=username).first()
    user = found or User(username=username)
    try:
        validate_password(password, user)
        user.is_staff = user.is_superuser = user.is_active = True
        user.set_password(password)
        user.full_clean()
    except ValidationError as exc:
        raise ServiceError(one_line(exc)) from exc
    user.save()
    return found is None
