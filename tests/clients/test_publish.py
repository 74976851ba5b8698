"""Both publishers against the real `/v1/ingest`, over connections that break."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import json

import cv2
import numpy as np
import pytest
from both_clients import in_node
from cutting_proxy import CuttingProxy
from listening_host import Listening, serving

from magtkd_rt import wire
from magtkd_rt.clients import publish, subscriber
from magtkd_rt.clients.publish import Publisher
from magtkd_rt.errors import ServerError
from magtkd_rt.server.ingest import SenderLimits

pytestmark = pytest.mark.anyio

CHUNK = 320
"""Samples, 20 ms."""
PICTURE_EVERY = 5
START_US = 1_700_000_000_000_000
SOUND = wire.AudioFormat(sample_rate=16_000)
JPEG = cv2.imencode(".jpg", np.full((16, 16, 3), 200, np.uint8))[1].tobytes()
HURRIED = SenderLimits(ahead_seconds=600.0, patience_seconds=600.0, resume_seconds=20.0)
"""Tests send faster than real time; to come back is then late, and silence would take its place."""


def sample(index: int) -> int:
    """Every sample is told from its neighbours; run_client.mjs has the same."""
    return index * 7919 % 65536 - 32768


async def stream(
    publisher: Publisher,
    chunks: int,
    until: asyncio.Event | None = None,
    *,
    pictures: bool = True,
) -> int:
    """Send so many chunks, or more until the event; returns how many."""
    for number in itertools.count():
        if number >= chunks and (until is None or until.is_set()):
            return number
        first = number * CHUNK
        at = START_US + number * 20_000
        samples = np.array([sample(index) for index in range(first, first + CHUNK)], np.int16)
        await publisher.sound(samples, at)
        if pictures and number % PICTURE_EVERY == 0:
            await publisher.picture(JPEG, at)
        await asyncio.sleep(0.002)
    raise AssertionError


def check_heard(session: Listening, chunks: int) -> None:
    """Everything was heard and seen once, as it was sent."""
    wanted = np.array([sample(index) for index in range(chunks * CHUNK)], np.float32) / 32768
    heard = session.heard()
    assert len(heard) == len(wanted)
    wrong = np.flatnonzero(heard != wanted)
    assert len(wrong) == 0, f"{len(wrong)} samples from {wrong[0]} on are not as they were sent"
    assert session.pictures == [number * 20_000_000 for number in range(0, chunks, PICTURE_EVERY)]


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriber, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(subscriber, "LONGEST_DELAY", 0.05)


async def test_everything_arrives_and_comes_back_as_events() -> None:
    async with (
        serving(HURRIED) as (server, host, _),
        asyncio.timeout(20),
        publish(
            server.url, audio=SOUND, video=wire.VideoFormat(), speaker="Ada", subscribe=True
        ) as publisher,
    ):
        assert publisher.session_id == "call-1"
        assert publisher.limits is not None
        await stream(publisher, 200)
        await publisher.end()
        events = [event async for event in publisher.events()]
        with pytest.raises(ServerError, match="the session has ended; publish anew"):
            await publisher.sound(np.zeros(1, np.int16), START_US)
    assert host.session is not None
    check_heard(host.session, 200)
    assert events == host.session.events
    assert publisher.dropped == {"sound": 0, "pictures": 0, "events": 0}


COUNTS = pytest.mark.parametrize("cuts", [30, pytest.param(1000, marks=pytest.mark.soak)])


@COUNTS
async def test_python_loses_nothing_over_broken_connections(cuts: int) -> None:
    async with serving(HURRIED) as (server, host, counters), asyncio.timeout(900):
        proxy = CuttingProxy(server.port, wanted=cuts, spared=1)
        async with (
            proxy.running(),
            publish(
                f"127.0.0.1:{proxy.port}", audio=SOUND, video=wire.VideoFormat(), subscribe=True,
                attempts=1000,
            ) as publisher,
        ):  # fmt: skip
            chunks = await stream(publisher, 50, proxy.enough)
            await publisher.end()
            events = [event async for event in publisher.events()]
    assert proxy.cuts >= cuts
    assert counters["ingest_resumed"] > cuts / 4
    assert host.session is not None
    check_heard(host.session, chunks)
    assert events == host.session.events
    assert publisher.dropped == {"sound": 0, "pictures": 0, "events": 0}


@COUNTS
async def test_javascript_loses_nothing_over_broken_connections(cuts: int) -> None:
    async with serving(HURRIED) as (server, host, counters), asyncio.timeout(900):
        proxy = CuttingProxy(server.port, wanted=cuts, spared=1)
        chunks = 50 + cuts * 40  # some 80 ms of sending for each connection, at least
        async with proxy.running():
            lines = await in_node(
                job="stream", url=f"127.0.0.1:{proxy.port}", chunks=chunks, jpeg=JPEG.hex(),
                options={"attempts": 1000, "subscribe": True}, seconds=900,
            )  # fmt: skip
    *updates, left = lines
    assert proxy.cuts >= cuts
    assert counters["ingest_resumed"] > cuts / 4
    assert host.session is not None
    check_heard(host.session, chunks)
    found = [wire.parse_message(json.dumps(line["update"])) for line in updates]
    assert found == host.session.events
    assert left == {"dropped": {"sound": 0, "pictures": 0}}


async def test_who_is_lost_after_the_end_comes_back_for_the_last_events() -> None:
    async with serving(HURRIED) as (server, host, counters), asyncio.timeout(20):
        proxy = CuttingProxy(server.port, wanted=0, spared=0)
        async with (
            proxy.running(),
            publish(f"127.0.0.1:{proxy.port}", audio=SOUND, subscribe=True) as publisher,
        ):
            await stream(publisher, 60, pictures=False)
            proxy.answers.clear()
            ending = asyncio.create_task(publisher.end())
            assert host.session is not None
            await host.session.wait()
            proxy.cut_all()
            proxy.answers.set()
            await ending
            events = [event async for event in publisher.events()]
    assert events == host.session.events
    assert counters["ingest_resumed"] == 1


async def test_events_that_nobody_reads_give_way_and_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.import_module("magtkd_rt.clients.publish"), "MAX_EVENTS", 2)
    async with serving(HURRIED) as (server, host, _), asyncio.timeout(20):
        async with publish(server.url, audio=SOUND, subscribe=True) as publisher:
            await stream(publisher, 60, pictures=False)
        left = [event async for event in publisher.events()]
    assert host.session is not None
    assert left == host.session.events[-2:]
    assert publisher.dropped["events"] == len(host.session.events) - 2


async def test_what_was_not_announced_is_refused_here() -> None:
    async with (
        serving(HURRIED) as (server, _, _),
        publish(server.url, video=wire.VideoFormat()) as publisher,
    ):
        with pytest.raises(ServerError, match="no sound was announced; publish with audio="):
            await publisher.sound(np.zeros(1, np.int16), START_US)


async def fail_while_sending(url: str) -> None:
    async with publish(url, audio=SOUND) as publisher:
        await publisher.sound(np.zeros(320, np.int16), START_US)
        raise ZeroDivisionError


async def test_an_exception_leaves_without_an_end() -> None:
    async with serving(SenderLimits(resume_seconds=0.2)) as (server, host, counters):
        with pytest.raises(ZeroDivisionError):
            await fail_while_sending(server.url)
        assert host.session is not None
        async with asyncio.timeout(10):
            await host.session.wait()  # the server has waited for a return
    assert counters["ingest_lost"] == 1


async def send_backwards(url: str) -> None:
    async with publish(url, audio=SOUND, subscribe=True) as publisher:
        for back in range(10):
            await publisher.sound(np.zeros(320, np.int16), START_US - back * 30_000_000)
        async for _ in publisher.events():
            pass


async def test_a_session_that_fails_is_told_to_who_reads_its_events() -> None:
    async with serving(SenderLimits(refusals=1)) as (server, _, _), asyncio.timeout(20):
        with pytest.raises(ServerError, match="the time of sound goes back by .* s; stamp it"):
            await send_backwards(server.url)
