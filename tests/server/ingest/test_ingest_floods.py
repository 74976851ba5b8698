"""Senders that are too fast, too slow or too many, and frames that are none."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import time
from dataclasses import replace

import numpy as np
import pytest
from senders import PICTURES, SOUND, Sender, Serving, jpeg, serving, speech, undisturbed
from websockets.exceptions import ConnectionClosed

from magtkd_rt import wire
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.server import app as app_module
from magtkd_rt.server.ingest import SenderLimits

pytestmark = pytest.mark.anyio

HELLO = {"type": "hello", "audio": SOUND}
TIGHT = SenderLimits(
    ahead_seconds=60.0,
    patience_seconds=60.0,
    hello_seconds=0.3,
    idle_seconds=1.0,
    refusals=20,
    bytes_per_second=200_000,
    burst_seconds=5.0,
)


def header(kind: int, at: float = 0.0) -> bytes:
    return bytes([kind]) + round(at * 1e6).to_bytes(8, "little")


def framed(*, first: int, length: int, opcode: int = 2) -> bytes:
    """The head of a frame that claims a length, and its first bytes."""
    return bytes([0x80 | opcode, 0x80 | 127]) + length.to_bytes(8) + bytes(4) + bytes(first)


async def test_faster_than_real_time_is_refused_at_last(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = SenderLimits(refusals=20, resume_seconds=0.2, patience_seconds=60)
    async with serving(tiny_bundle, monkeypatch, limits) as serve, undisturbed(serve):
        sender = await Sender.dial(serve.url)
        ready = await sender.hello()
        with contextlib.suppress(ConnectionClosed):
            await sender.talk(speech("." * 160))  # 40 s
        assert await sender.closed() == 1008
        assert sender.connection.close_reason == "too_fast"
        assert {error.code for error in sender.errors} == {"too_fast"}
        assert 20 < serve.hub.counters["ingest_too_fast"] < 30
        async with asyncio.timeout(10):
            while len(serve.host.sessions) > 1:
                await asyncio.sleep(0.01)
        ended = serve.of(ready.session_id)[-1]
        assert isinstance(ended, wire.SessionEnded)
        assert 5 <= ended.totals["windows_heard"] * 0.032 < 8


async def test_what_was_held_up_may_come_at_once(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = SenderLimits(ahead_seconds=0.5)
    async with serving(tiny_bundle, monkeypatch, limits) as serve:
        sender = await Sender.dial(serve.url)
        await sender.hello()
        await sender.talk(speech("#"))
        await asyncio.sleep(1.5)
        await sender.talk(speech("......"), at=0.25)  # 1.5 s
        assert await sender.end() == 1000
        assert sender.errors == []


async def test_a_flood_is_held_back(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = replace(TIGHT, refusals=10, burst_seconds=1.0, idle_seconds=30.0)
    async with serving(tiny_bundle, monkeypatch, limits) as serve, undisturbed(serve):
        sender = await Sender.dial(serve.url)
        await sender.hello(video=PICTURES)
        begin = time.monotonic()
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.timeout(20):
                while True:
                    await sender.connection.send(header(2) + os.urandom(100_000))
        assert await sender.closed() == 1008
        counters = serve.hub.counters
        assert counters["ingest_bad_frame"] + counters["ingest_too_fast"] < 30
        assert counters["ingest_too_fast"] > 5
        assert time.monotonic() - begin > 1.0, "no more was read than may come in a second"


async def test_small_messages_are_not_free(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = SenderLimits(ahead_seconds=60, bytes_per_second=100_000, burst_seconds=1.0)
    async with serving(tiny_bundle, monkeypatch, limits) as serve:
        sender = await Sender.dial(serve.url)
        await sender.hello(audio=SOUND | {"sample_rate": 8_000})
        for n in range(1000):
            await sender.sound(np.zeros(1, np.float32), at=n / 8_000)
            if sender.errors:
                break
        error = await sender.next_of(wire.Error)
        assert error.code == "too_fast" and "100000 bytes a second" in error.message


@pytest.mark.parametrize("said", [None, HELLO])
async def test_silence_is_cut_short(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, said: dict[str, object] | None
) -> None:
    async with serving(tiny_bundle, monkeypatch, TIGHT) as serve:
        sender = await Sender.dial(serve.url)
        if said:
            await sender.say(**said)
        assert await sender.closed() == 1008
        assert [error.code for error in sender.errors] == ["timeout"]
        assert serve.hub.counters["ingest_timeout"] == 1


async def dial(serve: Serving) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """An open websocket in the hands of somebody who ignores the rules."""
    reader, writer = await asyncio.open_connection("127.0.0.1", serve.server.port)
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        "GET /v1/ingest HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade"
        f"\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def greeted(serve: Serving) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await dial(serve)
    hello = json.dumps(HELLO).encode()
    writer.write(bytes([0x81, 0x80 | len(hello)]) + bytes(4) + hello)
    assert (await reader.readexactly(2))[0] == 0x81
    assert b'"ready"' in await reader.readuntil(b"}}")
    return reader, writer


@pytest.mark.parametrize(
    ("sent", "closes", "counter"),
    [
        (framed(first=100, length=2 << 30), 1009, "ingest_too_large"),
        (framed(first=0, length=1 << 62), 1009, "ingest_too_large"),
        (b"\x81\x82\x00\x00\x00\x00\xff\xfe", 1007, "ingest_bad_websocket"),
        (b"\x83\x80\x00\x00\x00\x00", 1002, "ingest_bad_websocket"),
        (b"\x82\x01x", 1002, "ingest_bad_websocket"),
    ],
    ids=["2 GiB", "4 EiB", "utf-8", "opcode", "unmasked"],
)
@pytest.mark.parametrize("hello", [True, False])
async def test_broken_frames(
    beside: Serving, sent: bytes, closes: int, counter: str, hello: bool
) -> None:
    reader, writer = await (greeted(beside) if hello else dial(beside))
    writer.write(sent)
    async with asyncio.timeout(5):
        answer = await reader.read()
    place = answer.index(b"\x88")
    assert int.from_bytes(answer[place + 2 : place + 4]) == closes
    writer.close()
    async with asyncio.timeout(5):
        while not beside.hub.counters[counter]:
            await asyncio.sleep(0.01)
    assert beside.hub.counters[counter] == 1


async def test_a_hello_may_not_be_long(beside: Serving) -> None:
    sender = await Sender.dial(beside.url)
    await sender.connection.send(json.dumps(HELLO | {"x": "y" * 17_000}))
    assert await sender.closed() == 1009


async def test_media_may_not_be_longer_than_told(beside: Serving) -> None:
    sender = await Sender.dial(beside.url)
    ready = await sender.hello(video=PICTURES)
    picture = jpeg()
    room = ready.limits.max_message_bytes - len(header(2)) - len(picture)
    await sender.picture(picture + bytes(room), at=0.0)
    await sender.next_of(wire.Ack)
    await sender.picture(picture + bytes(room + 1), at=0.1)
    assert await sender.closed() == 1009


async def test_slow_handshakes_and_slow_hellos(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, "OPEN_SECONDS", 0.5)
    async with serving(tiny_bundle, monkeypatch, TIGHT) as serve:

        async def drip(writer: asyncio.StreamWriter, data: bytes) -> None:
            with contextlib.suppress(ConnectionError):
                for byte in data:
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(0.1)

        reader, writer = await asyncio.open_connection("127.0.0.1", serve.server.port)
        dripping = asyncio.create_task(drip(writer, b"GET /v1/ingest HTTP/1.1\r\nHost: local"))
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
        dripping.cancel()
        slow_reader, slow_writer = await dial(serve)
        dripping = asyncio.create_task(drip(slow_writer, b"\x81\xfe\x40\x00\x00\x00\x00\x00" * 9))
        async with asyncio.timeout(5):
            answer = await slow_reader.read()
        dripping.cancel()
        assert b'"timeout"' in answer
        writer.close()
        slow_writer.close()


async def test_more_senders_than_bearable_are_refused(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tiny_bundle, monkeypatch, SenderLimits(connections=2)) as serve:
        waiting = [await Sender.dial(serve.url) for _ in range(2)]
        third = await Sender.dial(serve.url)
        assert await third.closed() == 1013
        assert [error.code for error in third.errors] == ["overload"]
        waiting[0].cut()
        async with asyncio.timeout(5):
            while True:
                fourth = await Sender.dial(serve.url)
                await asyncio.sleep(0.05)
                if fourth.connection.close_code is None:
                    break
        await fourth.hello()


async def test_a_sender_that_reads_nothing_of_what_it_asked_for(beside: Serving) -> None:
    reader, writer = await dial(beside)
    hello = json.dumps(HELLO | {"subscribe": True}).encode()
    writer.write(bytes([0x81, 0x80 | len(hello)]) + bytes(4) + hello)
    await reader.readuntil(b"}}")
    session_id = beside.host.sessions[-1].session_id
    seq = beside.hub._logs[session_id].seq
    for n in range(20_000):
        status = wire.Status(
            seq=seq + n + 1, session_id=session_id, t=0, level="info", code="x", message="y" * 500
        )
        with contextlib.suppress(ValueError):  # the session may have said something in between
            beside.hub.publish(status)
        if beside.hub.counters["slow_readers"]:
            break
        if n % 50 == 0:
            await asyncio.sleep(0)
    async with asyncio.timeout(10):
        while beside.endpoint.describe()["senders"] != 1:
            await asyncio.sleep(0.01)
    assert beside.hub.counters["slow_readers"] == 1
    writer.close()
