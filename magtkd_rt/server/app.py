"""The websocket server: which path is answered by whom."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from magtkd_rt import wire
from magtkd_rt.errors import ServerError
from magtkd_rt.server import connection
from magtkd_rt.server.access import check_bind, check_subprotocols, rules
from magtkd_rt.server.connection import ConnectionGuard
from magtkd_rt.server.events import EventsEndpoint
from magtkd_rt.server.hub import Hub
from magtkd_rt.server.pages import Pages
from magtkd_rt.server.requests import json_response, path_of
from magtkd_rt.wire.asyncapi import asyncapi_text

Endpoint = Callable[[ServerConnection], Awaitable[None]]
"""Serves one websocket to its close."""

EVENTS_PATH: Final = "/v1/events"
MAX_INCOMING: Final = 16 * 1024
"""Bytes of one message of a subscriber, who has nothing to say."""
WRITE_LIMIT: Final = 16 * 1024
"""Bytes that wait for one subscriber outside its queue, before its queue begins to fill."""
SEND_BUFFER: Final = 64 * 1024
"""Bytes that the system may hold for one subscriber; left to itself it takes megabytes."""
SPARE_CONNECTIONS: Final = 64
"""Connections beyond the subscribers, for `/health` and for saying no."""
OPEN_SECONDS: Final = 5.0
"""How long a peer has for its request."""
INGEST_PATH: Final = "/v1/ingest"

_log = logging.getLogger("magtkd_rt.server")


class EventServer:
    """Serves the events of a hub; an asynchronous context manager.

    On leaving, what is queued is delivered to everyone who still reads, within CLOSE_SECONDS.

    Args:
        hub: whose events.
        host: the address to listen on; only loopback, since there are no tokens yet.
        port: the port, 0 for any free one.
        health: gives further fields for `/health`; a `status` other than `ok` makes it a 503.
        allowed_origins: web origins that may connect, beside the server's own.
        allowed_hosts: host names by which the server may be reached, beside this machine's.
        max_subscribers: most subscribers at once; a few connections more may ask for `/health`.
        ingest: serves who sends media on `/v1/ingest`; None refuses them.

    Raises:
        ServerError: on entering: the port is taken, or the address cannot be listened on.
    """

    def __init__(
        self,
        hub: Hub,
        host: str = "127.0.0.1",
        port: int = 8765,
        health: Callable[[], Mapping[str, object]] | None = None,
        *,
        allowed_origins: Sequence[str] = (),
        allowed_hosts: Sequence[str] = (),
        max_subscribers: int = 1100,
        ingest: Endpoint | None = None,
    ) -> None:
        check_bind(host, port)
        self._hub = hub
        # "localhost" may be two addresses, and with port 0 these would get two ports.
        self._host = "127.0.0.1" if host.lower() == "localhost" else host.strip("[]")
        self._port = port
        self._health = health
        self._rules = rules(allowed_origins, allowed_hosts)
        self._max_subscribers = max_subscribers
        self._guard = ConnectionGuard(hub.counters, max_subscribers + SPARE_CONNECTIONS)
        self._server: Server | None = None
        self._endpoints: dict[str, Endpoint] = {EVENTS_PATH: EventsEndpoint(hub, self._is_serving)}
        if ingest is not None:
            self._endpoints[INGEST_PATH] = ingest
        self._pages = Pages()
        self._plain: dict[str, Callable[[], Response]] = {
            "/health": self._respond_health,
            "/schema.json": lambda: json_response(HTTPStatus.OK, wire.schema_text()),
            "/asyncapi.json": lambda: json_response(HTTPStatus.OK, asyncapi_text()),
        }

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._port

    @property
    def url(self) -> str:
        """Where subscribers connect."""
        return f"ws://{self._authority}{EVENTS_PATH}"

    @property
    def page(self) -> str:
        """Where people look."""
        return f"http://{self._authority}/"

    @property
    def _authority(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self._port}"

    async def __aenter__(self) -> Self:
        try:
            self._server = await serve(
                self._handle,
                self._host,
                self._port,
                process_request=self._process_request,
                select_subprotocol=_select_subprotocol,
                compression=None,  # costs more processor time than loopback has to gain
                server_header=None,
                open_timeout=OPEN_SECONDS,
                close_timeout=connection.CLOSE_SECONDS,
                max_size=MAX_INCOMING,
                max_queue=4,
                write_limit=WRITE_LIMIT,
                logger=_log,
                create_connection=self._guard.connection_class(),
                backlog=1024,
            )
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ServerError(
                    f"port {self._port} is already in use",
                    remedy="choose another with --port N (0 takes any free one)",
                ) from error
            raise ServerError(
                f"cannot listen on {self._host} port {self._port} ({error.strerror or error})",
                remedy="choose another with --host or --port N",
            ) from error
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close(close_connections=False)
        self._guard.abort_all(unless_open=True)
        self._hub.finish()
        try:
            async with asyncio.timeout(connection.CLOSE_SECONDS):
                await self._server.wait_closed()
        except TimeoutError:
            self._hub.counters["cut_off_at_shutdown"] += len(self._guard.connections)
            self._guard.abort_all()
            await self._server.wait_closed()

    async def _process_request(self, peer: ServerConnection, request: Request) -> Response | None:
        path = path_of(request)
        refusal = self._rules.check(request.headers, self._port)
        if refusal is None and path in self._endpoints:
            refusal = check_subprotocols(request.headers)
        if refusal is not None:
            self._hub.counters[refusal.counter] += 1
            return peer.respond(refusal.status, refusal.reason + "\n")
        if path in self._endpoints:
            return self._refuse_when_full(peer)
        if request.method != "GET":
            return peer.respond(HTTPStatus.METHOD_NOT_ALLOWED, "only GET is served\n")
        if path in self._plain:
            return self._plain[path]()
        if (page := await self._pages.answer(path, request)) is not None:
            return page
        there = ", ".join((*self._endpoints, *self._plain, *self._pages.paths))
        return peer.respond(HTTPStatus.NOT_FOUND, f"nothing here; there are {there}\n")

    def _refuse_when_full(self, peer: ServerConnection) -> Response | None:
        assert self._server is not None
        if len(self._server.connections) < self._max_subscribers:
            return None
        self._hub.counters["refused_full"] += 1
        return peer.respond(
            HTTPStatus.SERVICE_UNAVAILABLE, "too many subscribers; try again later\n"
        )

    def _respond_health(self) -> Response:
        body: dict[str, object] = {"status": "ok", "protocol": wire.PROTOCOL}
        body |= self._hub.describe()
        if self._health is not None:
            body |= self._health()
        fine = body["status"] == "ok"
        status = HTTPStatus.OK if fine else HTTPStatus.SERVICE_UNAVAILABLE
        return json_response(status, json.dumps(body) + "\n")

    async def _handle(self, peer: ServerConnection) -> None:
        sock = peer.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        assert peer.request is not None
        await self._endpoints[path_of(peer.request)](peer)

    def _is_serving(self) -> bool:
        return self._server is not None and self._server.is_serving()


def _select_subprotocol(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return Subprotocol(wire.PROTOCOL) if wire.PROTOCOL in offered else None
