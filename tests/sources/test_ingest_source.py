"""What others send as a source: exact samples, one time line, silence for what is missing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from sent_media import (
    JPEG,
    MONO,
    ZERO_US,
    Clock,
    joined,
    likeness,
    noise,
    read,
    send,
    show,
    source,
    tone,
)

from magtkd_rt import wire
from magtkd_rt.core.media import NANOSECONDS, SAMPLE_RATE, AudioChunk, VideoFrame
from magtkd_rt.sources import ArrivingSource, Media, arrival_ns
from magtkd_rt.sources.incoming import Incoming
from magtkd_rt.sources.ingest import MAX_HELD, IngestSource, NoRoom


@pytest.mark.parametrize("block", [0.0011, 0.02, 0.1, 1.7])
@pytest.mark.parametrize("jitter", [0.0, 0.03])
def test_samples_are_heard_as_they_were_sent(block: float, jitter: float) -> None:
    one = source()
    sound = noise(3.0)
    send(one, sound, block=block, jitter=jitter)
    np.testing.assert_array_equal(joined(read(one)), sound[:, 0])


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 192_000])
@pytest.mark.parametrize("channels", [1, 2, 16])
def test_any_rate_becomes_16_khz(rate: int, channels: int) -> None:
    one = source(wire.AudioFormat(sample_rate=rate, channels=channels))
    send(one, np.repeat(tone(440, 1, rate), channels, axis=1), rate)
    sound = joined(read(one))
    assert len(sound) == pytest.approx(SAMPLE_RATE, abs=60)
    assert likeness(sound[500:], 440) > 0.999
    assert np.abs(sound[500:]).max() == pytest.approx(0.5, abs=0.01)


def test_channels_that_are_speakers_are_kept_apart() -> None:
    one = source(wire.AudioFormat(sample_rate=16_000, channels=3, channels_are_speakers=True))
    assert one.info.channels == 3
    sound = noise(1.0, channels=3)
    send(one, sound)
    items = read(one)
    for channel in range(3):
        np.testing.assert_array_equal(joined(items, channel), sound[:, channel])


def test_missing_sound_is_silence() -> None:
    one = source()
    sound = noise(2.0)
    send(one, sound[:SAMPLE_RATE])
    send(one, sound[SAMPLE_RATE:], at=2.5)
    found = joined(read(one))
    np.testing.assert_array_equal(found[:SAMPLE_RATE], sound[:SAMPLE_RATE, 0])
    assert not found[SAMPLE_RATE : round(2.5 * SAMPLE_RATE)].any()
    np.testing.assert_array_equal(found[round(2.5 * SAMPLE_RATE) :], sound[SAMPLE_RATE:, 0])


def test_stamps_that_jitter_much_make_no_holes() -> None:
    one = source()
    send(one, noise(60.0) + 0.001, block=0.05, jitter=0.15)
    found = joined(read(one))
    assert np.count_nonzero(found == 0) < 100
    assert len(found) == pytest.approx(60 * SAMPLE_RATE, abs=0.1 * SAMPLE_RATE)


@pytest.mark.parametrize("drift", [3e-4, -3e-4])
def test_a_clock_that_runs_wrong_is_followed(drift: float) -> None:
    one = source(ahead=1000.0)
    seconds, block = 200, np.zeros((8_000, 1), np.float32)
    for n in range(2 * seconds):
        one.put_sound(ZERO_US + round(n * 500_000 * (1 + drift)), block, SAMPLE_RATE)
    found = len(joined(read(one)))
    # Without following it would be 60 ms off.
    assert abs(found - seconds * SAMPLE_RATE * (1 + drift)) < 0.03 * SAMPLE_RATE


def test_sound_that_is_sent_again_is_heard_once() -> None:
    one = source()
    sound = noise(3.0)
    send(one, sound[: 2 * SAMPLE_RATE])
    one.connection_lost(30)
    one.connection_back()
    send(one, sound[SAMPLE_RATE:], at=1.0)
    np.testing.assert_array_equal(joined(read(one)), sound[:, 0])
    assert dict(one.dropped) == {}
    assert [notice.code for notice in one.notices] == ["sender_lost", "sender_back"]


def test_pictures_come_in_the_order_of_a_file() -> None:
    one = source(video=JPEG)
    sound, times = noise(2.0), [n / 10 for n in range(20)]
    levels = {at: 20 + 10 * n for n, at in enumerate(times)}
    for at in times[:12]:
        show(one, levels[at], at)
    send(one, sound[:SAMPLE_RATE], block=0.02)
    for at in times[12:]:
        show(one, levels[at], at)
    send(one, sound[SAMPLE_RATE:], at=1.0)
    items = read(one)
    frames = [item for item in items if isinstance(item, VideoFrame)]
    assert [frame.time_ns for frame in frames] == [round(at * NANOSECONDS) for at in times]
    assert all(
        abs(int(f.image.mean()) - levels[t]) <= 2 for f, t in zip(frames, times, strict=True)
    )
    chunks = [item for item in items if isinstance(item, AudioChunk)]
    merged: list[Media] = sorted([*chunks, *frames], key=arrival_ns)  # sound first where equal
    assert [id(item) for item in items] == [id(item) for item in merged]


def test_pictures_alone_wait_for_nothing() -> None:
    one = source(None, JPEG)
    assert one.info.channels == 0
    reader = one.media()
    for n in range(5):
        show(one, 100, n / 5)
        item = next(reader)
        assert isinstance(item, VideoFrame) and item.time_ns == n * NANOSECONDS // 5


def test_more_pictures_than_wanted_are_left_out_before_they_are_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = source(None, JPEG, fps=5)
    decoded = 0
    decode = one._decoder.decode

    def counted(data: bytes) -> NDArray[np.uint8]:
        nonlocal decoded
        decoded += 1
        return decode(data)

    monkeypatch.setattr(one._decoder, "decode", counted)
    for n in range(100):
        show(one, 100, n / 50)
    assert len(read(one)) == decoded == 10
    assert dict(one.dropped) == {}


def test_more_pixels_than_can_be_decoded_are_lost_and_counted() -> None:
    clock = Clock()
    one = source(None, JPEG, clock=clock)
    _, data = cv2.imencode(".jpg", np.zeros((4096, 4096), np.uint8))
    lost = 0
    for n in range(10):
        try:
            one.put_picture(ZERO_US + n * 100_000, data.tobytes())
        except NoRoom:
            lost += 1
        clock.pass_by(0.1)
    assert lost >= 6
    assert one.dropped["sender_pictures"] == lost


def test_broken_pictures_are_counted_and_told_of_once() -> None:
    one = source(None, JPEG)
    _, data = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
    spoiled = data.tobytes()[:-500] + b"\xff\xd9"  # its second half is missing, its end is not
    for n in range(3):
        one.put_picture(ZERO_US + n * 200_000, spoiled)
    show(one, 100, 0.6)
    assert len(read(one)) == 1
    assert one.dropped["broken_pictures"] == 3
    assert [notice.code for notice in one.notices] == ["picture_broken"]


def test_pictures_whose_sound_does_not_come_are_bounded() -> None:
    one = IngestSource(MONO, JPEG, ahead=100.0, patience=100.0)
    send(one, noise(0.1))
    for n in range(MAX_HELD + 5):
        show(one, 100, 1 + n / 10)
    pictures = [item for item in read(one) if isinstance(item, VideoFrame)]
    assert len(pictures) == MAX_HELD
    assert dict(one.dropped) == {"late_pictures": 5}


def test_a_full_queue_loses_what_is_new_and_counts_it() -> None:
    one = source(incoming=Incoming(max_bytes=100_000))
    block = noise(0.5)
    for n in range(3):
        one.put_sound(ZERO_US + n * 500_000, block, SAMPLE_RATE)
    with pytest.raises(NoRoom):
        one.put_sound(ZERO_US + 1_500_000, block, SAMPLE_RATE)
    assert dict(one.dropped) == {"sender_samples": 8_000}
    assert len(joined(read(one))) == 24_000


def test_a_queue_that_nobody_reads_grows_no_older() -> None:
    clock = Clock()
    one = source(clock=clock, incoming=Incoming(max_age_ns=2 * NANOSECONDS))
    with pytest.raises(NoRoom):
        send(one, noise(5.0), clock=clock)
    assert 1.9 < joined(read(one)).size / SAMPLE_RATE < 2.3


def test_media_is_stamped_with_its_arrival() -> None:
    clock = Clock()
    one = source(clock=clock)
    assert isinstance(one, ArrivingSource)
    begin = clock.now
    send(one, noise(1.0), block=0.25, clock=clock)
    one.end()
    found = [(item.end, at - begin) for item, at in one.arriving() if isinstance(item, AudioChunk)]
    for end, arrived_ns in found:
        block_end = -(-end // 4_000) * 4_000
        assert arrived_ns == block_end * NANOSECONDS // SAMPLE_RATE
