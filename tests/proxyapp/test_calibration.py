"""Learning how many characters a token has."""

from __future__ import annotations

from backends.addresses import check_base_url
from backends.config import BackendConfig
from backends.routing import Target
from backends.wire.conversation import Conversation, Media, Text, Turn
from backends.wire.estimate import CHARACTERS_PER_TOKEN
from backends.wire.kinds import Kind, Protocol
from proxyapp.calibration import Calibration

BACKEND = BackendConfig("b", Protocol.OPENAI, check_base_url("http://127.0.0.1:9/v1"), frozenset({Kind.CHAT}))
ONE, OTHER = Target(BACKEND, "one"), Target(BACKEND, "other")


def talk(length: int) -> Conversation:
    return Conversation("m", [Turn("user", [Text("x" * length)])])


def test_what_was_reported_moves_the_ratio_of_that_model_only() -> None:
    calibration = Calibration()
    calibration.observe(ONE, talk(2000), 1004)
    assert calibration.characters_per_token(ONE) == 2.0
    assert calibration.characters_per_token(OTHER) == CHARACTERS_PER_TOKEN


def test_later_observations_move_it_gently() -> None:
    calibration = Calibration()
    calibration.observe(ONE, talk(2000), 1004)
    calibration.observe(ONE, talk(4000), 1004)
    assert 2.0 < calibration.characters_per_token(ONE) < 3.0


def test_short_absurd_and_pictured_requests_teach_nothing() -> None:
    calibration = Calibration()
    calibration.observe(ONE, talk(20), 9)
    calibration.observe(ONE, talk(100_000), 60)
    pictured = Conversation("m", [Turn("user", [Text("x" * 2000), Media("image", url="https://x")])])
    calibration.observe(ONE, pictured, 1004)
    assert calibration.characters_per_token(ONE) == CHARACTERS_PER_TOKEN


def test_it_stays_bounded() -> None:
    calibration = Calibration()
    for number in range(2000):
        calibration.observe(Target(BACKEND, f"m{number}"), talk(2000), 1004)
    assert calibration.characters_per_token(Target(BACKEND, "m1999")) == 2.0
    assert calibration.characters_per_token(Target(BACKEND, "m0")) == CHARACTERS_PER_TOKEN
