"""Who sends before the models are loaded is told to begin once they are."""

from __future__ import annotations

import asyncio

import pytest

from magtkd_rt import wire
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.cli.hosting import LoadingHost
from magtkd_rt.engines.fake import FakeEngine
from magtkd_rt.runtime.host import SessionHost
from magtkd_rt.runtime.models import Models
from magtkd_rt.runtime.recogniser import Recogniser
from magtkd_rt.sources import MemorySource

pytestmark = pytest.mark.anyio


async def test_a_sender_waits_for_the_models(tiny_bundle: Bundle) -> None:
    loading = LoadingHost()
    hello = wire.Hello(audio=wire.AudioFormat(sample_rate=16_000))
    beginning = asyncio.create_task(loading.begin(MemorySource([]), hello))
    await asyncio.sleep(0.05)
    assert not beginning.done()
    assert loading.health() == {"status": "starting"}
    models = Models(Recogniser(tiny_bundle, FakeEngine(tiny_bundle)), "fake", None, "none")
    host = SessionHost(models, lambda _: None)
    loading.ready(host)
    session = await beginning
    assert loading.health()["sessions_running"] == 1
    await session.wait()
    await host.close("test over")
