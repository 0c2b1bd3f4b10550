"""Which headers pass, in both directions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxyapp.headers import client_headers, upstream_headers


def test_the_protocols_own_headers_go_upstream_as_they_are() -> None:
    sent = {
        b"anthropic-version": b"2023-06-01",
        b"anthropic-beta": b"a,b, c",
        b"anthropic-whatever-new": b"1",
        b"openai-organization": b"org",
        b"x-stainless-lang": b"python",
        b"user-agent": b"tool/1.0",
        b"content-type": b"application/json",
        b"http-referer": b"https://my.app",
    }
    assert dict(upstream_headers(sent)) == sent


def test_credentials_cookies_and_hop_by_hop_headers_stay_here() -> None:
    kept = b"authorization x-api-key x-patchbay-key cookie referer host content-length content-encoding"
    kept += b" accept-encoding x-forwarded-for forwarded via te trailer upgrade proxy-authorization transfer-encoding"
    kept += b" expect keep-alive connection origin sec-fetch-site x-real-ip x-unknown api-key x-goog-api-key"
    passed = dict(upstream_headers(dict.fromkeys(kept.split(), b"secret")))
    assert passed == {b"user-agent": b"patchbay"}


def test_headers_that_connection_nominates_stay_here() -> None:
    sent = {b"connection": b"close, Anthropic-Secret", b"anthropic-secret": b"1", b"anthropic-beta": b"x"}
    assert b"anthropic-secret" not in dict(upstream_headers(sent))
    assert dict(upstream_headers(sent))[b"anthropic-beta"] == b"x"


def test_rate_limits_retry_advice_and_request_ids_reach_the_client() -> None:
    came = [
        (b"retry-after", b"7835"),
        (b"x-should-retry", b"true"),
        (b"anthropic-ratelimit-unified-5h-utilization", b"1.01"),
        (b"x-ratelimit-reset-tokens", b"6m0s"),
        (b"request-id", b"req_1"),
        (b"openai-processing-ms", b"12"),
        (b"content-type", b"application/json"),
    ]
    assert client_headers(came) == {name.decode(): value.decode() for name, value in came}


def test_cookies_framing_and_organisation_ids_do_not_reach_the_client() -> None:
    names = b"set-cookie connection transfer-encoding content-length content-encoding server location"
    names += b" access-control-allow-origin strict-transport-security anthropic-organization-id openai-organization"
    assert client_headers([(name, b"x") for name in names.split()]) == {}


@given(st.dictionaries(st.binary(min_size=1, max_size=20), st.binary(max_size=20)))
def test_whatever_comes_no_credential_passes(headers: dict[bytes, bytes]) -> None:
    passed = dict(upstream_headers({**headers, b"authorization": b"Bearer s", b"x-api-key": b"s"}))
    assert b"authorization" not in passed
    assert b"x-api-key" not in passed
