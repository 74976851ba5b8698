"""Senders that mean harm, or are broken: each is told so and counted, and no other notices."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np
import pytest
from live_sessions import finals
from senders import PICTURES, SOUND, Sender, Serving, jpeg, serving, speech
from websockets.exceptions import ConnectionClosed

from magtkd_rt import wire
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.server import app as app_module
from magtkd_rt.server.ingest import SenderLimits
from magtkd_rt.sources.jpeg import MAX_JPEG_SIDE

pytestmark = pytest.mark.anyio

PATTERN = ".##..#.##..."
HELLO = {"type": "hello", "audio": SOUND}
TIGHT = SenderLimits(
    ahead_seconds=60.0,
    hello_seconds=0.3,
    idle_seconds=1.0,
    refusals=20,
    bytes_per_second=200_000,
    burst_seconds=5.0,
)


def meaning(events: list[wire.Event]) -> list[object]:
    left_out = {"seq", "t", "emitted_at", "latency", "session_id"}
    return [final.model_dump(exclude=left_out) for final in finals(events)]


@pytest.fixture
async def serve(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Serving]:
    """A server with a session beside, which must come out as one that was alone."""
    async with serving(tiny_bundle, monkeypatch, SenderLimits(ahead_seconds=60)) as one:
        alone = await Sender.dial(one.url)
        expected = (await alone.hello()).session_id
        await alone.talk(speech(PATTERN))
        await alone.end()
        beside = await Sender.dial(one.url)
        ready = await beside.hello()
        await beside.talk(speech(PATTERN)[:20_000])
        yield one
        await beside.talk(speech(PATTERN)[20_000:], at=20_000 / 16_000)
        assert await beside.end() == 1000
        assert beside.errors == []
        assert meaning(one.of(ready.session_id)) == meaning(one.of(expected)) != []


def header(kind: int, at: float = 0.0) -> bytes:
    return bytes([kind]) + round(at * 1e6).to_bytes(8, "little")


def floats(*values: float) -> bytes:
    return np.array(values, "<f4").tobytes()


def framed(*, first: int, length: int, opcode: int = 2) -> bytes:
    """The head of a frame that claims a length, and its first bytes."""
    return bytes([0x80 | opcode, 0x80 | 127]) + length.to_bytes(8) + bytes(4) + bytes(first)


def cut_jpeg() -> bytes:
    return jpeg()[:-40]


def bomb(width: int = MAX_JPEG_SIDE + 1, height: int = 16) -> bytes:
    """A picture whose header claims more than it holds."""
    data = bytearray(jpeg())
    place = data.index(b"\xff\xc0")
    data[place + 5 : place + 9] = height.to_bytes(2) + width.to_bytes(2)
    return bytes(data)


def scans() -> bytes:
    """A picture that claims a thousand scans of 4096 x 4096."""
    data = bomb(MAX_JPEG_SIDE, MAX_JPEG_SIDE)
    scan = data[data.index(b"\xff\xda") : -2]
    return data[:-2] + scan * 1000 + b"\xff\xd9"


BAD_MESSAGES: dict[str, tuple[str | bytes, str]] = {
    "not json": ("[1, 2", "bad_json"),
    "json of the wrong shape": ('{"type": 7}', "bad_json"),
    "NaN": ('{"type": "end", "type": NaN}', "bad_json"),
    "deep": ("[" * 10_000, "bad_json"),
    "text instead of binary": ("\x01" + "\x00" * 800, "bad_json"),
    "hello again": (json.dumps(HELLO), "bad_request"),
    "long text": ('{"type": "end", "x": "' + "y" * 20_000 + '"}', "too_large"),
    "nothing": (b"", "bad_frame"),
    "too short": (header(1)[:5], "bad_frame"),
    "no media": (header(1), "bad_frame"),
    "kind 0": (header(0) + floats(0.5), "bad_frame"),
    "kind 3": (header(3) + floats(0.5), "bad_frame"),
    "kind 255": (b"\xff" * 13, "bad_frame"),
    "odd": (header(1) + b"\x00" * 7, "bad_frame"),
    "nan": (header(1) + floats(0.1, np.nan), "bad_frame"),
    "inf": (header(1) + floats(np.inf, 0.1), "bad_frame"),
    "much sound": (header(1) + bytes(4 * 16_000 * 5 + 4), "too_large"),
    "no jpeg": (header(2) + b"GIF89a", "bad_frame"),
    "cut jpeg": (header(2) + cut_jpeg(), "bad_frame"),
    "start of a jpeg": (header(2) + b"\xff\xd8", "bad_frame"),
    "bomb": (header(2) + bomb(65_500, 65_500), "too_large"),
    "wide": (header(2) + bomb(), "too_large"),
    "scans": (header(2) + scans(), "too_large"),
    "no pixels": (header(2) + bomb(0, 0), "bad_frame"),
    "time of 2^64": (header(1)[:1] + b"\xff" * 8 + floats(0.1), "too_fast"),
}


@pytest.mark.parametrize("name", BAD_MESSAGES)
async def test_a_bad_message_is_refused_and_the_rest_is_heard(serve: Serving, name: str) -> None:
    bad, code = BAD_MESSAGES[name]
    sender = await Sender.dial(serve.url)
    ready = await sender.hello(video=PICTURES)
    await sender.talk(speech(PATTERN)[:16_000])
    for _ in range(11):
        await sender.connection.send(bad)
    await sender.talk(speech(PATTERN)[16_000:], at=1.0)
    assert await sender.end() == 1000
    assert [error.code for error in sender.errors] == [code, code]
    assert "10 times by now" in sender.errors[1].message
    assert all(len(error.message) < 300 for error in sender.errors)
    assert serve.hub.counters == {f"ingest_{code}": 11}
    assert len(finals(serve.of(ready.session_id))) == 2


BAD_HELLOS: dict[str, tuple[str | bytes, str, int]] = {
    "not json": ("hello", "bad_json", 1003),
    "binary": (header(1) + floats(0.1), "bad_json", 1003),
    "end": ('{"type": "end"}', "bad_request", 1008),
    "no media": ('{"type": "hello"}', "bad_request", 1008),
    "array": ("[]", "bad_json", 1003),
    "rate of text": ('{"type": "hello", "audio": {"sample_rate": "x"}}', "bad_json", 1003),
    "rate of NaN": ('{"type": "hello", "audio": {"sample_rate": NaN}}', "bad_json", 1003),
    "low rate": ('{"type": "hello", "audio": {"sample_rate": 1}}', "unsupported", 1003),
    "opus": (
        '{"type": "hello", "audio": {"sample_rate": 48000, "encoding": "opus"}}',
        "unsupported",
        1003,
    ),
    "channels": (
        '{"type": "hello", "audio": {"sample_rate": 48000, "channels": 17}}',
        "unsupported",
        1003,
    ),
    "h264": ('{"type": "hello", "video": {"encoding": "h264"}}', "unsupported", 1003),
    "v2": ('{"type": "hello", "protocol": "magtkd.v2", "video": {}}', "unsupported", 1003),
    "since": ('{"type": "hello", "video": {}, "since": 5, "subscribe": true}', "bad_request", 1008),
    "who": (
        '{"type": "hello", "audio": {"sample_rate": 16000, "channels_are_speakers": true},'
        ' "speaker": "Ann"}',
        "bad_request",
        1008,
    ),
}


@pytest.mark.parametrize("name", BAD_HELLOS)
async def test_a_bad_hello_is_refused(serve: Serving, name: str) -> None:
    bad, code, closes = BAD_HELLOS[name]
    sender = await Sender.dial(serve.url)
    await sender.connection.send(bad)
    assert await sender.closed() == closes
    assert [error.code for error in sender.errors] == [code]
    assert serve.hub.counters == {f"ingest_{code}": 1}
    assert len(serve.host.sessions) == 1, "the one beside"


async def test_what_was_not_announced_is_refused(serve: Serving) -> None:
    video = await Sender.dial(serve.url)
    await video.hello(audio=None, video=PICTURES)
    await video.talk(speech("#"))
    assert (await video.next_of(wire.Error)).code == "unsupported"
    sound = await Sender.dial(serve.url)
    await sound.hello()
    await sound.picture(jpeg(), at=0.0)
    assert (await sound.next_of(wire.Error)).code == "unsupported"
    await video.end()
    await sound.end()


async def test_sound_of_several_channels_comes_in_whole_frames(serve: Serving) -> None:
    sender = await Sender.dial(serve.url)
    await sender.hello(audio={"sample_rate": 8_000, "channels": 3})
    await sender.connection.send(header(1) + bytes(3 * 2 * 10 + 2))
    assert "no multiple of 6" in (await sender.next_of(wire.Error)).message
    await sender.end()


async def test_time_that_goes_back_is_refused(serve: Serving) -> None:
    sender = await Sender.dial(serve.url)
    ready = await sender.hello(video=PICTURES)
    await sender.talk(speech(".##"), at=100.0)
    await sender.picture(jpeg(), at=100.5)
    await sender.sound(speech("#"), at=99.0)
    await sender.sound(speech("#"), at=100.7)  # it overlaps a little: stamps need not be exact
    await sender.picture(jpeg(), at=100.5)
    await sender.picture(jpeg(), at=100.4)
    await sender.talk(speech("..."), at=100.75)
    assert await sender.end() == 1000
    assert {error.code for error in sender.errors} == {"bad_frame"}
    assert serve.hub.counters == {"ingest_bad_frame": 3}
    assert len(finals(serve.of(ready.session_id))) == 1


async def test_nothing_is_taken_after_end(serve: Serving) -> None:
    sender = await Sender.dial(serve.url)
    ready = await sender.hello()
    await sender.talk(speech(".##"))
    await sender.say(type="end")
    with contextlib.suppress(ConnectionClosed):
        await sender.talk(speech("####"), at=0.75)
    assert await sender.closed() == 1000
    (final,) = finals(serve.of(ready.session_id))
    assert final.end < 0.8


async def test_faster_than_real_time_is_refused_at_last(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tiny_bundle, monkeypatch, SenderLimits(refusals=20)) as serve:
        sender = await Sender.dial(serve.url)
        ready = await sender.hello()
        with contextlib.suppress(ConnectionClosed):
            await sender.talk(speech("." * 160))  # 40 s
        assert await sender.closed() == 1008
        assert sender.connection.close_reason == "too_fast"
        assert {error.code for error in sender.errors} == {"too_fast"}
        assert 20 < serve.hub.counters["ingest_too_fast"] < 30
        await serve.endpoint.close("test over")
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
    limits = replace(TIGHT, refusals=10, burst_seconds=1.0)
    async with serving(tiny_bundle, monkeypatch, limits) as serve:
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
    serve: Serving, sent: bytes, closes: int, counter: str, hello: bool
) -> None:
    reader, writer = await (greeted(serve) if hello else dial(serve))
    writer.write(sent)
    async with asyncio.timeout(5):
        answer = await reader.read()
    place = answer.index(b"\x88")
    assert int.from_bytes(answer[place + 2 : place + 4]) == closes
    writer.close()
    async with asyncio.timeout(5):
        while not serve.hub.counters[counter]:
            await asyncio.sleep(0.01)
    assert serve.hub.counters[counter] == 1


async def test_a_hello_may_not_be_long(serve: Serving) -> None:
    sender = await Sender.dial(serve.url)
    await sender.connection.send(json.dumps(HELLO | {"x": "y" * 17_000}))
    assert await sender.closed() == 1009


async def test_media_may_not_be_longer_than_told(serve: Serving) -> None:
    sender = await Sender.dial(serve.url)
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


async def test_a_sender_that_reads_nothing_of_what_it_asked_for(serve: Serving) -> None:
    reader, writer = await dial(serve)
    hello = json.dumps(HELLO | {"subscribe": True}).encode()
    writer.write(bytes([0x81, 0x80 | len(hello)]) + bytes(4) + hello)
    await reader.readuntil(b"}}")
    session_id = serve.host.sessions[-1].session_id
    seq = serve.hub._logs[session_id].seq
    for n in range(20_000):
        status = wire.Status(
            seq=seq + n + 1, session_id=session_id, t=0, level="info", code="x", message="y" * 500
        )
        with contextlib.suppress(ValueError):  # the session may have said something in between
            serve.hub.publish(status)
        if serve.hub.counters["slow_readers"]:
            break
        if n % 50 == 0:
            await asyncio.sleep(0)
    async with asyncio.timeout(10):
        while serve.endpoint.describe()["senders"] != 1:
            await asyncio.sleep(0.01)
    assert serve.hub.counters["slow_readers"] == 1
    writer.close()


async def test_nothing_of_it_is_logged(serve: Serving, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("odd", "not json", "bomb"):
        sender = await Sender.dial(serve.url)
        await sender.hello(video=PICTURES)
        await sender.connection.send(BAD_MESSAGES[name][0])
        await sender.end()
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []
