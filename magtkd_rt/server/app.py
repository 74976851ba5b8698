"""The websocket server: which path is answered by whom."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.http11 import Request, Response

from magtkd_rt import wire
from magtkd_rt.errors import ServerError
from magtkd_rt.server import connection
from magtkd_rt.server.access import Refusal, check_bind, select_subprotocol
from magtkd_rt.server.condition import Condition
from magtkd_rt.server.connection import ConnectionGuard, GuardedConnection
from magtkd_rt.server.events import EventsEndpoint
from magtkd_rt.server.gate import Access, Admission, Gate, Needs
from magtkd_rt.server.hub import Hub
from magtkd_rt.server.limits import ConnectionLimits
from magtkd_rt.server.logs import WEBSOCKETS, ServerLog
from magtkd_rt.server.metrics import CONTENT_TYPE, Metrics
from magtkd_rt.server.pages import Pages
from magtkd_rt.server.requests import json_response, path_of, plain_response
from magtkd_rt.server.tls import ServerTls
from magtkd_rt.wire.asyncapi import asyncapi_text

Endpoint = Callable[[ServerConnection], Awaitable[None]]
"""Serves one websocket to its close."""

EVENTS_PATH: Final = "/v1/events"
WRITE_LIMIT: Final = 16 * 1024
"""Bytes that wait for one subscriber outside its queue, before its queue begins to fill."""
SEND_BUFFER: Final = 64 * 1024
"""Bytes that the system may hold for one subscriber; left to itself it takes megabytes."""
OPEN_SECONDS: Final = 5.0
"""How long a peer has for its request."""
INGEST_PATH: Final = "/v1/ingest"


@dataclass(frozen=True, slots=True)
class Plain:
    """A path that is answered without a websocket."""

    answer: Callable[[Admission], Response]
    needs: Needs


class EventServer:
    """Serves the events of a hub; an asynchronous context manager.

    On leaving, what is queued is delivered to everyone who still reads, within CLOSE_SECONDS.

    Args:
        hub: whose events.
        host: the address to listen on; one that others reach needs tokens.
        port: the port, 0 for any free one.
        health: gives further fields for `/health`; while its `status` is `starting`, a 503.
        access: who may connect.
        limits: how much those who connect may ask.
        tls: certificate and key; None serves without TLS.
        metrics: what `/metrics` tells; None makes them from the hub's counters alone.
        log: where sessions and refusals are told.
        ingest: serves who sends media on `/v1/ingest`; None refuses them.

    Raises:
        ServerError: others could listen without a token, or the port is none. On entering: the
            port is taken, or the address cannot be listened on.
    """

    def __init__(
        self,
        hub: Hub,
        host: str = "127.0.0.1",
        port: int = 8765,
        health: Callable[[], Mapping[str, object]] | None = None,
        *,
        access: Access | None = None,
        limits: ConnectionLimits | None = None,
        tls: ServerTls | None = None,
        metrics: Metrics | None = None,
        log: ServerLog | None = None,
        ingest: Endpoint | None = None,
    ) -> None:
        access = access or Access()
        check_bind(host, port, asks_for_token=bool(access.tokens))
        self._hub = hub
        # "localhost" may be two addresses, and with port 0 these would get two ports.
        self._host = "127.0.0.1" if host.lower() == "localhost" else host.strip("[]")
        self._port = port
        self._health = health or dict
        self._limits = limits or ConnectionLimits()
        self._gate = Gate(access, self._limits.requests_per_minute)
        self._tls = tls
        self._log = log or ServerLog()
        self._condition = Condition()
        self._metrics = metrics or Metrics(hub, self._health)
        self._guard = ConnectionGuard(hub.counters, self._limits, self._log)
        self._server: Server | None = None
        self._watchers = (self._condition.observe, self._metrics.observe, self._log.observe)
        self._endpoints: dict[str, tuple[Endpoint, Needs]] = {
            EVENTS_PATH: (
                EventsEndpoint(hub, self._is_serving, self._log),
                Needs("observe", websocket=True),
            )
        }
        if ingest is not None:
            self._endpoints[INGEST_PATH] = (ingest, Needs("publish", websocket=True))
        self._pages = Pages()
        self._plain: dict[str, Plain] = {
            "/health": Plain(self._respond_health, Needs("observe", optional=True)),
            "/metrics": Plain(self._respond_metrics, Needs("observe")),
            "/schema.json": Plain(
                lambda _: json_response(HTTPStatus.OK, wire.schema_text()), Needs()
            ),
            "/asyncapi.json": Plain(
                lambda _: json_response(HTTPStatus.OK, asyncapi_text()), Needs()
            ),
        }

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._port

    @property
    def url(self) -> str:
        """Where subscribers connect."""
        return f"{'ws' if self._tls is None else 'wss'}://{self._authority}{EVENTS_PATH}"

    @property
    def page(self) -> str:
        """Where people look."""
        return f"{'http' if self._tls is None else 'https'}://{self._authority}/"

    @property
    def _authority(self) -> str:
        here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)
        host = f"[{here}]" if ":" in here else here
        return f"{host}:{self._port}"

    async def __aenter__(self) -> Self:
        try:
            self._server = await serve(
                self._handle,
                self._host,
                self._port,
                process_request=self._process_request,
                select_subprotocol=select_subprotocol,
                compression=None,  # costs more processor time than loopback has to gain
                server_header=None,
                open_timeout=OPEN_SECONDS,
                close_timeout=connection.CLOSE_SECONDS,
                max_size=self._limits.message_bytes,
                max_queue=4,
                write_limit=WRITE_LIMIT,
                logger=WEBSOCKETS,
                create_connection=self._guard.connection_class(),
                backlog=1024,
                **self._tls_settings(),
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
        self._hub.watchers += self._watchers
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        for watcher in self._watchers:
            self._hub.watchers.remove(watcher)
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
        assert isinstance(peer, GuardedConnection)
        path = path_of(request)
        needs = self._needs(path)
        admission = self._gate.check(request.headers, peer.address, self._port, needs)
        if isinstance(admission, Refusal):
            return self._refuse(peer, admission, path)
        peer.admission = admission
        if path in self._endpoints:
            return self._refuse_when_full(peer, path)
        if request.method != "GET":
            return peer.respond(HTTPStatus.METHOD_NOT_ALLOWED, "only GET is served\n")
        if path in self._plain:
            return self._plain[path].answer(admission)
        if (page := await self._pages.answer(path, request)) is not None:
            return page
        there = ", ".join((*self._endpoints, *self._plain, *self._pages.paths))
        return peer.respond(HTTPStatus.NOT_FOUND, f"nothing here; there are {there}\n")

    def _needs(self, path: str) -> Needs:
        if path in self._endpoints:
            return self._endpoints[path][1]
        return self._plain[path].needs if path in self._plain else Needs()

    def _refuse(self, peer: GuardedConnection, refusal: Refusal, path: str) -> Response:
        self._hub.counters[refusal.counter] += 1
        self._log.lost(refusal.counter, peer.address, refusal.reason, path=path[:100])
        response = peer.respond(refusal.status, refusal.reason + "\n")
        for name, value in refusal.headers.items():
            response.headers[name] = value
        return response

    def _refuse_when_full(self, peer: GuardedConnection, path: str) -> Response | None:
        assert self._server is not None
        if len(self._server.connections) < self._limits.subscribers:
            return None
        status = HTTPStatus.SERVICE_UNAVAILABLE
        reason = "too many subscribers; try again later"
        return self._refuse(peer, Refusal(status, "refused_full", reason), path)

    def _respond_health(self, admission: Admission) -> Response:
        state = dict(self._health())
        reasons = self._condition.reasons()
        status = str(state.pop("status", "degraded" if reasons else "ready"))
        body: dict[str, object] = {
            "status": status,
            "protocol": wire.PROTOCOL,
            "ingest": INGEST_PATH in self._endpoints,
        }
        if "observe" in admission.roles:
            body |= {"reasons": reasons, **self._hub.describe(), **state}
        ready = status != "starting"
        code = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return json_response(code, json.dumps(body) + "\n")

    def _respond_metrics(self, _: Admission) -> Response:
        return plain_response(HTTPStatus.OK, self._metrics.text(), CONTENT_TYPE)

    async def _handle(self, peer: ServerConnection) -> None:
        assert isinstance(peer, GuardedConnection) and peer.request is not None
        sock = peer.transport.get_extra_info("socket")
        if sock is None:  # it has left already
            return
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        path = path_of(peer.request)
        if path == INGEST_PATH:
            peer.let_send_media()
        try:
            async with asyncio.timeout(peer.admission.seconds_left) as token_time:
                await self._endpoints[path][0](peer)
        except TimeoutError:
            if not token_time.expired():
                raise
            await self._close_expired(peer)

    async def _close_expired(self, peer: GuardedConnection) -> None:
        self._hub.counters["expired_tokens"] += 1
        self._log.lost("expired_tokens", peer.address, "the token has expired")
        error = wire.Error(code="unauthorized", message="this token has expired; send another")
        with contextlib.suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(connection.CLOSE_SECONDS):
                await peer.send(wire.dump_message(error))
        code = CloseCode.POLICY_VIOLATION
        await connection.close(peer, code, "token has expired", self._hub.counters)

    def _is_serving(self) -> bool:
        return self._server is not None and self._server.is_serving()

    def _tls_settings(self) -> dict[str, Any]:
        if self._tls is None:
            return {}
        return {
            "ssl": self._tls.context,
            "ssl_handshake_timeout": OPEN_SECONDS,
            "ssl_shutdown_timeout": connection.CLOSE_SECONDS,
        }
