"""A server that gives back what it gets, made of the very parts of the real one.

The real one has nothing to say back, so conformance to the websocket protocol is judged here.
"""

from __future__ import annotations

from contextlib import suppress

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from magtkd_rt.server import EventServer, Hub
from magtkd_rt.server.limits import ConnectionLimits

MESSAGE_BYTES = 1 << 20
"""As much as senders of media may send at once."""


async def echo(connection: ServerConnection) -> None:
    """Send every message back as it came."""
    with suppress(ConnectionClosed):
        async for message in connection:
            await connection.send(message)


def echo_server(port: int = 0) -> EventServer:
    """A server whose `/v1/ingest` is `echo`."""
    limits = ConnectionLimits(message_bytes=MESSAGE_BYTES)
    return EventServer(Hub(), port=port, ingest=echo, limits=limits)


def echo_url(server: EventServer) -> str:
    """Where it echoes."""
    return server.url.replace("events", "ingest")
