"""One Chromium for the tests of a file."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest
from browser import CHROMIUM, chromium
from playwright.async_api import Browser


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """The browser outlives a test, and so does its event loop."""
    if CHROMIUM is None:
        refuse = pytest.fail if os.environ.get("CI") else pytest.skip
        refuse("chromium not found; on Debian or Ubuntu: sudo apt-get install chromium")
    return "asyncio"


@pytest.fixture(scope="module")
async def browser(anyio_backend: str) -> AsyncIterator[Browser]:
    """A headless Chromium."""
    async with chromium() as opened:
        yield opened
