"""How much those who connect may ask of the server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Bounds for connections; what goes beyond is refused and counted.

    Attributes:
        subscribers: websockets at once, then 503.
        connections: TCP connections at once, to which `/health` and refusals belong too; the
            ones beyond are cut off unheard. None for 64 more than subscribers.
        per_address: TCP connections of one address at once, then cut off unheard. None for 64,
            and no such bound for this machine's own programs.
        requests_per_minute: of one address, at once or over time, then 429; this machine's own
            programs are not counted.
        message_bytes: of one message of a subscriber, then 1009; likewise of who sends media,
            until it has said hello.
        bytes_per_second: that a subscriber may send over time; it has nothing to say, but pongs.
        burst_bytes: that a subscriber may send at once, then it is cut off.
    """

    subscribers: int = 1100
    connections: int | None = None
    per_address: int | None = None
    requests_per_minute: int = 600
    message_bytes: int = 16 * 1024
    bytes_per_second: int = 4 * 1024
    burst_bytes: int = 64 * 1024

    @property
    def all_connections(self) -> int:
        """TCP connections at once."""
        return self.subscribers + 64 if self.connections is None else self.connections

    def of_address(self, *, is_local: bool) -> int:
        """TCP connections at once of one address, which is this machine's own or not."""
        if self.per_address is not None:
            return self.per_address
        return self.all_connections if is_local else 64
