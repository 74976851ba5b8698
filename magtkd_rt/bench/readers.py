"""Subscribers that cost little, so that a thousand in one process do not delay each other.

They speak the protocol by the websockets library's own state machine, without a task each.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from typing import Final

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from magtkd_rt import wire
from magtkd_rt.errors import ServerError

OPEN_WITHIN_S: Final = 30.0
_AT_ONCE: Final = 50
"""Connections that are opened at the same time."""

Take = Callable[[bytes, float], None]
"""Is given each message, and the wall-clock time of its arrival in seconds."""


class Reader(asyncio.Protocol):
    """One subscriber.

    Args:
        url: what it subscribes to.
        take: is given its messages.
    """

    def __init__(self, url: str, take: Take) -> None:
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        """Done when the server has accepted it."""
        self.closed: asyncio.Future[None] = loop.create_future()
        """Done when the connection has gone."""
        self._take = take
        self._websocket = ClientProtocol(
            parse_uri(url), subprotocols=[Subprotocol(wire.PROTOCOL)], max_size=None
        )
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask to subscribe."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._websocket.send_request(self._websocket.connect())
        self._write()

    def data_received(self, data: bytes) -> None:
        """Pass messages on, answer what wants an answer."""
        now = time.time()
        self._websocket.receive_data(data)
        for event in self._websocket.events_received():
            if isinstance(event, Frame):
                if event.opcode is Opcode.TEXT:
                    self._take(bytes(event.data), now)
            elif isinstance(event, Response) and not self.opened.done():
                self._answered(event)
        self._write()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has gone."""
        if not self.opened.done():
            self.opened.set_exception(_refused(str(exc or "it was closed")))
        if not self.closed.done():
            self.closed.set_result(None)

    def stop_reading(self) -> None:
        """Take nothing any more."""
        assert self._transport is not None
        self._transport.pause_reading()

    def leave(self) -> None:
        """Begin to close in order."""
        self._websocket.send_close(1000)
        self._write()

    def abort(self) -> None:
        """Be gone."""
        assert self._transport is not None
        self._transport.abort()

    def _answered(self, response: Response) -> None:
        if self._websocket.handshake_exc is None:
            self.opened.set_result(None)
        else:
            self.opened.set_exception(_refused(f"{response.status_code} {response.reason_phrase}"))

    def _write(self) -> None:
        assert self._transport is not None
        for data in self._websocket.data_to_send():
            if data:
                self._transport.write(data)
            else:  # the state machine's sign for the end
                self._transport.close()


def _refused(why: str) -> ServerError:
    return ServerError(f"a subscriber was refused ({why})", remedy="ask for fewer with --count")


async def open_reader(url: str, take: Take, receive_buffer: int | None = None) -> Reader:
    """Connect one subscriber.

    Args:
        url: what it subscribes to.
        take: is given its messages.
        receive_buffer: bytes that the system holds for it; None leaves that to the system, which
            takes megabytes.

    Raises:
        ServerError: the server refuses it.
    """
    parts = parse_uri(url)
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.setblocking(False)
    await loop.sock_connect(sock, (parts.host, parts.port))
    _, reader = await loop.create_connection(lambda: Reader(url, take), sock=sock)
    async with asyncio.timeout(OPEN_WITHIN_S):
        await reader.opened
    return reader


async def open_readers(url: str, takes: Sequence[Take]) -> list[Reader]:
    """Connect many, some at a time; as `open_reader`."""
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(take: Take) -> Reader:
        async with room:
            return await open_reader(url, take)

    return list(await asyncio.gather(*map(one, takes)))
