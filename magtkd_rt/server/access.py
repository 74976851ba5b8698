"""Who may connect: the checks on a request's Host, Origin and subprotocols.

A web page that the user happens to visit can open a websocket to 127.0.0.1; the browser then
tells the page's origin. And a name that the page's owner controls can be made to point at
127.0.0.1 (DNS rebinding); the Host header then shows that name. Both are refused.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.typing import Subprotocol

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
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AccessRules:
    """What requests are accepted.

    Attributes:
        allowed_origins: origins beside the server's own, like `https://example.org`.
        allowed_hosts: host names beside those of this machine, without port.
        any_address: addresses in figures are accepted as hosts, since the server listens to other
            machines too. No name can be made to look like one.
    """

    allowed_origins: frozenset[str] = frozenset()
    allowed_hosts: frozenset[str] = frozenset()
    any_address: bool = False

    def check(self, headers: Headers, port: int) -> Refusal | None:
        """Judge the headers of any request to a server that listens on `port`."""
        hosts = headers.get_all("Host")
        found = _AUTHORITY.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if found is None:
            return Refusal(HTTPStatus.BAD_REQUEST, "refused_host", "one Host header is needed")
        host = found[1].lower()
        if not self._is_ours(host):
            return Refusal(
                HTTPStatus.FORBIDDEN,
                "refused_host",
                f"host {host[:100]!r} is not this server; use its address, or start it with "
                f"--allow-host {host[:100]}",
            )
        origins = headers.get_all("Origin")
        own = {hosts[0].lower(), *(f"{name}:{port}" for name in _OWN_NAMES)}
        accepted = {f"{scheme}://{name}" for name in own for scheme in ("http", "https")}
        if any(origin.lower() not in accepted | self.allowed_origins for origin in origins):
            return Refusal(
                HTTPStatus.FORBIDDEN,
                "refused_origin",
                f"pages of {origins[0][:100]!r} may not connect; start the server with "
                f"--allow-origin {origins[0][:100]}",
            )
        return None

    def _is_ours(self, host: str) -> bool:
        if is_loopback(host) or host in self.allowed_hosts:
            return True
        return self.any_address and is_address(host)


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


def select_subprotocol(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Answer with our own subprotocol and nothing else: what follows it may be a token."""
    return Subprotocol(wire.PROTOCOL) if wire.PROTOCOL in offered else None


def is_loopback(host: str) -> bool:
    """Whether a host name or address (IPv6 with or without brackets) is this machine's own."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_address(host: str) -> bool:
    """Whether a host is an address in figures (IPv6 with or without brackets), not a name."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def check_bind(host: str, port: int, *, asks_for_token: bool = False) -> None:
    """Refuse to listen where others could connect, unless they need a token.

    Raises:
        ServerError: the host is not this machine alone, or the port is none.
    """
    if not is_loopback(host) and not (asks_for_token and host):
        raise ServerError(
            f"listening on {host!r} would let other machines read along",
            remedy="ask for a token, --token-file FILE, or use --host 127.0.0.1; to watch from "
            "elsewhere without one, forward the port with ssh -L",
        )
    if not 0 <= port <= 65535:
        raise ServerError(f"{port} is not a port", remedy="use --port N with N from 0 to 65535")


def rules(
    allowed_origins: Sequence[str] = (),
    allowed_hosts: Sequence[str] = (),
    *,
    any_address: bool = False,
) -> AccessRules:
    """Rules with the given additions; letter case and a closing slash do not matter."""
    return AccessRules(
        frozenset(origin.lower().rstrip("/") for origin in allowed_origins),
        frozenset(host.lower() for host in allowed_hosts),
        any_address,
    )
