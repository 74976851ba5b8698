"""How clients connect to a server, and what they say where they cannot."""

from __future__ import annotations

import re
import ssl as tls
from collections.abc import Callable, Mapping
from typing import Final, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pydantic import ValidationError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from magtkd_rt import wire
from magtkd_rt.errors import ServerError

DEFAULT_URL: Final = "ws://127.0.0.1:8765/v1/events"
MAX_MESSAGE: Final = 16 << 20

Parsed = TypeVar("Parsed")


class ServerUnavailable(ServerError):
    """There is no server now, no room, or no session yet: it may help to try again later."""


def address_of(url: str, path: str, query: Mapping[str, str | int | None] | None = None) -> str:
    """The full address of a websocket of the server.

    Args:
        url: `ws://host:port`, `http://host:port` or `host:port`.
        path: used where `url` has none, or that of the other websocket.
        query: parameters beside those of `url`; None leaves one out.

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
    own = path if parts.path in ("", "/") else re.sub("/v1/(events|ingest)$", path, parts.path)
    fields: dict[str, str | int] = dict(parse_qsl(parts.query, keep_blank_values=True))
    fields |= {name: value for name, value in (query or {}).items() if value is not None}
    return urlunsplit((scheme, parts.netloc, own, urlencode(fields), ""))


def open_connection(address: str, token: str | None, tls_context: tls.SSLContext | None) -> connect:
    """A connection to be entered.

    Args:
        address: of a websocket, whole.
        token: the server's token, where it wants one.
        tls_context: which certificates are trusted, for `wss://`; None for the system's.

    Raises:
        ServerError: it is no address of a server.
    """
    local = urlsplit(address).hostname in ("localhost", "127.0.0.1", "::1")
    try:
        return connect(
            address,
            subprotocols=[Subprotocol(wire.PROTOCOL)],
            additional_headers={"Authorization": f"Bearer {token}"} if token else None,
            ssl=(tls_context or True) if address.startswith("wss:") else None,
            compression=None,
            max_size=MAX_MESSAGE,
            close_timeout=1.0,
            # A proxy of the environment is not meant for this machine itself.
            proxy=None if local else True,
        )
    except InvalidURI as error:
        raise _not_a_url(address) from error


def check_protocol(connection: ClientConnection) -> None:
    """Look whether it is our protocol that is spoken.

    Raises:
        ServerError: it is not.
    """
    if connection.subprotocol != wire.PROTOCOL:
        raise ServerError(
            f"what answers there does not speak {wire.PROTOCOL}",
            remedy="check the address",
        )


def read(text: str | bytes, parse: Callable[[str | bytes], Parsed]) -> Parsed | None:
    """A message of the server; None where it is of a type that only a later version knows.

    Raises:
        ServerError: it is no message of this protocol.
    """
    try:
        return parse(text)
    except ValidationError as error:
        if error.errors()[0]["type"] == "union_tag_invalid":
            return None
        raise ServerError(
            f"the server sent what is not {wire.PROTOCOL}: {error.errors()[0]['msg']}",
            remedy="run server and client of the same version",
        ) from error


def refused(error: wire.Error, asked: str | None) -> ServerError:
    """The server's own words, which end with the remedy; `asked` is the session asked for."""
    problem, _, remedy = error.message.rpartition("; ")
    no_session_yet = error.code == "unknown_session" and asked is None
    kind = ServerUnavailable if no_session_yet or error.code == "overload" else ServerError
    return kind(problem or error.code, remedy=remedy)


def is_final(error: Exception) -> bool:
    """Whether coming back later cannot help; 429 says that it can."""
    if not isinstance(error, InvalidStatus):
        return False
    return 400 <= error.response.status_code < 500 and error.response.status_code != 429


def unreachable(url: str, error: Exception) -> ServerError:
    """Why there is no connection, with the remedy."""
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
    return (ServerError if is_final(error) else ServerUnavailable)(
        f"{url} refused the connection: {status} {said}",
        remedy=remedies.get(status, "check that a magtkd server runs there"),
    )


def _not_a_url(url: str) -> ServerError:
    return ServerError(f"{url!r} is no address of a server", remedy=f"give one like {DEFAULT_URL}")
