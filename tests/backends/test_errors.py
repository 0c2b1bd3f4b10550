from __future__ import annotations

import re

import pytest

from backends import errors
from backends.errors import UpstreamError


def descendants(cls: type[UpstreamError]) -> list[type[UpstreamError]]:
    return [cls, *(found for child in cls.__subclasses__() for found in descendants(child))]


def test_every_class_has_a_code_of_its_own() -> None:
    codes = [cls.code for cls in descendants(UpstreamError)]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z_]+", code) for code in codes)


def test_the_drawing_shows_every_class_with_its_code() -> None:
    assert errors.__doc__ is not None
    drawn = dict(re.findall(r"[├└]── (\w+) +(\w+)", errors.__doc__))
    assert drawn == {cls.__name__: cls.code for cls in descendants(UpstreamError)[1:]}


@pytest.mark.parametrize(
    ("cls", "sent", "phase"),
    [
        (errors.AddressRefused, "none", "connect"),
        (errors.TlsFailed, "none", "connect"),
        (errors.SendTimedOut, "partly", "send"),
        (errors.NoAnswer, "fully", "wait"),
        (errors.StreamCut, "fully", "body"),
    ],
)
def test_a_class_says_how_much_was_sent_and_when_it_failed(
    cls: type[UpstreamError], sent: str, phase: str
) -> None:
    error = cls("what happened")
    assert (error.request_sent, error.phase, error.message, str(error)) == (
        sent,
        phase,
        "what happened",
        "what happened",
    )
