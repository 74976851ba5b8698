"""A page of somebody else in a real browser cannot read a local stream; the server's own can."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import pytest
from browser import chromium, need_chromium
from playwright.async_api import Page
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from magtkd_rt.server import EventServer, Hub
from magtkd_rt.server.access import rules
from magtkd_rt.server.gate import Access
from magtkd_rt.server.requests import plain_response
from magtkd_rt.server.tokens import Tokens, parse_token

SECRET = "0123456789abcdef"
NAMES = ("evil.example", "rebound.example")

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

TRY = """
async ({address, token}) => {
    const found = {};
    const said = async (name, ask) => {
        try { found[name] = await ask(); } catch (error) { found[name] = `failed: ${error.name}`; }
    };
    const listen = (protocols) => new Promise((resolve, reject) => {
        const socket = new WebSocket(`ws://${address}/v1/events?since=0`, protocols);
        socket.onmessage = (message) => { socket.close(); resolve(JSON.parse(message.data).type); };
        socket.onerror = () => reject(new TypeError("refused"));
        setTimeout(() => resolve("silence"), 5000);
    });
    await said("websocket", () => listen(["magtkd.v1"]));
    await said("websocket without a protocol", () => listen([]));
    await said("websocket with the token", () => listen(["magtkd.v1", token]));
    for (const path of ["/health", "/metrics", "/schema.json", "/"]) {
        const url = `http://${address}${path}`;
        await said(path, async () => `read ${(await (await fetch(url)).text()).length > 0}`);
        await said(`${path} opaque`, async () => {
            const answer = await fetch(url, {mode: "no-cors"});
            return `read ${(await answer.text()).length > 0}`;
        });
    }
    return found;
}
"""
"""What a page tries; by the name of each attempt, what it got."""

NOTHING = {"failed: TypeError", "read false"}


@pytest.fixture(autouse=True)
def a_browser() -> None:
    need_chromium()


@asynccontextmanager
async def browsing(url: str) -> AsyncIterator[Page]:
    """A page at `url` in a browser to which the names of evil pages point here."""
    mapped = ", ".join(f"MAP {name} 127.0.0.1" for name in NAMES)
    async with chromium(f"--host-resolver-rules={mapped}") as browser:
        page = await browser.new_page()
        await page.goto(url)
        yield page


@asynccontextmanager
async def foreign_page() -> AsyncIterator[int]:
    """A server of somebody else's; its port."""

    def answer(_: ServerConnection, __: Request) -> Response:
        return plain_response(HTTPStatus.OK, b"<!doctype html><title>cats</title>", "text/html")

    async def never(_: ServerConnection) -> None: ...

    async with serve(never, "127.0.0.1", 0, process_request=answer) as server:
        yield server.sockets[0].getsockname()[1]


async def attempts(url: str, address: str) -> dict[str, Any]:
    async with asyncio.timeout(60), browsing(url) as page:
        found = await page.evaluate(TRY, {"address": address, "token": SECRET})
        assert len(found) == 11
        return dict(found)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost"])
async def test_a_foreign_page_reads_nothing(script: Any, host: str) -> None:
    """Neither from another name nor from another port of this machine."""
    hub = Hub()
    hub.publish(script.started())
    async with foreign_page() as port, EventServer(hub, port=0) as server:
        found = await attempts(f"http://{host}:{port}/", f"127.0.0.1:{server.port}")
    assert set(found.values()) <= NOTHING, found
    assert hub.counters["refused_origin"] >= 3
    assert set(hub.counters) == {"refused_origin"}


async def test_a_name_that_was_made_to_point_here_reads_nothing(script: Any) -> None:
    """DNS rebinding: for the browser it is the page's own origin, so nothing else protects it."""
    hub = Hub()
    hub.publish(script.started())
    async with EventServer(hub, port=0) as server:
        here = f"rebound.example:{server.port}"
        async with asyncio.timeout(60), browsing(f"http://{here}/schema.json") as page:
            found = await page.evaluate(TRY, {"address": here, "token": SECRET})
            shown = await page.inner_text("body")
    assert "is not this server" in shown and "session" not in shown
    assert {found[name] for name in found if "websocket" in name} == {"failed: TypeError"}
    assert set(hub.counters) == {"refused_host"}
    # What it read of the other paths were refusals.
    assert hub.counters["refused_host"] >= 11


async def test_the_servers_own_page_reads(script: Any) -> None:
    hub = Hub()
    hub.publish(script.started())
    async with EventServer(hub, port=0) as server:
        here = f"127.0.0.1:{server.port}"
        found = await attempts(f"http://{here}/schema.json", here)
    assert found["websocket"] == found["websocket without a protocol"] == "session.started"
    assert found["/health"] == found["/metrics"] == "read true"


async def test_with_tokens_only_the_token_helps(script: Any) -> None:
    """Also where the page's name is one of the server's, as it is behind a shared host name."""
    hub = Hub()
    hub.publish(script.started())
    access = Access(rules(allowed_hosts=["rebound.example"]), Tokens([parse_token(SECRET)]))
    async with EventServer(hub, port=0, access=access) as server:
        here = f"rebound.example:{server.port}"
        async with asyncio.timeout(60), browsing(f"http://{here}/schema.json") as page:
            found = await page.evaluate(TRY, {"address": here, "token": SECRET})
    assert found["websocket"] == found["websocket without a protocol"] == "failed: TypeError"
    assert found["websocket with the token"] == "session.started"
