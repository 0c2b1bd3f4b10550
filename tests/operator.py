"""An operator at the pages of a running Patchbay: logged in over its login link, with a browser's cookies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http.cookies import SimpleCookie
from typing import Any

from tests.patchbay import Answer, Patchbay


class Operator:
    """Logs in with the one-time link that the server printed: one for each start of a server."""

    def __init__(self, patchbay: Patchbay) -> None:
        self.patchbay = patchbay
        self.cookies: dict[str, str] = {}
        link = next(word for word in patchbay.log.split() if "/admin/login-link/" in word)
        answer = self.get(link.removeprefix(patchbay.url))
        assert answer.status == 302, answer.body
        page = self.get("/dashboard/live/").body.decode()
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        assert found, page
        self.token = found[1]

    @property
    def headers(self) -> dict[str, str]:
        """What a browser would send along."""
        return {"cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """A page."""
        return self._keep_cookies(self.patchbay.get(path, {**self.headers, **(headers or {})}))

    def post(self, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
        """What a page's script would send: JSON, with the page's token."""
        told = {**self.headers, "x-csrftoken": self.token, **(headers or {})}
        return self._keep_cookies(self.patchbay.post(path, body or {}, told))

    def _keep_cookies(self, answer: Answer) -> Answer:
        for name, morsel in _cookies(answer.headers).items():
            self.cookies[name] = morsel.value
        return answer


def _cookies(headers: Mapping[str, str]) -> SimpleCookie[Any]:
    """Of one answer; several come joined by commas when they were folded into one header."""
    return SimpleCookie(headers.get("set-cookie", ""))
