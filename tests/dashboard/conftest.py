"""One Chromium for the tests of a file."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from browser import chromium, need_chromium
from playwright.async_api import Browser


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """The browser outlives a test, and so does its event loop."""
    need_chromium()
    return "asyncio"


@pytest.fixture(scope="module")
async def browser(anyio_backend: str) -> AsyncIterator[Browser]:
    """A headless Chromium."""
    async with chromium() as opened:
        yield opened
