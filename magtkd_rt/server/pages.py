"""The pages for people's browsers: dashboard, capture page, and the files that they are made of.

Everything is read from the installed packages, once; nothing of a request becomes a file's name.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

ASSETS: Final = "/dashboard/"
CHARTS: Final = f"{ASSETS}plotly.js"
"""The charting library, out of the package `plotly`."""
NAMED: Final = {"/": "index.html", "/capture": "capture.html"}
"""Pages by the path that people type."""

_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_PACK_FROM: Final = 1 << 20
"""Bytes from which a file is packed: over the loopback the small ones are not worth it."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is sent.

    Attributes:
        kind: its media type.
        tag: changes with its content.
        body: the file.
        packed: the same under gzip; empty where it is not worth it.
    """

    kind: str
    tag: str
    body: bytes
    packed: bytes = b""


class Pages:
    """Answers for the paths of the pages."""

    def __init__(self) -> None:
        self._files: dict[str, Callable[[], bytes]] = dict(_packaged())
        self._ready: dict[str, Asset] = {}

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths that people type."""
        return tuple(NAMED)

    async def answer(self, path: str, request: Request) -> Response | None:
        """The response to a GET of `path`; None where no page has that path.

        Args:
            path: of the request, without its query.
            request: with a valid `Host`, to which the page will connect.
        """
        if path not in self._files:
            return None
        if path not in self._ready:
            # The charting library is megabytes, and events do not wait for it.
            self._ready[path] = await asyncio.to_thread(_prepare, path, self._files[path])
        return _respond(self._ready[path], request)


def _packaged() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Each path that there is, and how its file is read."""
    folder = files("magtkd_rt") / "dashboard"
    by_name: dict[str, Traversable] = {file.name: file for file in folder.iterdir()}
    for path, name in NAMED.items():
        yield path, by_name[name].read_bytes
    for name, file in by_name.items():
        if _suffix(name) in _TYPES and name not in NAMED.values():
            yield ASSETS + name, file.read_bytes
    client = files("magtkd_rt.clients") / "client.js"
    if client.is_file():
        yield "/client.js", client.read_bytes
    if (charts := charting_library()) is not None:
        yield CHARTS, charts.read_bytes


def charting_library() -> Path | None:
    """Where the package `plotly` keeps its script; None where it is not installed.

    The package itself is not imported, which takes a second.
    """
    found = importlib.util.find_spec("plotly")
    for folder in (found and found.submodule_search_locations) or ():
        script = Path(folder) / "package_data" / "plotly.min.js"
        if script.is_file():
            return script
    return None


def _prepare(path: str, read: Callable[[], bytes]) -> Asset:
    body = read()
    packed = gzip.compress(body, 6) if len(body) >= _PACK_FROM else b""
    kind = _TYPES[_suffix(path)] if path not in NAMED else _TYPES[".html"]
    return Asset(kind, f'"{hashlib.sha256(body).hexdigest()[:32]}"', body, packed)


def _suffix(name: str) -> str:
    return name[name.rfind(".") :]


def _respond(asset: Asset, request: Request) -> Response:
    value = partial(_value, request.headers)
    headers = Headers(
        {
            "Content-Type": asset.kind,
            "Cache-Control": "no-cache",  # kept, but asked for again each time: see the tag
            "ETag": asset.tag,
            "Vary": "Accept-Encoding",
            "Content-Security-Policy": policy(value("Host")),
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Permissions-Policy": "camera=(self), microphone=(self), geolocation=()",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Connection": "close",
        }
    )
    if asset.tag in (tag.strip().removeprefix("W/") for tag in value("If-None-Match").split(",")):
        status = HTTPStatus.NOT_MODIFIED
        return Response(status.value, status.phrase, headers, b"")
    body = asset.body
    coded = (part.partition(";")[0].strip() for part in value("Accept-Encoding").split(","))
    if asset.packed and "gzip" in coded:
        body = asset.packed
        headers["Content-Encoding"] = "gzip"
    headers["Content-Length"] = str(len(body))
    return Response(HTTPStatus.OK.value, HTTPStatus.OK.phrase, headers, body)


def _value(headers: Headers, name: str) -> str:
    return ", ".join(headers.get_all(name))


def policy(host: str) -> str:
    """The Content-Security-Policy of a page that was asked for under `host`, a valid authority.

    Nothing from elsewhere and nothing inline, and no text becomes markup or code (trusted types).
    """
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data: blob:",
            f"connect-src 'self' ws://{host} wss://{host}",  # not every browser's 'self' has them
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )
