"""Servers that take media."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from senders import Sender, Serving, meaning, serving, speech

from magtkd_rt.bundle.store import Bundle

PATTERN = ".##..#.##..."


@pytest.fixture
async def serve(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Serving]:
    """A server in which media may run ahead."""
    async with serving(tiny_bundle, monkeypatch) as one:
        yield one


@pytest.fixture
async def beside(serve: Serving) -> AsyncIterator[Serving]:
    """The same with a session that goes on beside, and must come out as one that was alone."""
    alone = await Sender.dial(serve.url)
    expected = (await alone.hello()).session_id
    await alone.talk(speech(PATTERN))
    await alone.end()
    other = await Sender.dial(serve.url)
    ready = await other.hello()
    await other.talk(speech(PATTERN)[:20_000])
    yield serve
    await other.talk(speech(PATTERN)[20_000:], at=20_000 / 16_000)
    assert await other.end() == 1000
    assert other.errors == []
    assert meaning(serve.of(ready.session_id)) == meaning(serve.of(expected)) != []
