"""How to end an event that was forwarded only in part, so that no client takes it for a whole one.

What a client has received cannot be taken back. Yet its parser is still inside the event: more bytes can turn
the fragment into something else. A name line overrides an earlier one, and JSON that is cut off can be
completed with members that override earlier ones.
"""

from __future__ import annotations

import codecs
import json
import re
from itertools import product

_MOST = 16 * 1024  # completing tries a few dozen endings; a larger fragment is not worth it
_STRUCTURE = re.compile(rb'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[{}\[\]]', re.DOTALL)
# What may lack where the text was cut: the rest of an escape, a string, a member, a word or a number.
_ESCAPES = (b"", b"\\", b"0", b"00", b"000", b"0000")
_STRINGS = tuple(escape + end for escape in _ESCAPES for end in (b'"', b'":null'))
_WORDS = tuple(word[cut:] for word in (b"true", b"false", b"null") for cut in range(1, len(word)))
_TAILS = (b"", b"null", b":null", b'"":null', b"0", *_WORDS)


def utf8_rest(partial: bytes) -> bytes:
    """Bytes that complete a character cut in the middle, so that the line decodes; b"" if none is cut."""
    try:
        cut = partial[codecs.utf_8_decode(partial, "strict", False)[1] :]
    except UnicodeDecodeError:
        return b""
    if not cut:
        return b""
    length = 2 if cut[0] < 0xE0 else 3 if cut[0] < 0xF0 else 4
    # After E0 and F0 the lowest continuation bytes would be an overlong spelling, which is refused.
    second = b"\xa0" if len(cut) == 1 and cut[0] in (0xE0, 0xF0) else b"\x80"
    return (second + b"\x80\x80")[: length - len(cut)]


def complete_object(partial: bytes, members: bytes) -> bytes | None:
    """What to append to the cut-off JSON of an object so that it parses and `members` are its last members.

    Readers take the last of members with one name. None when the fragment is whole already, is not the
    beginning of an object or is too large to try.
    """
    if len(partial) > _MOST or not partial.lstrip().startswith(b"{"):
        return None
    closers, in_string = _open_brackets(partial)
    if not closers:
        return None
    rest = utf8_rest(partial)
    inner, tails = closers[:-1], _STRINGS if in_string else _TAILS
    for tail, join in product(tails, (b",", b"")):
        ending = rest + tail + inner + join + members + b"}"
        try:
            json.loads((partial + ending).decode())
        except (ValueError, RecursionError):
            continue
        return ending
    return None


def _open_brackets(partial: bytes) -> tuple[bytes, bool]:
    """The brackets that would close the fragment, innermost first, and whether it ends inside a string."""
    closers: list[bytes] = []
    token = b""
    for match in _STRUCTURE.finditer(partial):
        token = match[0]
        if token in b"{[":
            closers.append(b"}" if token == b"{" else b"]")
        elif token in b"}]" and closers:
            closers.pop()
    in_string = token.startswith(b'"') and partial.endswith(token) and not _is_closed(token)
    return b"".join(reversed(closers)), in_string


def _is_closed(string: bytes) -> bool:
    return re.fullmatch(rb'"(?:[^"\\]|\\.)*"', string, re.DOTALL) is not None
