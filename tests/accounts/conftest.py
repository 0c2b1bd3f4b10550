from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client


@pytest.fixture
def admin_client(db: None) -> Client:
    """A browser in which an admin is logged in. CSRF is enforced, as in production."""
    client = Client()
    client.force_login(User.objects.create_superuser("ann", password=None))
    return client
