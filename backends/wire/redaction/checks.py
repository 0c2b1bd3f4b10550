"""What a match has to pass besides its pattern: check digits, plausible parts, neighbours.

Each check gets the text and a match's place in it and gives the spans that are real, none if the match is not. Time is
linear in the match.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

Spans = list[tuple[int, int]]

# ISO 13616: the country of an account number tells its length (SWIFT, IBAN registry, release 98).
_IBAN_LENGTHS = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ DZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC SM",
    28: "AL AZ BY CY DO GT HN HU LB PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "NI",
    33: "LC RU",
}
_IBAN_LENGTH = {code.encode(): size for size, codes in _IBAN_LENGTHS.items() for code in codes.split()}
_IBAN_START = re.compile(rb"(?<![A-Z0-9])[A-Z]{2}[0-9]{2}")
# ISO/IEC 7812: the ranges of the large networks and the lengths that they issue.
_CARD = re.compile(
    rb"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:2[2-9]|[3-6]\d|7[01])\d{13}|2720\d{12}|3[47]\d{13}"
    rb"|3(?:0[0-5]|[689]\d)\d{11}|6(?:011|4[4-9]\d|5\d\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|62\d{14,17}"
)
_GROUPED = re.compile(rb"[0-9]+")
# An address whose domain ends like that is a file name: icon@2x.png.
_FILE_ENDINGS = frozenset(
    b"png jpg jpeg gif svg webp ico css scss js mjs ts tsx jsx map json html md py tgz".split()
)
_ENVIRONMENT = re.compile(rb"[A-Z][A-Z0-9_]*=[\"']?$")
_WORD = re.compile(rb"[A-Z]?[a-z_]+|[A-Z_]+")
_LETTER, _DIGIT = re.compile(rb"[A-Za-z]"), re.compile(rb"[0-9]")


def email(text: bytes, start: int, end: int) -> Spans:
    """No file name with a size in it, and not the `git@host` of a repository's address."""
    local, _, domain = text[start:end].partition(b"@")
    is_file = domain.rpartition(b".")[2].lower() in _FILE_ENDINGS
    return [] if is_file or local == b"git" else [(start, end)]


def mixed(text: bytes, start: int, end: int) -> Spans:
    """Letters and digits both: not a word, not a number."""
    value = text[start:end]
    return [(start, end)] if _LETTER.search(value) and _DIGIT.search(value) else []


def assigned(text: bytes, start: int, end: int) -> Spans:
    """A value behind a name such as `password`, unless it looks like a program's own words: it holds a digit, or is a
    long literal in quotes that is no plain word, or stands in an environment file (`DB_PASSWORD=…`)."""
    if _DIGIT.search(text, start, end):
        return [(start, end)]
    is_quoted = end - start >= 10 and text[start - 1 : start] in (b'"', b"'", b"`")
    is_literal = is_quoted and not _WORD.fullmatch(text, start, end)
    is_environment = end - start >= 8 and _ENVIRONMENT.search(text[max(0, start - 80) : start])
    return [(start, end)] if is_literal or is_environment else []


def phone(text: bytes, start: int, end: int) -> Spans:
    """8 to 15 digits (ITU-T E.164) that are no date, no decimal number and no part of something longer."""
    value = text[start:end]
    digits = len(_DIGIT.findall(value))
    before, after = text[max(0, start - 1) : start], text[end : end + 1]
    is_part = before.isalnum() or after.isalnum() or before in (b".", b"-", b"_", b"/") or after == b"_"
    is_date = value[:1] == b"+" and value[1:3] in (b"19", b"20") and value[5:6] in (b"-", b".")
    is_decimal = value.count(b".") == 1 and value[1:].replace(b".", b"").isdigit()
    return [(start, end)] if 8 <= digits <= 15 and not (is_part or is_date or is_decimal) else []


def iban(text: bytes, start: int, end: int) -> Spans:
    """Each account number in a run of capitals and digits: of its country's length, with right check digits."""
    found: Spans = []
    run = text[start:end]
    for match in _IBAN_START.finditer(run):
        size = _IBAN_LENGTH.get(match[0][:2])
        if size is None or (found and start + match.start() < found[-1][1]):
            continue
        stop = _stop(run, match.start(), size)
        if stop and not run[stop : stop + 1].isalnum() and _is_iban(run[match.start() : stop]):
            found.append((start + match.start(), start + stop))
    return found


def _stop(run: bytes, at: int, size: int) -> int:
    """Where `size` letters and digits from `at` on end; 0 if there are not so many."""
    part = run[at : at + 2 * size]
    for stop in range(size, len(part) + 1):
        if len(part[:stop].replace(b" ", b"").replace(b"-", b"")) == size:
            return at + stop
    return 0


def _is_iban(value: bytes) -> bool:
    plain = value.replace(b" ", b"").replace(b"-", b"").decode("ascii")
    return int("".join(str(int(char, 36)) for char in plain[4:] + plain[:4])) % 97 == 1


def card(text: bytes, start: int, end: int) -> Spans:
    """Each card number in a run of digits with single separators: a known network's range, and Luhn's check digit."""
    found: Spans = []
    groups = [(start + match.start(), start + match.end()) for match in _GROUPED.finditer(text[start:end])]
    first = 0
    while first < len(groups):
        last = _card_end(text, groups, first)
        if last is not None:
            found.append((groups[first][0], groups[last][1]))
        first = first + 1 if last is None else last + 1
    return found


def _card_end(text: bytes, groups: list[tuple[int, int]], first: int) -> int | None:
    """The last of the groups that make a card number together with group `first`."""
    digits, found = b"", None
    for last in range(first, min(first + 7, len(groups))):
        begin, stop = groups[last]
        if len(digits) + stop - begin > 19:
            break
        digits += text[begin:stop]
        if len(digits) > 12 and _CARD.fullmatch(digits) and _has_luhn(digits):
            found = last
    return found


def _has_luhn(digits: bytes) -> bool:
    """ISO/IEC 7812-1, annex B. A number of one repeated digit is made up."""
    doubled = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
    total = sum(doubled[char - 48] if at % 2 else char - 48 for at, char in enumerate(reversed(digits)))
    return total % 10 == 0 and len(set(digits)) > 1


def ip(text: bytes, start: int, end: int) -> Spans:
    """A valid address that is not this machine's own, and not a part of something longer."""
    value = text[start:end].decode("ascii")
    before, after = text[max(0, start - 1) : start], text[end : end + 1]
    is_part = before.isalnum() or after.isalnum() or before in (b".", b":", b"_", b"-") or after == b"_"
    if is_part or (after == b":" and b":" in text[start:end]):  # IPv4 may have a port behind it
        return []
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return []
    is_prose = address.version == 6 and (value.count(":") < 3 or not _DIGIT.search(text, start, end))
    return [] if is_prose or address.is_loopback or address.is_unspecified else [(start, end)]


CHECKS: dict[str, Callable[[bytes, int, int], Spans]] = {
    "email": email,
    "mixed": mixed,
    "assigned": assigned,
    "phone": phone,
    "iban": iban,
    "card": card,
    "ip": ip,
}
