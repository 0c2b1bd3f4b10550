"""Which base URLs and which addresses we are willing to talk to.

Rule: a URL is parsed once, here; the same BaseUrl is checked and connected to. A name is judged again by
the addresses it resolves to, at connect time, and the connection goes to exactly the address that passed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from backends.errors import AddressRefused

Address = IPv4Address | IPv6Address

_DEFAULT_PORTS = {"http": 80, "https": 443}
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):(?://(?P<authority>[^/]*)(?P<path>/.*)?)?.*", re.DOTALL
)
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]]*\]|[^\[\]:]*)(?::(?P<port>[0-9]*))?")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_PATH = re.compile(r"(/[A-Za-z0-9._~%!$&'()*+,;=:@-]+)*/?")
_DOT_SEGMENT = re.compile(r"/(\.|%2e){1,2}(/|$)", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

_METADATA_NAMES = frozenset(
    ["metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal"]
)
_LOCAL_SUFFIXES = (
    *(".localhost", ".localdomain", ".local", ".lan", ".home", ".home.arpa", ".internal", ".intranet"),
    *(".private", ".corp", ".svc", ".test", ".ts.net"),
)

_REFUSED: list[tuple[IPv4Network | IPv6Network, str]] = [
    (ip_network(network), reason)
    for network, reason in (
        ("100.100.100.200/32", "a cloud metadata service"),
        ("168.63.129.16/32", "a cloud metadata service"),
        ("192.0.0.0/24", "a reserved range in which a cloud metadata service lives"),
        ("169.254.169.254/32", "a cloud metadata service"),
        ("169.254.0.0/16", "a link-local address"),
        ("0.0.0.0/8", "an unspecified address"),
        ("224.0.0.0/4", "a multicast address"),
        ("240.0.0.0/4", "a reserved or broadcast address"),
        ("fd00:ec2::/32", "a cloud metadata service"),
        ("fd20:ce::254/128", "a cloud metadata service"),
        ("fd00:42::42/128", "a cloud metadata service"),
        ("fe80::/10", "a link-local address"),
        ("fec0::/10", "a site-local address, a range that was withdrawn"),
        ("ff00::/8", "a multicast address"),
        ("::/128", "an unspecified address"),
        ("64:ff9b:1::/48", "an address of a local translation range, which can hide any IPv4 address"),
    )
]
_PRIVATE = [
    ip_network(network)
    for network in (
        *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"),
        *("::1/128", "fc00::/7"),
    )
]
_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")
_TRANSLATED = IPv6Network("::ffff:0:0:0/96")
_ISATAP_MARKS = (0x00005EFE, 0x02005EFE)


class BadBaseUrl(ValueError):
    """The text is not a base URL that we connect to. The message is written for the person who typed it."""


@dataclass(frozen=True, slots=True)
class BaseUrl:
    """Where a backend lives, normalised: lower-case host, no trailing dot, path without trailing slash."""

    scheme: str
    host: str  # a name or an address, IPv6 without brackets
    port: int
    path: str  # "" or "/v1"
    authority: str = field(init=False, compare=False)  # as in a Host header: the default port is left out

    def __post_init__(self) -> None:
        host = f"[{self.host}]" if ":" in self.host else self.host
        shown = host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"
        object.__setattr__(self, "authority", shown)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def address(self) -> Address | None:
        """The address, if the host is written as one."""
        return _literal(self.host)

    @property
    def is_private(self) -> bool:
        """Whether it is on this machine or in a private network, as far as the host itself tells."""
        if address := self.address:
            return _is_private(address)
        return "." not in self.host or self.host.endswith(_LOCAL_SUFFIXES)


def check_base_url(text: str) -> BaseUrl:
    """Parse and judge what a person wrote as a base URL. Raises BadBaseUrl. Looks nothing up."""
    text = text.strip(" ")
    _check_characters(text)
    parts = _URL.fullmatch(text)
    scheme = parts["scheme"].lower() if parts else ""
    if parts is None or scheme not in _DEFAULT_PORTS or not parts["authority"]:
        raise BadBaseUrl(
            "A base URL starts with https://, or with http:// inside your own network, "
            "like https://api.example.com/v1."
        )
    host, port = _host_and_port(parts["authority"], scheme)
    base = BaseUrl(scheme, host, port, _checked_path(parts["path"] or ""))
    _check_host(base)
    return base


def check_address(address: Address | str, scheme: str) -> Address:
    """The address, if a connection with this scheme may go there. Raises AddressRefused."""
    if isinstance(address, str):
        address = ip_address(address)
    if reason := refusal(address, scheme):
        raise AddressRefused(f"No connection to {address}: {reason}. Check the backend's base URL.")
    return address


def refusal(address: Address, scheme: str) -> str | None:
    """Why we do not connect to this address with this scheme, or None if we do."""
    hidden = [address, *_embedded(address)]
    for one in hidden:
        for network, reason in _REFUSED:
            if one.version == network.version and one in network:
                return f"it is {reason}"
    if isinstance(address, IPv6Address) and address.scope_id:
        return "an address with a zone leads to a link-local network"
    if scheme == "http" and not _is_private(hidden[-1]):
        return "plain http is for loopback and private networks only; use https for a public host"
    return None


def _is_private(address: Address) -> bool:
    return any(address.version == network.version and address in network for network in _PRIVATE)


def _embedded(address: Address) -> list[Address]:
    """The IPv4 addresses that an IPv6 address stands for; the last one is where packets end."""
    if isinstance(address, IPv4Address) or int(address) <= 1:
        return []
    low = IPv4Address(int(address) & 0xFFFFFFFF)
    if mapped := address.ipv4_mapped:
        return [mapped]
    if outer := address.sixtofour:
        return [outer]
    if tunnel := address.teredo:
        return list(tunnel)
    if address in _NAT64 or address in _COMPATIBLE or address in _TRANSLATED:
        return [low]
    if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP_MARKS:
        return [low]
    return []


def _check_characters(text: str) -> None:
    if not text:
        raise BadBaseUrl("The base URL is empty. Write it like https://api.example.com/v1.")
    if len(text) > 2000:
        raise BadBaseUrl("The base URL is longer than 2000 characters. Check what was pasted.")
    if not text.isascii():
        raise BadBaseUrl(
            "The base URL has characters outside ASCII. Write an international name in its xn-- form."
        )
    if any(character <= " " or character == "\x7f" for character in text):
        raise BadBaseUrl("The base URL has a space or a control character in it. Remove it.")
    if "\\" in text:
        raise BadBaseUrl("The base URL has a backslash in it. Use forward slashes.")
    for mark, name in (("#", "a fragment (#…)"), ("?", "a query (?…)")):
        if mark in text:
            raise BadBaseUrl(f"A base URL has no {name[2:]}. Remove it.")


def _host_and_port(authority: str, scheme: str) -> tuple[str, int]:
    if "@" in authority:
        raise BadBaseUrl("A base URL holds no user name or password. Give the key to the account instead.")
    match = _AUTHORITY.fullmatch(authority)
    if match is None or not match["host"]:
        raise BadBaseUrl(
            "The host or port in the base URL cannot be read. Write it like https://host:8443/v1."
        )
    port = _port(match["port"], scheme)
    if match["host"].startswith("["):
        return _bracketed(match["host"][1:-1]), port
    return _name_or_ipv4(match["host"].lower()), port


def _port(digits: str | None, scheme: str) -> int:
    if digits is None:
        return _DEFAULT_PORTS[scheme]
    if not digits or len(digits) > 5 or not 1 <= int(digits) <= 65535:
        raise BadBaseUrl("The port in the base URL must be a number from 1 to 65535.")
    return int(digits)


def _bracketed(text: str) -> str:
    try:
        address = IPv6Address(text)
    except AddressValueError as error:
        raise BadBaseUrl("The address in brackets is not an IPv6 address.") from error
    if address.scope_id is not None:
        raise BadBaseUrl("An IPv6 address with a zone (%…) is link-local, and we do not connect there.")
    return str(address.ipv4_mapped or address)


def _name_or_ipv4(host: str) -> str:
    host = host.removesuffix(".")
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        if _literal(host) is None:
            raise BadBaseUrl("Write an IPv4 address as four decimal numbers, like 192.168.1.20.")
        return host
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise BadBaseUrl("The host name in the base URL is not valid. Check its spelling.")
    return host


def _checked_path(path: str) -> str:
    if not _PATH.fullmatch(path) or _DOT_SEGMENT.search(path):
        raise BadBaseUrl(
            "The path in the base URL has an empty or dot segment, or a character that must be escaped."
        )
    return path.rstrip("/")


def _check_host(base: BaseUrl) -> None:
    if address := base.address:
        if reason := refusal(address, base.scheme):
            raise BadBaseUrl(f"We do not connect to {base.host}: {reason}.")
    elif base.host in _METADATA_NAMES:
        raise BadBaseUrl(f"We do not connect to {base.host}: it is a cloud metadata service.")
    elif base.scheme == "http" and "." in base.host and not base.host.endswith(_LOCAL_SUFFIXES):
        raise BadBaseUrl(
            f"Plain http to {base.host} would show your key to the network. Use https://, or, for a server "
            "in your own network, its private address or a name under .local, .lan or .internal."
        )


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
