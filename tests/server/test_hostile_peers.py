"""Peers that mean harm: the server stays up, bounded and quiet, and others never notice."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import logging
import os
from typing import Any, cast

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from magtkd_rt import wire
from magtkd_rt.server import EventServer, Hub
from magtkd_rt.server import app as app_module
from magtkd_rt.server import connection as connection_module
from magtkd_rt.server.limits import ConnectionLimits

pytestmark = pytest.mark.anyio

HANDSHAKE = (
    "GET /v1/events?since=0 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
)


def frame(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    """One client frame, masked with zeros."""
    first = (0x80 if fin else 0) | opcode
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else bytes([0xFE]) + size.to_bytes(2)
    return bytes([first]) + length + bytes(4) + payload


async def dial(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """An open websocket in the hands of somebody who ignores the rules."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(HANDSHAKE.format(key=key).encode())
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


@pytest.mark.parametrize("junk", ["hello", "", '{"type":"hello"}', b"\x01\x02", b""])
async def test_talking_subscribers_are_warned_once_then_closed(
    script: Any, junk: str | bytes
) -> None:
    hub = Hub()
    hub.publish(script.started())
    async with EventServer(hub, port=0) as server, connect(f"{server.url}?since=0") as talker:
        assert wire.parse_message(await talker.recv()).type == "session.started"
        await talker.send(junk)
        error = wire.parse_message(await talker.recv())
        assert (error.type, error.code) == ("error", "bad_request")  # type: ignore[union-attr]
        hub.publish(script.status())
        assert wire.parse_message(await talker.recv()).type == "status"
        await talker.send(junk)
        with pytest.raises(ConnectionClosed):
            await talker.recv()
        assert talker.close_code == 1008
    assert hub.counters == {"junk_messages": 2}


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(1, b"x" * 16385), 1009),
        (frame(1, b"x" * 16000, fin=False) + frame(0, b"x" * 16000), 1009),
        (frame(1, b"\xff\xfe"), 1007),
        (frame(3, b""), 1002),
        (frame(9, b"x" * 200), 1002),
        (frame(0, b"x"), 1002),
        (b"\x81\x01x", 1002),
        (frame(8, b"\x00\x00"), 1002),
    ],
    ids=["oversize", "fragments", "utf-8", "opcode", "long ping", "stray", "unmasked", "close"],
)
async def test_broken_frames_end_only_their_own_connection(
    script: Any, sent: bytes, code: int
) -> None:
    hub = Hub()
    hub.open("call-1")
    async with EventServer(hub, port=0) as server, connect(f"{server.url}?since=0") as other:
        reader, writer = await dial(server.port)
        writer.write(sent)
        async with asyncio.timeout(5):
            answer = await reader.read()
        assert answer[0] == 0x88
        assert int.from_bytes(answer[2:4]) == code
        writer.close()
        hub.publish(script.status())
        assert wire.parse_message(await other.recv()).type == "status"


@pytest.mark.parametrize(
    "junk",
    [
        b"\x00" * 100,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET /health HTTP/9.9\r\n\r\n",
        b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
        b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n",
    ],
)
async def test_junk_instead_of_a_request(
    health: Any,
    junk: bytes,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(app_module, "OPEN_SECONDS", 0.5)  # some never end their request
    hub = Hub()
    async with EventServer(hub, port=0) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(junk)
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionResetError):
                await reader.read()
        writer.close()
        assert (await health(server.port))["status"] == "ready"
    alarms = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record for record in alarms if not hasattr(record, "fields")] == []


async def test_a_request_that_comes_letter_by_letter_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Slow loris: there is always a letter more, and never a request."""
    monkeypatch.setattr(app_module, "OPEN_SECONDS", 0.5)
    hub = Hub()
    async with EventServer(hub, port=0) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)

        async def drip() -> None:
            for letter in itertools.cycle("x"):
                writer.write(f"X-{letter}: {letter}\r\n".encode())
                await asyncio.sleep(0.05)

        writer.write(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n")
        dripping = asyncio.create_task(drip())
        began = asyncio.get_running_loop().time()
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionResetError):
                assert b" 101 " not in await reader.read()
        assert 0.3 < asyncio.get_running_loop().time() - began < 2
        dripping.cancel()
        writer.close()


async def test_a_flood_of_pings_that_reads_no_pong_is_cut_off(script: Any) -> None:
    hub = Hub()
    hub.open("call-1")
    async with EventServer(hub, port=0) as server:
        _, writer = await dial(server.port)
        pings = frame(9, b"x" * 125) * 500

        async def flood() -> None:
            while True:
                writer.write(pings)
                await writer.drain()

        with pytest.raises(ConnectionError):
            await asyncio.wait_for(flood(), 15)
        assert hub.counters["flooded"] == 1
        writer.close()


async def test_a_flood_of_pings_that_reads_every_pong_is_cut_off(script: Any) -> None:
    hub = Hub()
    hub.open("call-1")
    async with EventServer(hub, port=0) as server:
        reader, writer = await dial(server.port)
        pongs = asyncio.create_task(reader.read())
        for _ in range(connection_module.PINGS):
            writer.write(frame(9, b""))
        await asyncio.sleep(0.2)
        assert not hub.counters["flooded"]
        for _ in range(10):
            writer.write(frame(9, b""))
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(pongs, 5)
        assert hub.counters["flooded"] == 1
        writer.close()


async def test_a_peer_that_takes_nothing_is_cut_off(
    script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "STALL_SECONDS", 0.1)
    hub = Hub()
    for number in range(2000):
        hub.publish(script.emotion(f"u{number}", text="words " * 500))
    async with EventServer(hub, port=0) as server:
        _, writer = await dial(server.port)
        cast("asyncio.Transport", writer.transport).pause_reading()
        async with asyncio.timeout(10):
            while not hub.counters["stalled_readers"] or hub.describe()["subscribers"]:
                await asyncio.sleep(0.01)
        writer.close()
    assert hub.counters == {"stalled_readers": 1}


async def test_more_connections_than_bearable_are_cut_off(script: Any, health: Any) -> None:
    hub = Hub()
    async with EventServer(hub, port=0, limits=ConnectionLimits(subscribers=1)) as server:
        silent = await asyncio.gather(
            *(asyncio.open_connection("127.0.0.1", server.port) for _ in range(80))
        )
        async with asyncio.timeout(5):
            while hub.counters["refused_full"] < 80 - 65:
                await asyncio.sleep(0.01)
        for _, writer in silent:
            writer.close()
        async with asyncio.timeout(5):
            while (await _try(health, server.port)) is None:
                await asyncio.sleep(0.01)
    assert hub.counters["refused_full"] >= 15


async def _try(health: Any, port: int) -> Any:
    try:
        return await health(port)
    except (ConnectionError, IndexError):
        return None
