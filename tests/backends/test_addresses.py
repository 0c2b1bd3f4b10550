from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backends.addresses import BadBaseUrl, BaseUrl, check_address, check_base_url, refusal
from backends.errors import AddressRefused


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("https://api.openai.com/v1", "https://api.openai.com/v1"),
        ("https://API.OpenAI.com/v1/", "https://api.openai.com/v1"),
        (" HTTPS://api.anthropic.com ", "https://api.anthropic.com"),
        ("https://api.example.com.:443/", "https://api.example.com"),
        ("https://api.example.com:8443/a/b%20c/v1", "https://api.example.com:8443/a/b%20c/v1"),
        ("https://8.8.8.8", "https://8.8.8.8"),
        ("https://192.168.1.20/v1", "https://192.168.1.20/v1"),
        ("https://[2606:4700:0:0::1111]:443", "https://[2606:4700::1111]"),
        ("https://xn--fiqs8s.example", "https://xn--fiqs8s.example"),
        ("http://127.0.0.1:11434/v1", "http://127.0.0.1:11434/v1"),
        ("http://[::1]:80", "http://[::1]"),
        ("http://[::ffff:127.0.0.1]:8000", "http://127.0.0.1:8000"),
        ("http://localhost:1234/v1", "http://localhost:1234/v1"),
        ("http://my_ollama:11434", "http://my_ollama:11434"),
        ("http://gpu.lan:8000", "http://gpu.lan:8000"),
        ("http://10.1.2.3", "http://10.1.2.3"),
        ("http://172.31.0.1", "http://172.31.0.1"),
        ("http://100.64.0.7", "http://100.64.0.7"),
        ("http://[fd12:3456::1]:8000", "http://[fd12:3456::1]:8000"),
    ],
)
def test_good_base_urls_are_normalised(text: str, normal: str) -> None:
    assert str(check_base_url(text)) == normal


def test_the_parts_of_a_base_url() -> None:
    base = check_base_url("http://[fd12::1]:8000/v1/")
    assert base == BaseUrl("http", "fd12::1", 8000, "/v1")
    assert base.authority == "[fd12::1]:8000"
    assert base.address == IPv6Address("fd12::1")
    assert check_base_url("https://api.example.com").address is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("api.openai.com/v1", "starts with https://"),
        ("localhost:8000/v1", "starts with https://"),
        ("https:///v1", "starts with https://"),
        ("https:api.example.com", "starts with https://"),
        ("file:///etc/passwd", "starts with https://"),
        ("gopher://host/", "starts with https://"),
        ("unix:/var/run/docker.sock", "starts with https://"),
        ("javascript:alert(1)", "starts with https://"),
        ("ftp://host/", "starts with https://"),
        ("https://user:pw@host/", "user name"),
        ("https://good.example@evil.example/", "user name"),
        ("https://good.example\\@evil.example/", "backslash"),
        ("https://host/#top", "fragment"),
        ("https://host/?a=b", "query"),
        ("https://ho st/", "control"),
        ("https://host/\r\nx: y", "control"),
        ("https://host/v1\n", "control"),
        ("https://ho\tst/", "control"),
        ("https://host\x00/", "control"),
        ("https://１２７.0.0.1/", "xn--"),
        ("https://bücher.example/", "xn--"),
        ("https://host。example/", "xn--"),
        ("https://host:0/", "port"),
        ("https://host:65536/", "port"),
        ("https://host:/", "port"),
        ("https://host:80:80/", "host or port"),
        ("https://host:+80/", "host or port"),
        ("https://[::1/", "host or port"),
        ("https://::1/", "host or port"),
        ("https://[v1.x]/", "IPv6"),
        ("https://[fe80::1%25eth0]/", "IPv6|zone"),
        ("https://[fe80::1%eth0]/", "zone"),
        ("https://a..b/", "host name"),
        ("https://-a.example/", "host name"),
        ("https://exa%6dple.com/", "host name"),
        ("https://host../", "host name"),
        ("https://host/a//b", "path"),
        ("https://host/a/../b", "path"),
        ("https://host/%2e%2E/b", "path"),
        ("https://host/a/.", "path"),
        ("https://host/a<b", "path"),
        ("https://host/" + "a" * 2000, "2000"),
        ("http://api.openai.com/v1", "Plain http"),
        ("http://8.8.8.8", "plain http"),
        ("http://[2606:4700::1111]", "plain http"),
        ("http://[2002:808:808::1]", "plain http"),
        ("http://localhost.evil.example", "Plain http"),
    ],
)
def test_bad_base_urls_are_refused_with_a_reason(text: str, says: str) -> None:
    with pytest.raises(BadBaseUrl, match=says):
        check_base_url(text)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.1.1",
        "169.254.169.254.",
        "2852039166",
        "0xa9fea9fe",
        "0XA9.0xfe.0xa9.0xfe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "169.16689662",
        "0251.254.169.254",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[::a9fe:a9fe]",
        "[::ffff:0:a9fe:a9fe]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::a9fe:a9fe]",
        "[2002:a9fe:a9fe::]",
        "[2001:0:a9fe:a9fe::1]",
        "[2001:0:4136:e378:8000:63bf:5601:5601]",
        "[2001:db8::5efe:a9fe:a9fe]",
        "[fe80::1]",
        "[fec0::1]",
        "[fd00:ec2::254]",
        "[fd20:ce::254]",
        "[ff02::1]",
        "[::]",
        "0.0.0.0",
        "0",
        "0.1.2.3",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "224.0.0.1",
        "255.255.255.255",
        "metadata.google.internal",
        "METADATA.google.internal.",
        "metadata",
    ],
)
def test_metadata_link_local_and_unspecified_hosts_are_never_accepted(scheme: str, host: str) -> None:
    with pytest.raises(BadBaseUrl):
        check_base_url(f"{scheme}://{host}/latest")


def test_an_address_found_by_a_lookup_is_judged_by_the_scheme() -> None:
    assert check_address("10.0.0.1", "http") == IPv4Address("10.0.0.1")
    assert check_address("8.8.8.8", "https") == IPv4Address("8.8.8.8")
    with pytest.raises(AddressRefused, match="plain http"):
        check_address("8.8.8.8", "http")
    with pytest.raises(AddressRefused, match="metadata"):
        check_address("169.254.169.254", "https")
    with pytest.raises(AddressRefused, match="zone"):
        check_address("fd12::1%eth0", "https")


FORBIDDEN = st.one_of(
    st.just(IPv4Address("169.254.169.254")),
    st.just(IPv4Address("100.100.100.200")),
    st.integers(0xA9FE0000, 0xA9FEFFFF).map(IPv4Address),
    st.integers(0xE0000000, 0xFFFFFFFF).map(IPv4Address),
    st.integers(0, 0x00FFFFFF).map(IPv4Address),
)


@st.composite
def spellings(draw: st.DrawFn) -> str:
    """Some way to write a forbidden address as the host of a URL."""
    address = draw(FORBIDDEN)
    number, parts = int(address), address.packed
    ways = [
        f"{address}",
        f"{address}.",
        f"{number}",
        f"0x{number:x}",
        f"0{number:o}",
        ".".join(f"0x{part:x}" for part in parts),
        ".".join(f"0{part:o}" for part in parts),
        f"{parts[0]}.{parts[1]}.{number & 0xFFFF}",
        f"{parts[0]}.{number & 0xFFFFFF}",
        ".".join(draw(st.sampled_from([f"{part}", f"0x{part:X}", f"0{part:o}"])) for part in parts),
        f"[::ffff:{address}]",
        f"[::ffff:0:{address}]",
        f"[64:ff9b::{address}]",
        f"[{IPv6Address((0x2002 << 112) | (number << 80) | draw(st.integers(0, 2**80 - 1)))}]",
        f"[{IPv6Address((0x20010000 << 96) | (number << 64) | draw(st.integers(0, 2**64 - 1)))}]",
        f"[{IPv6Address((0x20010000 << 96) | (number ^ 0xFFFFFFFF))}]",
    ]
    return draw(st.sampled_from(ways))


@given(st.sampled_from(["http", "https"]), spellings())
def test_no_spelling_of_a_forbidden_address_is_accepted(scheme: str, host: str) -> None:
    with pytest.raises(BadBaseUrl):
        check_base_url(f"{scheme}://{host}:8080/v1")


@given(st.integers(0, 2**32 - 1).map(IPv4Address).filter(lambda address: address.is_global))
@example(IPv4Address("1.1.1.1"))
def test_public_addresses_need_https(address: IPv4Address) -> None:
    if refusal(address, "https") is None:
        assert check_base_url(f"https://{address}").address == address
    with pytest.raises(BadBaseUrl):
        check_base_url(f"http://{address}")


URL_TEXT = st.text(st.sampled_from("htps:/.[]0123456789abcdefx@%#?\\-_ \t\nF１。é"), max_size=40)


@given(URL_TEXT.map(lambda text: f"https://{text}") | URL_TEXT | st.text(max_size=60))
@example("https://0x7f.1")
@example("https://127.1")
def test_what_is_accepted_is_what_a_connection_would_go_to(text: str) -> None:
    """The oracle is the system's own reading of the host: a number to it is the same address to us."""
    try:
        base = check_base_url(text)
    except BadBaseUrl:
        return
    assert check_base_url(str(base)) == base
    try:
        rows = socket.getaddrinfo(base.host, base.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except OSError:
        assert base.address is None
        return
    assert [ip_address(row[4][0]) for row in rows] == [base.address]
    assert base.address is not None
    assert refusal(base.address, base.scheme) is None
