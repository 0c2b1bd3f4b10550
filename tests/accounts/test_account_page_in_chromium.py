"""An account's page in a real browser: its script shows what the kind needs, under the content policy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.patchbay import Patchbay
from tests.proxyapp.test_pages_in_chromium import CHROMIUM, browse, complaints

pytestmark = [
    pytest.mark.chromium,
    pytest.mark.skipif(
        CHROMIUM is None, reason="Chromium is not installed; .ci/run installs it from Debian packages"
    ),
]


def shown(dom: str, field: str) -> bool:
    """Whether the row of this field is there to be seen."""
    row = re.search(rf'<div class="form-row [^"]*field-{field}"[^>]*>', dom)
    assert row is not None, field
    return "hidden" not in row[0]


def test_the_form_shows_what_the_kind_needs(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("tok-0123456789abcdef")
    with Patchbay(home=tmp_path / "home") as patchbay:
        patchbay.manage("login", "--token-file", str(token))
        patchbay.manage("accounts", "add", "key", "--key-stdin", stdin="sk-0123456789abcdef")
        link = next(word for word in patchbay.log.split() if "/admin/login-link/" in word)
        browse(link, tmp_path / "profile")
        pages = [
            browse(f"{patchbay.url}/admin/accounts/account/{number}/change/", tmp_path / "profile")
            for number in (1, 2)
        ]
    follows, keyed = (dom for dom, _ in pages)
    assert [shown(follows, name) for name in ("token_file", "token_path", "secret")] == [True, True, False]
    assert [shown(keyed, name) for name in ("token_file", "token_path", "secret")] == [False, False, True]
    assert [line for _, log in pages for line in complaints(log)] == []
