"""`/v1/ingest`: who sends media, from the request to the close."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from magtkd_rt import wire
from magtkd_rt.core.media import NANOSECONDS
from magtkd_rt.errors import InputError, MagtkdError, ServerError
from magtkd_rt.server.connection import CLOSE_SECONDS, close
from magtkd_rt.server.events import send_all
from magtkd_rt.server.hub import Hub, SubscriptionRefused
from magtkd_rt.server.ingest.host import Host, Hosted
from magtkd_rt.server.ingest.limits import CLOSE_CODES, Refused, SenderLimits
from magtkd_rt.server.ingest.link import SenderLink
from magtkd_rt.server.ingest.parser import read_hello
from magtkd_rt.server.ingest.session import SenderSession
from magtkd_rt.server.logs import ServerLog, say
from magtkd_rt.server.subscription import Subscription
from magtkd_rt.sources.incoming import Incoming
from magtkd_rt.sources.ingest import IngestSource

SHUTDOWN_SECONDS: Final = 10.0
"""How long sessions may take for their last results when the server shuts down."""
LAST_SECONDS: Final = 30.0
"""How long a sender may take for the last events."""
_REMEMBERED: Final = 64


class IngestEndpoint:
    """Serves senders, each with a session of its own.

    An asynchronous context manager: on leaving, sessions are stopped, and their senders get the
    last events and a close. Leave it before the server that it belongs to.

    Args:
        hub: gets the events; its counters count what is refused.
        host: runs the sessions.
        limits: what is put up with.
        now_ns: the monotonic clock.
    """

    def __init__(
        self,
        hub: Hub,
        host: Host,
        limits: SenderLimits | None = None,
        *,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.limits = limits or SenderLimits()
        self._hub = hub
        self._host = host
        self._now_ns = now_ns
        self._sessions: dict[str, SenderSession] = {}
        self._over: deque[SenderSession] = deque()
        self._ended: deque[str] = deque(maxlen=_REMEMBERED)
        self._greeting: set[ServerConnection] = set()
        self._beginning: set[asyncio.Task[Hosted]] = set()
        self._handlers: set[asyncio.Task[None]] = set()
        self._closing = False
        self._log = ServerLog()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close("server is shutting down")

    async def close(self, reason: str) -> None:
        """Stop every session, wait for its last events, and close every connection (1001)."""
        self._closing = True
        sessions = [session for session in self._sessions.values() if not session.over.done()]
        for session in sessions:
            session.stop(reason)
        counters = self._hub.counters
        leave = [close(one, CloseCode.GOING_AWAY, reason, counters) for one in self._greeting]
        await asyncio.gather(*leave, return_exceptions=True)
        if self._beginning:
            await asyncio.wait(self._beginning, timeout=CLOSE_SECONDS)
            for beginning in self._beginning:
                beginning.cancel()
        if sessions:
            await asyncio.wait([one.over for one in sessions], timeout=SHUTDOWN_SECONDS)
        if self._handlers:
            await asyncio.wait(self._handlers, timeout=2 * CLOSE_SECONDS)

    def describe(self) -> dict[str, object]:
        """How many senders there are, and sessions that wait for theirs; ready for JSON."""
        going_on = [session for session in self._sessions.values() if not session.over.done()]
        waiting = sum(session.link is None for session in going_on)
        return {"senders": len(going_on) - waiting, "senders_lost": waiting}

    async def __call__(self, connection: ServerConnection) -> None:
        """Serve one connection until it is closed."""
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        try:
            code, reason = await self._serve(connection)
            await close(connection, code, reason, self._hub.counters)
        except Refused as refused:
            self._hub.counters[f"ingest_{refused.code}"] += 1
            address = (connection.remote_address or [""])[0]
            self._log.lost(f"ingest_{refused.code}", address, refused.problem)
            await self._refuse(connection, refused)
        except ConnectionClosed:
            self._count_broken(connection)
        finally:
            self._handlers.discard(task)

    async def _serve(self, connection: ServerConnection) -> tuple[CloseCode, str]:
        """Serve it; returns with which code to close, and why.

        Raises:
            Refused: it cannot be served (any more).
            ConnectionClosed: it is gone.
        """
        if self._closing:
            return CloseCode.GOING_AWAY, "server is shutting down"
        if len(self._handlers) > self.limits.connections:
            raise Refused("overload", "too many senders are connected; try again later")
        hello = await self._greet(connection)
        if hello.session_id is None:
            session = await self._begin(hello)
        else:
            session = self._find(hello.session_id, hello)
        subscription = self._subscribe(session, hello)
        link = SenderLink(
            connection, session, hello, self.limits, self._hub.counters, self._seconds, self._log
        )
        token = session.attach(link, hello.resume_token)
        try:
            await self._welcome(connection, session, hello, token)
            return await self._follow(connection, session, link, subscription)
        finally:
            if session.detach(link):
                self._hub.counters["ingest_lost"] += 1
            if subscription is not None:
                self._hub.unsubscribe(subscription)

    async def _welcome(
        self, connection: ServerConnection, session: SenderSession, hello: wire.Hello, token: str
    ) -> None:
        if hello.session_id is not None:
            self._hub.counters["ingest_resumed"] += 1
        ready = wire.Ready(
            session_id=session.session_id, resume_token=token, limits=self.limits.told()
        )
        try:
            await connection.send(wire.dump_message(ready))
        except ConnectionClosed:
            if hello.session_id is None:  # nobody knows that there is a session
                session.stop("sender lost")
            raise

    async def _greet(self, connection: ServerConnection) -> wire.Hello:
        self._greeting.add(connection)
        try:
            async with asyncio.timeout(self.limits.hello_seconds):
                hello = read_hello(await connection.recv())
        except TimeoutError:
            problem = f"no hello in {self.limits.hello_seconds:g} s; send it first"
            raise Refused("timeout", problem) from None
        finally:
            self._greeting.discard(connection)
        connection.protocol.max_message_size = self.limits.message_bytes  # until now: text only
        return hello

    def _find(self, session_id: str, hello: wire.Hello) -> SenderSession:
        session = self._sessions.get(session_id)
        if session is not None:
            session.check(hello)
            return session
        if session_id in self._ended:
            raise Refused("unauthorized", "the session has ended; begin a new one")
        problem = f"there is no session {session_id[:64]!r}; begin a new one"
        raise Refused("unknown_session", problem)

    async def _begin(self, hello: wire.Hello) -> SenderSession:
        limits = self.limits
        source = IngestSource(
            hello.audio,
            hello.video,
            fps=limits.pictures_per_second,
            ahead=limits.ahead_seconds,
            patience=limits.patience_seconds,
            now_ns=self._now_ns,
            incoming=Incoming(max_age_ns=round(limits.queue_seconds * NANOSECONDS)),
        )
        beginning = asyncio.create_task(self._ask_host(source, hello))
        self._beginning.add(beginning)
        try:
            await asyncio.wait({beginning})  # only shutting down cancels it
        finally:
            self._beginning.discard(beginning)
        if beginning.cancelled():
            raise Refused("overload", "the server is shutting down; come back later")
        hosted = beginning.result()
        session = SenderSession(hosted, source, hello, limits.resume_seconds)
        try:
            self._hub.open(session.session_id)
        except ServerError as error:
            session.stop("too many sessions")
            raise Refused("overload", str(error)) from error
        self._sessions[session.session_id] = session
        session.over.add_done_callback(lambda _: self._let_go(session))
        if self._closing:
            session.stop("server is shutting down")
        return session

    async def _ask_host(self, source: IngestSource, hello: wire.Hello) -> Hosted:
        try:
            return await self._host.begin(source, hello)
        except ServerError as error:
            raise Refused("overload", str(error)) from error
        except InputError as error:
            raise Refused("unsupported", str(error)) from error
        except MagtkdError as error:
            say(logging.ERROR, "session_not_begun", reason=str(error))
            raise Refused("overload", "no session can begin here; the log says why") from error

    def _subscribe(self, session: SenderSession, hello: wire.Hello) -> Subscription | None:
        if not hello.subscribe:
            return None
        try:
            return self._hub.subscribe(session.session_id, hello.since or 0)
        except SubscriptionRefused as refused:
            raise Refused("bad_request", refused.message.message) from refused

    async def _follow(
        self,
        connection: ServerConnection,
        session: SenderSession,
        link: SenderLink,
        subscription: Subscription | None,
    ) -> tuple[CloseCode, str]:
        """Take media and send events until the session is over, or the connection must end."""
        reading = asyncio.create_task(link.read())
        replaced = asyncio.create_task(link.replaced.wait())
        acknowledging = asyncio.create_task(link.acknowledge())
        tasks: list[asyncio.Task[Any]] = [reading, replaced, acknowledging]
        delivered = session.over
        if subscription is not None:
            delivered = asyncio.create_task(send_all(connection, subscription))
            subscription.on_overflow = delivered.cancel
            tasks.append(delivered)
        leaving: set[asyncio.Task[Any]] = {reading, replaced}
        try:
            ends: set[asyncio.Task[Any]] = {delivered, session.over}
            await asyncio.wait(ends | leaving, return_when=asyncio.FIRST_COMPLETED)
            # The last event comes a little before the session's end, or a little after.
            ends = {end for end in ends if not end.done()}
            if ends and not _has_failed(delivered) and not any(task.done() for task in leaving):
                await asyncio.wait(
                    ends | leaving, timeout=LAST_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if link.replaced.is_set():
            self._hub.counters["ingest_replaced"] += 1
            return CloseCode.POLICY_VIOLATION, "another connection has taken over"
        if subscription is not None and subscription.overflowed:
            return CloseCode.TRY_AGAIN_LATER, "too slow; come back with since"
        if not reading.cancelled():
            refused = reading.result()
            return CLOSE_CODES[refused.code], refused.code
        if session.failed:
            return CloseCode.INTERNAL_ERROR, "the session failed"
        if self._closing or not session.over.done():
            return CloseCode.GOING_AWAY, "server is shutting down"
        return CloseCode.NORMAL_CLOSURE, "session ended"

    async def _refuse(self, connection: ServerConnection, refused: Refused) -> None:
        error = wire.Error(code=refused.code, message=refused.problem)
        with contextlib.suppress(ConnectionClosed):
            await connection.send(wire.dump_message(error))
        code = CloseCode.GOING_AWAY if self._closing else CLOSE_CODES[refused.code]
        await close(connection, code, refused.code, self._hub.counters)

    def _count_broken(self, connection: ServerConnection) -> None:
        """Count what the websocket protocol itself refused."""
        sent = connection.protocol.close_sent
        if sent is not None and sent.code == CloseCode.MESSAGE_TOO_BIG:
            self._hub.counters["ingest_too_large"] += 1
        elif sent is not None and sent.code in (CloseCode.PROTOCOL_ERROR, CloseCode.INVALID_DATA):
            self._hub.counters["ingest_bad_websocket"] += 1

    def _let_go(self, session: SenderSession) -> None:
        """A sender who was lost after `end` may still come for the last events and the close."""
        self._over.append(session)
        if len(self._over) > _REMEMBERED:
            self._forget(self._over[0])
        loop = asyncio.get_running_loop()
        loop.call_later(self.limits.resume_seconds, self._forget, session)

    def _forget(self, session: SenderSession) -> None:
        if session in self._over:
            self._over.remove(session)
            del self._sessions[session.session_id]
            self._ended.append(session.session_id)

    def _seconds(self) -> float:
        return self._now_ns() / 1e9


def _has_failed(task: asyncio.Task[Any]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
