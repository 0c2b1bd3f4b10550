"""Characters that act instead of being seen, made visible: what steers a terminal, or turns the direction of a line.

Names, errors and client names come from strangers. A terminal obeys C0 and C1 controls (ECMA-48), and U+202A to U+202E
and U+2066 to U+2069 let a text read as another (UAX #9; https://trojansource.codes). Tab and line ends stay.
"""

from __future__ import annotations

import re

_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
# The same in UTF-8, where none of these bytes begins in the middle of another character.
_ENCODED = re.compile(
    rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xa8-\xae]|\xe2\x81[\xa6-\xa9]"
)


def visible(text: str) -> str:
    """`text` with each such character written as its escape, `\\x1b` or `\\u202e`; the same object without any."""
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)


def visible_utf8(text: bytes) -> bytes:
    """The same for encoded text; the same object without any."""
    return _ENCODED.sub(lambda found: ascii(found[0].decode())[1:-1].encode(), text)
