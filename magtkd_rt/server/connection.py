"""Websocket connections that cannot be made to hold memory or time."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final

from websockets.asyncio.server import ServerConnection
from websockets.frames import CloseCode

CLOSE_SECONDS: Final = 2.0
"""How long a peer has to take what was sent before a close; shutdown takes no longer."""

STALL_SECONDS = 30.0
"""How long a peer may take nothing at all before it is cut off."""

MAX_WRITE_BUFFER = 256 * 1024
"""Bytes that may wait for a peer; only one that floods us with pings can get there."""


async def close(
    connection: ServerConnection, code: CloseCode, reason: str, counters: Counter[str]
) -> None:
    """Close in order if the peer takes part, else cut it off and count it as `cut_off`."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await connection.close(code, reason)
    except TimeoutError:
        counters["cut_off"] += 1
    finally:
        connection.transport.abort()


class ConnectionGuard:
    """Knows every TCP connection from its first byte to its last.

    Args:
        counters: counts `refused_full`, `stalled_readers` and `flooded`.
        max_connections: most connections at once; the ones beyond are cut off unheard.
    """

    def __init__(self, counters: Counter[str], max_connections: int) -> None:
        self.counters = counters
        self.max_connections = max_connections
        self.connections: set[ServerConnection] = set()

    def abort_all(self, *, unless_open: bool = False) -> None:
        """Cut connections off; with `unless_open`, only those without a finished handshake."""
        for connection in tuple(self.connections):
            if not (unless_open and connection.response is not None):
                connection.transport.abort()

    def connection_class(self) -> type[ServerConnection]:
        """The class of connections that this guard watches."""
        guard = self

        class GuardedConnection(ServerConnection):
            _stall_timer: asyncio.TimerHandle | None = None

            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                if len(guard.connections) >= guard.max_connections:
                    guard.counters["refused_full"] += 1
                    self.transport.abort()
                guard.connections.add(self)

            def connection_lost(self, exc: Exception | None) -> None:
                guard.connections.discard(self)
                self._stop_timer()
                super().connection_lost(exc)

            # websockets waits for a paused peer without a limit, even in close() and keepalive.
            def pause_writing(self) -> None:
                super().pause_writing()
                self._stall_timer = self.loop.call_later(
                    STALL_SECONDS, self._cut_off, "stalled_readers"
                )

            def resume_writing(self) -> None:
                super().resume_writing()
                self._stop_timer()

            # Pongs are written without regard to flow control.
            def data_received(self, data: bytes) -> None:
                super().data_received(data)
                if self.transport.get_write_buffer_size() > MAX_WRITE_BUFFER:
                    self._cut_off("flooded")

            def _cut_off(self, counter: str) -> None:
                guard.counters[counter] += 1
                self.transport.abort()

            def _stop_timer(self) -> None:
                if self._stall_timer is not None:
                    self._stall_timer.cancel()
                    self._stall_timer = None

        return GuardedConnection
