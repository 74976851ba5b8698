"""A subscriber that survives lost connections: the same events as if it had never left."""

from __future__ import annotations

import asyncio
import random
import ssl as tls
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pydantic import ValidationError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
)
from websockets.typing import Subprotocol

from magtkd_rt import wire
from magtkd_rt.errors import ServerError

DEFAULT_URL: Final = "ws://127.0.0.1:8765/v1/events"

FIRST_DELAY: Final = 0.25
"""Seconds; the bound of the random delay before the first attempt to come back."""
LONGEST_DELAY: Final = 10.0
MAX_MESSAGE: Final = 16 << 20

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


class ServerUnavailable(ServerError):
    """There is no server now, or no session yet: it may help to try again later."""


@dataclass(slots=True)
class _Place:
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
    place = _Place(session, since)
    reached = False
    failures = 0
    while True:
        try:
            async with _open(url, place, token, tls_context) as connection:
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
            if not reached or (isinstance(error, InvalidStatus) and _is_final(error)):
                raise _unreachable(url, error) from error
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


def _open(
    url: str, place: _Place, token: str | None, tls_context: tls.SSLContext | None
) -> connect:
    target = events_url(url, place.session, place.since)
    local = urlsplit(target).hostname in ("localhost", "127.0.0.1", "::1")
    try:
        return connect(
            target,
            subprotocols=[Subprotocol(wire.PROTOCOL)],
            additional_headers={"Authorization": f"Bearer {token}"} if token else None,
            ssl=(tls_context or True) if target.startswith("wss:") else None,
            compression=None,
            max_size=MAX_MESSAGE,
            close_timeout=1.0,
            # A proxy of the environment is not meant for this machine itself.
            proxy=None if local else True,
        )
    except InvalidURI as error:
        raise _not_a_url(url) from error


async def _messages(
    connection: ClientConnection, asked: str | None
) -> AsyncGenerator[Update, None]:
    """What the server sends, parsed; types of a later server are passed over."""
    if connection.subprotocol != wire.PROTOCOL:
        raise ServerError(
            f"what answers there does not speak {wire.PROTOCOL}",
            remedy="check the address",
        )
    async for text in connection:
        try:
            message = wire.parse_message(text)
        except ValidationError as error:
            if error.errors()[0]["type"] == "union_tag_invalid":
                continue
            raise ServerError(
                f"the server sent what is not {wire.PROTOCOL}: {error.errors()[0]['msg']}",
                remedy="run server and client of the same version",
            ) from error
        if isinstance(message, wire.Error):
            raise _refused(message, asked)
        yield message


def events_url(url: str, session: str | None = None, since: int | None = None) -> str:
    """The full address of a subscription.

    Raises:
        ServerError: `url` is no address of a server.
    """
    try:
        parts = urlsplit(url if "://" in url else f"ws://{url}")
        parts.port  # noqa: B018  (looks whether it is a number)
    except ValueError as error:
        raise _not_a_url(url) from error
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if scheme not in ("ws", "wss") or not parts.hostname:
        raise _not_a_url(url)
    path = parts.path if parts.path not in ("", "/") else "/v1/events"
    query: dict[str, str | int] = dict(parse_qsl(parts.query, keep_blank_values=True))
    if session is not None:
        query["session"] = session
    if since is not None:
        query["since"] = since
    return urlunsplit((scheme, parts.netloc, path, urlencode(query), ""))


def _is_final(error: InvalidStatus) -> bool:
    """Whether coming back later cannot help; 429 says that it can."""
    return 400 <= error.response.status_code < 500 and error.response.status_code != 429


def _not_a_url(url: str) -> ServerError:
    return ServerError(f"{url!r} is no address of a server", remedy=f"give one like {DEFAULT_URL}")


def _refused(error: wire.Error, asked: str | None) -> ServerError:
    """The server's own words, which end with the remedy."""
    problem, _, remedy = error.message.rpartition("; ")
    later = error.code == "unknown_session" and asked is None
    kind = ServerUnavailable if later else ServerError
    return kind(problem or error.code, remedy=remedy)


def _unreachable(url: str, error: Exception) -> ServerError:
    if isinstance(error, tls.SSLCertVerificationError):
        return ServerError(
            f"the certificate of {url} is not trusted ({error.verify_message})",
            remedy="name the authority that signed it, --ca FILE, and call the server by a name "
            "in its certificate",
        )
    if not isinstance(error, InvalidStatus):
        return ServerUnavailable(
            f"no server answers at {url} ({error})",
            remedy="start one with magtkd-live, or give the address of one that runs",
        )
    said = error.response.body.decode("utf-8", "replace").strip()[:200]
    remedies = {
        400: "use a client of the server's version",
        401: "give the server's token: --token-file FILE, MAGTKD_TOKEN, or token=",
        403: "connect from an allowed origin, by an allowed host name, with a token that may",
        404: f"use the path of {DEFAULT_URL}",
        429: "try again later",
        503: "try again later",
    }
    status = error.response.status_code
    return (ServerError if _is_final(error) else ServerUnavailable)(
        f"{url} refused the connection: {status} {said}",
        remedy=remedies.get(status, "check that a magtkd server runs there"),
    )
