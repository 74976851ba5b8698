"""`/v1/events`: one subscriber, from its request to its close."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from magtkd_rt import wire
from magtkd_rt.server.connection import address_of, close, write_text
from magtkd_rt.server.hub import Hub, SubscriptionRefused
from magtkd_rt.server.logs import ServerLog
from magtkd_rt.server.requests import read_query
from magtkd_rt.server.subscription import Subscription


class EventsEndpoint:
    """Serves subscribers.

    Args:
        hub: whose events.
        is_serving: whether the server goes on; else it is shutting down.
        log: where those are told who are sent away.
    """

    def __init__(self, hub: Hub, is_serving: Callable[[], bool], log: ServerLog) -> None:
        self._hub = hub
        self._is_serving = is_serving
        self._log = log

    async def __call__(self, connection: ServerConnection) -> None:
        """Serve one subscriber until it leaves, the session ends, or it must go."""
        assert connection.request is not None
        try:
            subscription = self._hub.subscribe(*read_query(connection.request.path))
        except SubscriptionRefused as refused:
            self._hub.counters["bad_requests"] += 1
            self._log.lost("bad_requests", address_of(connection), refused.problem)
            with contextlib.suppress(ConnectionClosed):
                await connection.send(wire.dump_message(refused.message))
            code = CloseCode.POLICY_VIOLATION
            await close(connection, code, refused.message.code, self._hub.counters)
            return
        try:
            code, reason = await self._serve(connection, subscription)
            await close(connection, code, reason, self._hub.counters)
        finally:
            self._hub.unsubscribe(subscription)

    async def _serve(
        self, connection: ServerConnection, subscription: Subscription
    ) -> tuple[CloseCode, str]:
        """Send what the subscription gives; return with which code to close, and why."""
        sending = asyncio.create_task(send_all(connection, subscription))
        listening = asyncio.create_task(self._listen(connection))
        subscription.on_overflow = sending.cancel
        try:
            await asyncio.wait({sending, listening}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            listening.cancel()
            await asyncio.gather(sending, listening, return_exceptions=True)
        if subscription.overflowed:
            self._log.lost("slow_readers", address_of(connection), "too slow")
            return CloseCode.TRY_AGAIN_LATER, "too slow; come back with since"
        if not listening.cancelled():
            return CloseCode.POLICY_VIOLATION, "subscribers send nothing"
        if self._is_serving():
            return CloseCode.NORMAL_CLOSURE, "session ended"
        return CloseCode.GOING_AWAY, "server is shutting down"

    async def _listen(self, connection: ServerConnection) -> None:
        """Return when the peer has gone or talks too much; a subscriber has nothing to say."""
        error = wire.Error(
            code="bad_request",
            message="subscribers send nothing; the next message closes",
        )
        with contextlib.suppress(ConnectionClosed):
            await connection.recv()
            self._hub.counters["junk_messages"] += 1
            await connection.send(wire.dump_message(error))
            await connection.recv()
            self._hub.counters["junk_messages"] += 1


async def send_all(connection: ServerConnection, subscription: Subscription) -> None:
    """Send what a subscription gives, to its end."""
    while (message := await subscription.next()) is not None:
        if not write_text(connection, message):
            await connection.send(message, text=True)
