"""A websocket server that plays a script: what it sends, and what it is to hear."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from magtkd_rt import wire

SECONDS = 10.0
"""How long a step may take."""


class PlayedServer:
    """Plays the `connections` of a case of protocol.json, and notes what was not as it should be.

    Args:
        messages: by name, as JSON.
        connections: what is asked, then the steps.
    """

    def __init__(self, messages: dict[str, Any], connections: list[dict[str, Any]]) -> None:
        self.url = ""
        self.faults: list[str] = []
        self.heard: list[Any] = []
        """Every text message of the client, as JSON."""
        self._messages = messages
        self._left = list(connections)
        self._current: dict[ServerConnection, dict[str, Any]] = {}

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[PlayedServer, None]:
        """Serve until the block ends; then everything must have been played."""
        async with serve(
            self._play, "127.0.0.1", 0, process_request=self._admit, select_subprotocol=_ours,
            compression=None, max_size=None,
        ) as server:  # fmt: skip
            self.url = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield self
        self.faults += [f"nobody came for {connection}" for connection in self._left]

    def _admit(self, peer: ServerConnection, request: Request) -> Response | None:
        if not self._left:
            self.faults.append(f"one connection too many: {request.path}")
            return peer.respond(HTTPStatus.NOT_FOUND, "the script is over\n")
        script = self._left.pop(0)
        if "refuse" in script:
            return peer.respond(HTTPStatus(script["refuse"]), "not now; try again later\n")
        asked = _asked(request)
        if asked != script["asks"]:
            self.faults.append(f"asked {asked}, not {script['asks']}")
        self._current[peer] = script
        return None

    async def _play(self, peer: ServerConnection) -> None:
        steps = self._current.pop(peer)["steps"]
        for number, step in enumerate(steps):
            try:
                async with asyncio.timeout(SECONDS):
                    await self._do(peer, *next(iter(step.items())))
            except (TimeoutError, ConnectionClosed, AssertionError) as fault:
                self.faults.append(f"step {number}, {step}: {fault!r}")
                return
        if not steps or not {"close", "break"} & steps[-1].keys():
            await peer.wait_closed()  # the client is to leave

    async def _do(self, peer: ServerConnection, verb: str, what: Any) -> None:
        match verb:
            case "send":
                await peer.send(json.dumps(self._messages[what]))
            case "send_later":
                await peer.send(json.dumps(what))
            case "send_text":
                await peer.send(what)
            case "receive":
                text = await peer.recv()
                assert isinstance(text, str), f"a binary message of {len(text)} bytes came"
                self.heard.append(json.loads(text))
                came = wire.parse_client_message(text)
                assert came == wire.parse_client_message(json.dumps(what)), f"{came} came"
            case "receive_hex":
                data = await peer.recv()
                assert isinstance(data, bytes), f"{data} came"
                assert data.hex() == what, f"{data.hex()} came"
            case "close":
                await peer.close(*what)
            case "break":
                await (await peer.ping())  # all that was sent has arrived
                peer.transport.abort()
            case _:
                raise ValueError(f"no step is called {verb}")


def _asked(request: Request) -> dict[str, str]:
    """What a request asks for, and the token, whichever way it is handed over."""
    parts = urlsplit(request.path)
    asked = {"path": parts.path, **dict(parse_qsl(parts.query))}
    offers = [name.strip() for name in request.headers["Sec-WebSocket-Protocol"].split(",")]
    if offers[0] != wire.PROTOCOL:
        asked["subprotocol"] = offers[0]
    if bearer := request.headers.get("Authorization"):
        asked["token"] = bearer.removeprefix("Bearer ")
    elif len(offers) > 1:
        asked["token"] = offers[1]
    return asked


def _ours(_: ServerConnection, __: Any) -> Subprotocol:
    return Subprotocol(wire.PROTOCOL)
