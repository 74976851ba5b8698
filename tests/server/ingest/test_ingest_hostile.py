"""Senders that mean harm, or are broken: each is told so and counted, and no other notices."""

from __future__ import annotations

import contextlib
import json
import logging

import numpy as np
import pytest
from live_sessions import finals
from senders import PICTURES, SOUND, Sender, Serving, jpeg, speech
from websockets.exceptions import ConnectionClosed

from magtkd_rt import wire
from magtkd_rt.sources.jpeg import MAX_JPEG_SIDE

pytestmark = pytest.mark.anyio

HELLO = {"type": "hello", "audio": SOUND}


def header(kind: int, at: float = 0.0) -> bytes:
    return bytes([kind]) + round(at * 1e6).to_bytes(8, "little")


def floats(*values: float) -> bytes:
    return np.array(values, "<f4").tobytes()


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
async def test_a_bad_message_is_refused_and_the_rest_is_heard(beside: Serving, name: str) -> None:
    bad, code = BAD_MESSAGES[name]
    sender = await Sender.dial(beside.url)
    ready = await sender.hello(video=PICTURES)
    await sender.talk(speech(".##..#.##...")[:16_000])
    for _ in range(11):
        await sender.connection.send(bad)
    await sender.talk(speech(".##..#.##...")[16_000:], at=1.0)
    assert await sender.end() == 1000
    assert [error.code for error in sender.errors] == [code, code]
    assert "10 times by now" in sender.errors[1].message
    assert all(len(error.message) < 300 for error in sender.errors)
    assert beside.hub.counters == {f"ingest_{code}": 11}
    assert len(finals(beside.of(ready.session_id))) == 2


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
async def test_a_bad_hello_is_refused(beside: Serving, name: str) -> None:
    bad, code, closes = BAD_HELLOS[name]
    sender = await Sender.dial(beside.url)
    await sender.connection.send(bad)
    assert await sender.closed() == closes
    assert [error.code for error in sender.errors] == [code]
    assert beside.hub.counters == {f"ingest_{code}": 1}
    assert len(beside.host.sessions) == 1, "the one beside"


async def test_what_was_not_announced_is_refused(beside: Serving) -> None:
    video = await Sender.dial(beside.url)
    await video.hello(audio=None, video=PICTURES)
    await video.talk(speech("#"))
    assert (await video.next_of(wire.Error)).code == "unsupported"
    sound = await Sender.dial(beside.url)
    await sound.hello()
    await sound.picture(jpeg(), at=0.0)
    assert (await sound.next_of(wire.Error)).code == "unsupported"
    await video.end()
    await sound.end()


async def test_sound_of_several_channels_comes_in_whole_frames(beside: Serving) -> None:
    sender = await Sender.dial(beside.url)
    await sender.hello(audio={"sample_rate": 8_000, "channels": 3})
    await sender.connection.send(header(1) + bytes(3 * 2 * 10 + 2))
    assert "no multiple of 6" in (await sender.next_of(wire.Error)).message
    await sender.end()


async def test_time_that_goes_back_is_refused(beside: Serving) -> None:
    sender = await Sender.dial(beside.url)
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
    assert beside.hub.counters == {"ingest_bad_frame": 3}
    assert len(finals(beside.of(ready.session_id))) == 1


async def test_nothing_is_taken_after_end(beside: Serving) -> None:
    sender = await Sender.dial(beside.url)
    ready = await sender.hello()
    await sender.talk(speech(".##"))
    await sender.say(type="end")
    with contextlib.suppress(ConnectionClosed):
        await sender.talk(speech("####"), at=0.75)
    assert await sender.closed() == 1000
    (final,) = finals(beside.of(ready.session_id))
    assert final.end < 0.8


async def test_refusals_are_logged_without_what_was_sent(
    beside: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("odd", "not json", "bomb"):
        sender = await Sender.dial(beside.url)
        await sender.hello(video=PICTURES)
        await sender.connection.send(BAD_MESSAGES[name][0])
        await sender.end()
    told = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert [one.getMessage() for one in told] == [
        "ingest_bad_frame",
        "ingest_bad_json",
        "ingest_too_large",
    ]
    for record in told:
        fields = record.__dict__["fields"]
        assert {"address", "reason", "session_id", "count"} == fields.keys()
        assert fields["session_id"]
        assert str(BAD_MESSAGES["not json"][0]) not in fields["reason"]
