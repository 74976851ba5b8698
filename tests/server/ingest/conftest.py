"""Servers that take media."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from senders import Serving, serving, undisturbed

from magtkd_rt.bundle.store import Bundle


@pytest.fixture
async def serve(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Serving]:
    """A server in which media may run ahead."""
    async with serving(tiny_bundle, monkeypatch) as one:
        yield one


@pytest.fixture
async def beside(serve: Serving) -> AsyncIterator[Serving]:
    """The same with a session that goes on beside, and must come out as one that was alone."""
    async with undisturbed(serve):
        yield serve
