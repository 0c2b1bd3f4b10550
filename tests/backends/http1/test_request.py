from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.errors import HeaderRefused
from backends.http1.request import build_request, quoted_target


def head(
    *headers: tuple[bytes, bytes], method: bytes = b"POST", target: bytes = b"/", body: bytes = b""
) -> bytes:
    return build_request(method, target, "host:1", headers, body).head


def test_a_request_carries_its_headers_and_what_we_say_ourselves() -> None:
    assert head((b"x-api-key", b"k"), (b"Accept", b"*/*"), target=b"/v1/m?beta=true", body=b"abc") == (
        b"POST /v1/m?beta=true HTTP/1.1\r\nhost: host:1\r\nx-api-key: k\r\nAccept: */*\r\n"
        b"content-length: 3\r\naccept-encoding: identity\r\n\r\n"
    )


def test_headers_that_govern_the_connection_are_ours_alone() -> None:
    theirs = [
        (b"Host", b"evil"),
        (b"Content-Length", b"0"),
        (b"transfer-encoding", b"chunked"),
        (b"Connection", b"close"),
        (b"accept-encoding", b"br"),
        (b"Expect", b"100-continue"),
        (b"Upgrade", b"h2c"),
    ]
    assert head(*theirs, body=b"abc") == head(body=b"abc")


def test_a_get_has_no_length_and_an_empty_post_has() -> None:
    assert b"content-length" not in head(method=b"GET")
    assert b"content-length: 0\r\n" in head(method=b"POST")


@pytest.mark.parametrize("value", [b"a\r\nb: c", b"a\nb", b"a\rb", b"a\0b", b"a\x7fb", b"a\x0bb"])
def test_a_value_that_would_break_out_of_its_line_is_refused_without_being_shown(value: bytes) -> None:
    with pytest.raises(HeaderRefused, match="x-api-key") as caught:
        head((b"x-api-key", b"sk-secret" + value))
    assert "sk-secret" not in str(caught.value)
    assert caught.value.request_sent == "none"


@pytest.mark.parametrize("name", [b"", b"a b", b"a:", b"a\r\n", "ä".encode()])
def test_a_name_that_is_no_token_is_refused(name: bytes) -> None:
    with pytest.raises(HeaderRefused):
        head((name, b"v"))


@pytest.mark.parametrize("method", [b"", b"get", b"GET /x", b"G\r\n"])
def test_a_method_that_is_none_is_refused(method: bytes) -> None:
    with pytest.raises(HeaderRefused):
        head(method=method)


def test_a_request_does_not_show_its_credential() -> None:
    assert "sk-secret" not in repr(
        build_request(b"GET", b"/", "h", [(b"x-api-key", b"sk-secret")], b"sk-secret")
    )


@given(st.binary(max_size=40))
def test_no_target_breaks_the_request_line(target: bytes) -> None:
    quoted = quoted_target(target)
    assert re.fullmatch(rb"[\x21\x22\x24-\x7e]*", quoted)
    assert re.sub(rb"%([0-9A-F]{2})", b"", quoted) == re.sub(rb"%[0-9A-F]{2}|[^\x21-\x7e]|#", b"", target)


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_a_header_is_one_line_or_refused(name: bytes, value: bytes) -> None:
    try:
        written = head((name, value))
    except HeaderRefused:
        return
    assert written.count(b"\r\n") == written.count(b"\n") == written.count(b"\r") <= 6
    assert b"\0" not in written
