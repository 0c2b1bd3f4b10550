from __future__ import annotations

import re

import pytest
from django.template.loader import render_to_string

from accounts.services import account_pause
from accounts.setup import backend_add_with_account
from accounts.snapshot import Demo, load_snapshot
from backends.services import NewBackend
from proxyapp.front import front_page

pytestmark = pytest.mark.django_db


def test_without_a_backend_the_page_says_that_the_answers_are_invented() -> None:
    page = front_page(load_snapshot(Demo("http://127.0.0.1:9")), keys_needed=False)
    assert "built-in simulated model" in page
    assert "python manage.py backend add openai" in page


def test_the_page_names_backends_and_accounts_and_no_key() -> None:
    backend_add_with_account(NewBackend("openai"), "sk-canary-0123456789abcdef")
    account_pause("openai")
    page = front_page(load_snapshot(), keys_needed=True)
    assert "https://api.openai.com/v1" in page
    assert "openai (paused)" in page
    assert "canary" not in page
    assert "simulated" not in page


@pytest.mark.parametrize("template", ["front.html", "login_link_spent.html"])
def test_the_pages_need_nothing_inline_and_nothing_from_elsewhere(template: str) -> None:
    page = render_to_string(template, {"base_url": "http://127.0.0.1:3456", "version": "1"})
    assert not re.search(r"<style|<script|\sstyle=|\son\w+=|javascript:", page)
    assert re.findall(r'(?:src|href)="(?!/|data:,)([^"]*)"', page) == []
