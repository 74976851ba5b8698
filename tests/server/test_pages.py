"""The pages as they are served: their headers, and that nothing else is."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from importlib.resources import files

import pytest

from magtkd_rt.server import EventServer, Hub
from magtkd_rt.server.pages import CHARTS, charting_library

pytestmark = pytest.mark.anyio

Get = Callable[..., Awaitable[tuple[int, dict[str, str], str]]]
SCRIPTS = sorted(
    file.name for file in (files("magtkd_rt") / "dashboard").iterdir() if file.name.endswith(".js")
)


async def test_the_pages_have_strict_headers(get: Get) -> None:
    async with EventServer(Hub(), port=0) as server:
        for path in ("/", "/capture", "/?overlay=1&session=x"):
            status, headers, body = await get(server.port, path)
            assert status == 200 and body.startswith("<!doctype html>")
            assert headers["content-type"] == "text/html; charset=utf-8"
            policy = headers["content-security-policy"].split("; ")
            assert "default-src 'none'" in policy
            assert "script-src 'self'" in policy and "style-src 'self'" in policy
            own = f"127.0.0.1:{server.port}"
            assert f"connect-src 'self' ws://{own} wss://{own}" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert "microphone=(self)" in headers["permissions-policy"]
            assert headers["cache-control"] == "no-cache"


async def test_every_file_of_the_pages_is_served_once_and_then_only_asked_for(get: Get) -> None:
    async with EventServer(Hub(), port=0) as server:
        assert len(SCRIPTS) > 15
        for name in SCRIPTS:
            status, headers, body = await get(server.port, f"/dashboard/{name}")
            assert status == 200 and body
            assert headers["content-type"] == "text/javascript; charset=utf-8"
            tag = {"If-None-Match": f'"other", W/{headers["etag"]}'}
            again, _, nothing = await get(server.port, f"/dashboard/{name}", **tag)
            assert (again, nothing) == (304, "")


async def test_nothing_else_is_served(get: Get) -> None:
    async with EventServer(Hub(), port=0) as server:
        for path in (
            "/dashboard/",
            "/dashboard/../server/pages.py",
            "/dashboard/..%2fserver%2fpages.py",
            "/dashboard//etc/passwd",
            "/dashboard/%2e%2e/py.typed",
            "/dashboard/index.html",
            "/dashboard/nothing.js",
            "/index.html",
            "//",
            "/capture/",
        ):
            assert (await get(server.port, path))[0] == 404, path
        assert (await get(server.port, "/", method="POST"))[0] in (400, 405)


async def test_pages_are_refused_under_a_foreign_name(get: Get) -> None:
    async with EventServer(Hub(), port=0) as server:
        assert (await get(server.port, "/", Host="evil.example"))[0] == 403
        assert (await get(server.port, "/", Host="127.0.0.1; script-src *"))[0] == 400
        assert (await get(server.port, "/", Origin="http://evil.example"))[0] == 403


async def test_the_charting_library_is_packed(get: Get) -> None:
    assert (library := charting_library()) is not None
    async with EventServer(Hub(), port=0) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = f"GET {CHARTS} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        writer.write(f"{head}Accept-Encoding: br, gzip;q=0.9\r\n\r\n".encode())
        answer, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        assert b"Content-Encoding: gzip" in answer
        assert len(body) < 2_000_000
        assert gzip.decompress(body) == library.read_bytes()
        plain = await get(server.port, CHARTS)
        assert plain[2].encode() == library.read_bytes() and "content-encoding" not in plain[1]
