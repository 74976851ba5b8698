"""Websocket connections that cannot be made to hold memory or time."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any, ClassVar, Final

from websockets.asyncio.server import ServerConnection
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Event, State
from websockets.server import ServerProtocol

from magtkd_rt.server.access import is_loopback
from magtkd_rt.server.gate import Admission
from magtkd_rt.server.limits import ConnectionLimits
from magtkd_rt.server.logs import ServerLog
from magtkd_rt.server.throttle import Throttle, address_key

CLOSE_SECONDS: Final = 2.0
"""How long a peer has to take what was sent before a close; shutdown takes no longer."""

STALL_SECONDS = 30.0
"""How long a peer may take nothing at all before it is cut off."""

PINGS = 64
"""Pings that a peer may send at once ..."""
PINGS_A_SECOND = 4.0
"""... and over time; each is answered at once, whatever else there is to do."""

MAX_WRITE_BUFFER = 256 * 1024
"""Bytes that may wait for a peer; only one that floods us with pings can get there."""

_TEXT: Final = 0x81
"""First byte of a frame that is a whole text message (RFC 6455, 5.2)."""

CUT_OFF: Final = {
    "refused_full": "there are too many connections",
    "refused_address": "there are too many connections from this address",
    "stalled_readers": "took nothing for too long",
    "flooded": "sent too much",
}
"""Why a connection is cut off without a word, by the counter."""


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


def write_text(connection: ServerConnection, message: bytes) -> bool:
    """Send a text message without waiting; False where that cannot be, and nothing was sent.

    The same as `await connection.send(message, text=True)` in the usual case, that the connection
    is open and the peer reads, for a quarter less of the server's processor time.
    """
    if connection.state is not State.OPEN or connection.paused:
        return False
    size = len(message)
    if size < 126:
        head = bytes((_TEXT, size))
    elif size < 1 << 16:
        head = bytes((_TEXT, 126)) + size.to_bytes(2)
    else:
        head = bytes((_TEXT, 127)) + size.to_bytes(8)
    connection.transport.write(head + message)
    return True


def address_of(connection: ServerConnection) -> str:
    """The peer's address in figures, also when it has left."""
    return connection.address if isinstance(connection, GuardedConnection) else ""


class ConnectionGuard:
    """Knows every TCP connection from its first byte to its last.

    Args:
        counters: counts `refused_full`, `refused_address`, `stalled_readers` and `flooded`.
        limits: how many connections there may be, and how much one may send.
        log: where those that are cut off are told.
    """

    def __init__(
        self, counters: Counter[str], limits: ConnectionLimits, log: ServerLog | None = None
    ) -> None:
        self.counters = counters
        self.limits = limits
        self.log = log or ServerLog()
        self.connections: set[GuardedConnection] = set()
        self._of_address: Counter[str] = Counter()

    def abort_all(self, *, unless_open: bool = False) -> None:
        """Cut connections off; with `unless_open`, only those without a finished handshake."""
        for connection in tuple(self.connections):
            if not (unless_open and connection.response is not None):
                connection.transport.abort()

    def connection_class(self) -> type[GuardedConnection]:
        """The class of connections that this guard watches."""
        return type("GuardedConnection", (GuardedConnection,), {"guard": self})

    def enter(self, connection: GuardedConnection) -> str | None:
        """Take note of a connection; the counter that says why there may be no such, if so."""
        refused = None
        if len(self.connections) >= self.limits.all_connections:
            refused = "refused_full"
        elif not self._has_room(connection.who):
            refused = "refused_address"
        self.connections.add(connection)
        self._of_address[connection.who] += 1
        return refused

    def leave(self, connection: GuardedConnection) -> None:
        """Forget a connection."""
        self.connections.discard(connection)
        self._of_address[connection.who] -= 1
        if not self._of_address[connection.who]:
            del self._of_address[connection.who]

    def _has_room(self, who: str) -> bool:
        return self._of_address[who] < self.limits.of_address(is_local=is_loopback(who))


class _Gone(asyncio.Transport):
    """Stands for a transport that was lost, and holds nothing."""

    def is_closing(self) -> bool:
        return True

    def abort(self) -> None:
        pass

    def close(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: object) -> None:
        pass


_GONE: Final = _Gone()


def _do_nothing() -> None: ...


class _Protocol(ServerProtocol):
    """Takes a close amid a fragmented message for a close (RFC 6455, 5.4), not for a mistake."""

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        super().recv_frame(frame)


class GuardedConnection(ServerConnection):
    """A connection that is cut off where it asks too much."""

    guard: ClassVar[ConnectionGuard]
    _stall_timer: asyncio.TimerHandle | None = None

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.protocol.__class__ = _Protocol  # websockets takes no other class of protocol
        self.address = ""
        """Of the peer, in figures."""
        self.admission = Admission()
        """What it may do, once its request was let in."""
        self.who = ""
        """What counts as one address: see `address_key`."""
        self._is_cut_off = False
        self._may_send: float | None = self.guard.limits.burst_bytes
        self._refilled = time.monotonic()
        self._pings = Throttle(PINGS, PINGS_A_SECOND)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it in, or cut it off."""
        super().connection_made(transport)
        self.address = (transport.get_extra_info("peername") or [""])[0]
        self.who = address_key(self.address)
        if (counter := self.guard.enter(self)) is not None:
            self._cut_off(counter)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it out."""
        self.guard.leave(self)
        self._stop_timer()
        super().connection_lost(exc)
        # Connections are freed late, being part of cycles; with TLS a transport has 256 KiB.
        self.transport = _GONE
        self.recv_messages.pause = self.recv_messages.resume = _do_nothing

    def let_send_media(self) -> None:
        """Lift what binds subscribers; whoever takes the media bounds how much may come."""
        self._may_send = None

    # websockets waits for a paused peer without a limit, even in close() and keepalive.
    def pause_writing(self) -> None:
        """Give a peer that takes nothing its time."""
        super().pause_writing()
        self._stall_timer = self.loop.call_later(STALL_SECONDS, self._cut_off, "stalled_readers")

    def resume_writing(self) -> None:
        """It takes again."""
        super().resume_writing()
        self._stop_timer()

    def data_received(self, data: bytes) -> None:
        """Take what came, if it is not too much."""
        if not self._may_take(len(data)):
            self._cut_off("flooded")
            return
        super().data_received(data)
        # Pongs are written without regard to flow control.
        if self.transport.get_write_buffer_size() > MAX_WRITE_BUFFER:
            self._cut_off("flooded")

    def process_event(self, event: Event) -> None:
        """Handle a frame, unless it is one ping too many."""
        if isinstance(event, Frame) and event.opcode is Opcode.PING and not self._pings.take(""):
            self._cut_off("flooded")
            return
        super().process_event(event)

    def _may_take(self, size: int) -> bool:
        """Whether a peer may send so much now. Frames of nothing cost more time than they bring."""
        if self._may_send is None:
            return True
        limits, now = self.guard.limits, time.monotonic()
        refill = (now - self._refilled) * limits.bytes_per_second
        self._may_send = min(limits.burst_bytes, self._may_send + refill) - size
        self._refilled = now
        return self._may_send >= 0

    def _cut_off(self, counter: str) -> None:
        if not self._is_cut_off:
            self._is_cut_off = True
            self.guard.counters[counter] += 1
            self.guard.log.lost(counter, self.address, CUT_OFF[counter])
            self.transport.abort()

    def _stop_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None
