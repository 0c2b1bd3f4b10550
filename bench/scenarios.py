"""Which loads every subject gets. Bounded twice: by a number of requests and by seconds."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from bench.jobs import Ask

EVENTS = 1000
SHORT_EVENTS = 20
_STREAM = Ask(f"gpt-4o+events={EVENTS}", stream=True, events=EVENTS)
_PACED_1 = Ask(f"gpt-4o+events={EVENTS}+gap=1ms", stream=True, events=EVENTS)
_PACED_32 = Ask(f"gpt-4o+events={EVENTS}+gap=5ms", stream=True, events=EVENTS)
_TRANSLATED = Ask(speaks="messages")
_TRANSLATED_PACED = Ask(f"gpt-4o+events={EVENTS}+gap=5ms", stream=True, events=EVENTS, speaks="messages")
SMALL = Ask()
SHORT_STREAM = Ask(f"gpt-4o+events={SHORT_EVENTS}", stream=True, events=SHORT_EVENTS)
LATENCY = {"plain": SMALL, "stream": SHORT_STREAM}
"""The requests of the interleaved rounds."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One load."""

    name: str
    title: str
    ask: Ask
    clients: int
    requests: int
    seconds: float
    warm_up: int = 1

    @property
    def is_large(self) -> bool:
        """Whether its requests are large. Such loads come last: memory is read before and after them."""
        return self.ask.size > 0

    def shorter(self) -> Scenario:
        """For a quick look."""
        requests = max(self.clients, self.requests // 5)
        fields = (self.name, self.title, self.ask, self.clients, requests, self.seconds / 3, self.warm_up)
        return Scenario(*fields)


def _sized(size: int) -> Ask:
    return msgspec.structs.replace(SMALL, size=size)


SCENARIOS = (
    Scenario("plain-1", "1 client", SMALL, 1, 2000, 5.0, 50),
    Scenario("plain-32", "32 clients", SMALL, 32, 6000, 6.0, 3),
    Scenario("plain-256", "256 clients", SMALL, 256, 6000, 6.0),
    Scenario("stream-1", "1 client", _STREAM, 1, 40, 5.0, 3),
    Scenario("stream-32", "32 clients", _STREAM, 32, 256, 5.0),
    Scenario("paced-1", "1 client, 1 ms between events", _PACED_1, 1, 4, 5.0, 1),
    Scenario("paced-32", "32 clients, 5 ms between events", _PACED_32, 32, 32, 5.0, 0),
    Scenario("translated-1", "1 client, another protocol", _TRANSLATED, 1, 1000, 4.0, 50),
    Scenario("translated-32", "32 clients, another protocol", _TRANSLATED, 32, 3000, 5.0, 3),
    Scenario("translated-paced-32", "32 streams, another protocol", _TRANSLATED_PACED, 32, 32, 5.0, 0),
    Scenario("100k-1", "100 KB, 1 client", _sized(100_000), 1, 400, 4.0, 5),
    Scenario("100k-32", "100 KB, 32 clients", _sized(100_000), 32, 800, 4.0),
    Scenario("1m-1", "1 MB, 1 client", _sized(1_000_000), 1, 60, 4.0, 3),
    Scenario("1m-32", "1 MB, 32 clients", _sized(1_000_000), 32, 96, 4.0),
)
MODELS = tuple(
    sorted({scenario.ask.model for scenario in SCENARIOS} | {ask.model for ask in LATENCY.values()})
)
