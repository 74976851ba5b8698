"""A subscriber that survives lost connections: the same events as if it had never left."""

from __future__ import annotations

import asyncio
import random
import ssl as tls
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Final

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from magtkd_rt import wire
from magtkd_rt.clients.connection import (
    DEFAULT_URL,
    ServerUnavailable,
    address_of,
    check_protocol,
    is_final,
    open_connection,
    read,
    refused,
    unreachable,
)

FIRST_DELAY: Final = 0.25
"""Seconds; the bound of the random delay before the first attempt to come back."""
LONGEST_DELAY: Final = 10.0

Update = (
    wire.SessionStarted
    | wire.SpeechStarted
    | wire.Transcript
    | wire.Emotion
    | wire.UtteranceDropped
    | wire.Status
    | wire.SessionEnded
    | wire.Snapshot
)
"""What a subscriber gets: any event, or a snapshot of the state."""


@dataclass(slots=True)
class Place:
    """Where in which session the subscriber is."""

    session: str | None
    since: int | None

    def take(self, message: Update) -> bool:
        """Move on to after `message`; False where it has been had already."""
        if isinstance(message, wire.Snapshot):
            if message.session is not None:
                self.session = message.session.session_id
        elif self.since is not None and message.seq <= self.since:
            return False
        else:
            self.session = message.session_id
        self.since = message.seq
        return True


async def subscribe(
    url: str = DEFAULT_URL,
    *,
    session: str | None = None,
    since: int | None = None,
    token: str | None = None,
    tls_context: tls.SSLContext | None = None,
    reconnect: bool = True,
    attempts: int = 10,
    on_retry: Callable[[str, float], None] | None = None,
) -> AsyncGenerator[Update, None]:
    """Yield the events of one session in order, each once, until `session.ended`.

    A lost connection is taken up again after the last event, with exponential backoff and full
    jitter. Where the server no longer has all that was missed, a `Snapshot` comes first.

    Args:
        url: the server: `ws://host:port`, `http://host:port` or `host:port`; the path is optional.
        session: which session; None takes the current one.
        since: give everything after this seq, 0 for all; None begins with a `Snapshot` of the
            present state and goes on from there.
        token: the server's token, where it wants one.
        tls_context: which certificates are trusted, for `wss://`; None for the system's.
        reconnect: come back when the connection is lost, or while no session has begun yet.
        attempts: connections that may fail one after the other before giving up.
        on_retry: called with the reason and the seconds until the next attempt.

    Raises:
        ServerError: the server cannot be reached at first, refuses the request, does not know
            the session (any more), or stays away; with the remedy.
    """
    place = Place(session, since)
    reached = False
    failures = 0
    while True:
        try:
            address = events_url(url, place.session, place.since)
            async with open_connection(address, token, tls_context) as connection:
                reached = True
                async for message in _messages(connection, place.session):
                    failures = 0
                    if place.take(message):
                        yield message
                    if isinstance(message, wire.SessionEnded):
                        return
            problem = "the server closed the connection before the session ended"
        except ConnectionClosed as closed:
            problem = f"the connection was lost ({closed})"
        except ServerUnavailable as unavailable:  # it runs, but no session has begun
            problem = unavailable.problem
        except (OSError, InvalidHandshake) as error:
            if not reached or is_final(error):
                raise unreachable(url, error) from error
            problem = f"no connection to {url} ({error})"
        failures += 1
        if not reconnect or failures > attempts:
            raise ServerUnavailable(
                problem, remedy=f"subscribe again with since={place.since or 0}"
            )
        delay = retry_delay(failures)
        if on_retry is not None:
            on_retry(problem, delay)
        await asyncio.sleep(delay)


def retry_delay(failures: int) -> float:
    """Seconds to wait after so many failures in a row (1 or more): random, the bound doubling."""
    return random.uniform(0, min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(failures - 1, 30)))


async def _messages(
    connection: ClientConnection, asked: str | None
) -> AsyncGenerator[Update, None]:
    """What the server sends, parsed; types of a later server are passed over."""
    check_protocol(connection)
    async for text in connection:
        message = read(text, wire.parse_message)
        if isinstance(message, wire.Error):
            raise refused(message, asked)
        if message is not None:
            yield message


def events_url(url: str, session: str | None = None, since: int | None = None) -> str:
    """The full address of a subscription.

    Raises:
        ServerError: `url` is no address of a server.
    """
    return address_of(url, "/v1/events", {"session": session, "since": since})
