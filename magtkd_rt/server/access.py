"""Who may connect: the checks on a request's Host, Origin and subprotocols.

A web page that the user happens to visit can open a websocket to 127.0.0.1; the browser then
tells the page's origin. And a name that the page's owner controls can be made to point at
127.0.0.1 (DNS rebinding); the Host header then shows that name. Both are refused.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from websockets.datastructures import Headers

from magtkd_rt import wire
from magtkd_rt.errors import ServerError

_AUTHORITY: Final = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]/@\s]+)(:[0-9]{1,5})?", re.IGNORECASE)
_OWN_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is turned away, and the counter that says so."""

    status: HTTPStatus
    counter: str
    reason: str


@dataclass(frozen=True, slots=True)
class AccessRules:
    """What requests are accepted.

    Attributes:
        allowed_origins: origins beside the server's own, like `https://example.org`.
        allowed_hosts: host names beside those of this machine, without port.
    """

    allowed_origins: frozenset[str] = frozenset()
    allowed_hosts: frozenset[str] = frozenset()

    def check(self, headers: Headers, port: int) -> Refusal | None:
        """Judge the headers of any request to a server that listens on `port`."""
        hosts = headers.get_all("Host")
        found = _AUTHORITY.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if found is None:
            return Refusal(HTTPStatus.BAD_REQUEST, "refused_host", "one Host header is needed")
        host = found[1].lower()
        if not is_loopback(host) and host not in self.allowed_hosts:
            return Refusal(
                HTTPStatus.FORBIDDEN,
                "refused_host",
                f"host {host[:100]!r} is not this server; use 127.0.0.1 or localhost",
            )
        origins = headers.get_all("Origin")
        own = {hosts[0].lower(), *(f"{name}:{port}" for name in _OWN_NAMES)}
        accepted = {f"{scheme}://{name}" for name in own for scheme in ("http", "https")}
        if any(origin.lower() not in accepted | self.allowed_origins for origin in origins):
            return Refusal(
                HTTPStatus.FORBIDDEN,
                "refused_origin",
                f"pages of {origins[0][:100]!r} may not connect; allow that origin on the server",
            )
        return None


def check_subprotocols(headers: Headers) -> Refusal | None:
    """Judge a handshake: whoever offers subprotocols must offer ours."""
    offers = headers.get_all("Sec-WebSocket-Protocol")
    names = {name.strip() for offer in offers for name in offer.split(",")}
    if offers and wire.PROTOCOL not in names:
        return Refusal(
            HTTPStatus.BAD_REQUEST,
            "refused_subprotocol",
            f"this server speaks {wire.PROTOCOL} only; offer that subprotocol",
        )
    return None


def is_loopback(host: str) -> bool:
    """Whether a host name or address (IPv6 with or without brackets) is this machine's own."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_bind(host: str, port: int) -> None:
    """Refuse to listen where others could connect, since there are no tokens yet.

    Raises:
        ServerError: the host is not this machine alone, or the port is none.
    """
    if not is_loopback(host):
        raise ServerError(
            f"listening on {host!r} would let other machines read along",
            remedy="use --host 127.0.0.1; to watch from elsewhere, forward the port with ssh -L",
        )
    if not 0 <= port <= 65535:
        raise ServerError(f"{port} is not a port", remedy="use --port N with N from 0 to 65535")


def rules(allowed_origins: Sequence[str] = (), allowed_hosts: Sequence[str] = ()) -> AccessRules:
    """Rules with the given additions; letter case and a closing slash do not matter."""
    return AccessRules(
        frozenset(origin.lower().rstrip("/") for origin in allowed_origins),
        frozenset(host.lower() for host in allowed_hosts),
    )
