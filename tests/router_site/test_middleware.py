from __future__ import annotations

import pytest
from django.http import HttpResponse
from django.test import AsyncClient, Client, RequestFactory

from proxyapp.page_headers import CONTENT_POLICY
from router_site.middleware import PageHeadersMiddleware


@pytest.mark.django_db
def test_every_page_carries_the_policy_and_is_not_stored() -> None:
    answer = Client().get("/admin/login/")
    assert answer["Content-Security-Policy"] == CONTENT_POLICY
    assert answer["Cache-Control"] == "no-store"


@pytest.mark.django_db
async def test_the_same_when_the_pages_run_asynchronously() -> None:
    answer = await AsyncClient().get("/admin/login/")
    assert answer["Content-Security-Policy"] == CONTENT_POLICY


def test_the_policy_allows_nothing_inline_and_nothing_from_elsewhere() -> None:
    assert "default-src 'none'" in CONTENT_POLICY
    assert "unsafe" not in CONTENT_POLICY
    assert "http" not in CONTENT_POLICY


async def test_it_works_around_sync_and_async_views() -> None:
    request = RequestFactory().get("/")

    async def later(_: object) -> HttpResponse:
        return HttpResponse("ok")

    plain = PageHeadersMiddleware(lambda _: HttpResponse("ok"))(request)
    assert isinstance(plain, HttpResponse)
    assert plain["X-Content-Type-Options"] == "nosniff"
    awaited = PageHeadersMiddleware(later)(request)
    assert not isinstance(awaited, HttpResponse)
    assert (await awaited)["X-Content-Type-Options"] == "nosniff"  # type: ignore[misc, index]
