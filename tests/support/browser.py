"""A real Chromium, and a server whose pages it opens."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page, async_playwright

from magtkd_rt import wire
from magtkd_rt.server import EventServer, Hub, Limits

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-proxy-server",
)
TELL_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""


def need_chromium() -> None:
    """Skip where there is no Chromium, in CI too: it is no Python package."""
    if CHROMIUM is None:
        pytest.skip("chromium not found; on Debian or Ubuntu: sudo apt-get install chromium")


@dataclass
class Visit:
    """A page that is open, and what went wrong on it.

    Attributes:
        page: the page.
        port: of the server that it is from; every request has to go there ...
        host: ... under this name.
        wrong: console errors, uncaught errors and violations of the page's policy.
        asked: the addresses of all requests and websockets.
    """

    page: Page
    port: int
    host: str = "127.0.0.1"
    wrong: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Note what goes wrong from now on."""
        self.page.on("pageerror", lambda error: self.wrong.append(f"uncaught: {error}"))
        self.page.on("console", self._console)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("websocket", lambda socket: self.asked.append(socket.url))

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(f"{message.type}: {message.text}")

    @property
    def strangers(self) -> list[str]:
        """Requests that went anywhere but to the server."""
        here = f"{self.host}:{self.port}"
        inner = ("data", "blob")
        parts = map(urlsplit, self.asked)
        return [p.geturl() for p in parts if p.scheme not in inner and p.netloc != here]


@asynccontextmanager
async def chromium(*arguments: str) -> AsyncIterator[Browser]:
    """A headless Chromium with further arguments."""
    async with async_playwright() as play:
        browser = await play.chromium.launch(
            executable_path=CHROMIUM, args=[*ARGUMENTS, *arguments]
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def visit(
    browser: Browser,
    port: int,
    path: str = "/",
    *,
    host: str = "127.0.0.1",
    scheme: str = "http",
    **context: Any,
) -> AsyncIterator[Visit]:
    """Open a page in a profile of its own."""
    profile = await browser.new_context(**context)
    try:
        page = await profile.new_page()
        await page.add_init_script(TELL_VIOLATIONS)
        visited = Visit(page, port, host)
        visited.watch()
        await page.goto(f"{scheme}://{host}:{port}{path}")
        yield visited
    finally:
        await profile.close()


@asynccontextmanager
async def serving(
    events: Iterable[wire.Event] = (),
    port: int = 0,
    *,
    ring: Limits | None = None,
    **options: Any,
) -> AsyncIterator[tuple[Hub, int]]:
    """A server with the events of a session; gives its hub and its port."""
    hub = Hub(ring)
    for event in events:
        hub.publish(event)
    async with EventServer(hub, port=port, **options) as server:
        yield hub, server.port


async def until(holds: Callable[[], Any], what: str, seconds: float = 15.0) -> None:
    """Wait until something holds.

    Raises:
        AssertionError: it did not in time; says what.
    """
    for _ in range(int(seconds / 0.05)):
        if await holds():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")
