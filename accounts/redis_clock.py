"""What the Redis server's clock reads, in terms of ours. Pure.

Processes on several machines agree on moments through that clock alone: whatever their own clocks say, a moment
is sent as the server's time and read back as the receiver's. Each answer that carries the server's time says that
it was read between sending and receiving, which bounds the difference of the two clocks from both sides.
"""

from __future__ import annotations

from dataclasses import dataclass

DRIFT = 1e-4  # clocks may run apart by so many seconds in one second
MICROSECONDS = 1_000_000


@dataclass(slots=True)
class ServerClock:
    """The bounds of (server's time - our clock), in seconds. `offset` is the middle; the first sample sets it."""

    low: float = 0.0
    high: float = 0.0
    sampled_at: float | None = None

    @property
    def is_known(self) -> bool:
        """Whether the server was ever heard."""
        return self.sampled_at is not None

    @property
    def offset(self) -> float:
        """The server's time less ours, in seconds."""
        return (self.low + self.high) / 2

    def sample(self, sent: float, received: float, server_us: int) -> None:
        """An answer that was asked for and received at these moments of ours says what the server's time was."""
        server = server_us / MICROSECONDS
        low, high = server - received, server - sent
        if self.sampled_at is not None:
            slack = DRIFT * max(0.0, received - self.sampled_at)
            narrow = max(low, self.low - slack), min(high, self.high + slack)
            if narrow[0] <= narrow[1]:  # else one of the two clocks was set anew: only the new sample counts
                low, high = narrow
        self.low, self.high, self.sampled_at = low, high, received

    def to_server(self, moment: float) -> int:
        """A moment of our clock as the server's microseconds, never below 0."""
        return max(0, round((moment + self.offset) * MICROSECONDS))

    def to_ours(self, server_us: int) -> float:
        """A moment of the server as seconds on our clock."""
        return server_us / MICROSECONDS - self.offset
