"""Connections broken at random moments: who comes back has every event, once and in order."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from both_clients import in_node
from cutting_proxy import CuttingProxy

from magtkd_rt import wire
from magtkd_rt.clients import subscribe, subscriber
from magtkd_rt.server import EventServer, Hub

pytestmark = pytest.mark.anyio

COUNTS = pytest.mark.parametrize("cuts", [60, pytest.param(1000, marks=pytest.mark.soak)])
CLIENTS = 5
ATTEMPTS = 1000
"""What is cut within its handshake counts as a failure."""


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriber, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(subscriber, "LONGEST_DELAY", 0.05)


async def read_in_python(url: str) -> list[list[Any]]:
    async def read() -> list[Any]:
        updates = subscribe(url, since=0, attempts=ATTEMPTS)
        return [update async for update in updates]

    return await asyncio.gather(*(read() for _ in range(CLIENTS)))


async def read_in_javascript(url: str) -> list[list[Any]]:
    options = {"since": 0, "attempts": ATTEMPTS}
    lines = await in_node(job="readers", url=url, options=options, count=CLIENTS, seconds=900)
    return [
        [wire.parse_message(json.dumps(update)) for update in line["updates"]] for line in lines
    ]


async def speak(hub: Hub, script: Any, enough: asyncio.Event) -> list[Any]:
    """Publish events until enough connections were cut, then end the session."""
    events: list[Any] = []

    def say(event: Any) -> None:
        events.append(event)
        hub.publish(event)

    say(script.started())
    while not enough.is_set():
        for event in script.utterance(f"u{script.seq}"):
            say(event)
            await asyncio.sleep(0.01)
    say(script.ended())
    return events


@COUNTS
@pytest.mark.parametrize("read", [read_in_python, read_in_javascript])
async def test_readers_have_every_event_in_order(script: Any, read: Any, cuts: int) -> None:
    hub = Hub()
    hub.open("call-1")
    async with EventServer(hub, port=0) as server:
        proxy = CuttingProxy(server.port, wanted=cuts, spared=CLIENTS)
        async with proxy.running(), asyncio.timeout(900):
            reading = asyncio.create_task(read(f"127.0.0.1:{proxy.port}"))
            spoken = asyncio.create_task(speak(hub, script, proxy.enough))
            try:
                found, events = await asyncio.gather(reading, spoken)
            finally:
                reading.cancel()
                spoken.cancel()
    assert proxy.cuts >= cuts
    assert len(found) == CLIENTS
    for updates in found:
        assert [update.seq for update in updates] == [event.seq for event in events]
        assert updates == events
