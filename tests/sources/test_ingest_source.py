"""What others send as a source: exact samples, one time line, silence for what is missing."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from magtkd_rt import wire
from magtkd_rt.core.media import NANOSECONDS, SAMPLE_RATE, AudioChunk, VideoFrame
from magtkd_rt.sources import ArrivingSource, Media, arrival_ns
from magtkd_rt.sources.incoming import Incoming
from magtkd_rt.sources.ingest import MAX_HELD, IngestSource, NoRoom
from magtkd_rt.sources.timeline import Untimely

MONO = wire.AudioFormat(sample_rate=SAMPLE_RATE)
JPEG = wire.VideoFormat()
ZERO_US = 1_700_000_000_000_000

Sound = NDArray[np.float32]


@dataclass
class Clock:
    """Stands still but when it is moved."""

    now: int = 77 * NANOSECONDS

    def __call__(self) -> int:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += round(seconds * NANOSECONDS)


def source(
    audio: wire.AudioFormat | None = MONO,
    video: wire.VideoFormat | None = None,
    *,
    clock: Clock | None = None,
    ahead: float = 100.0,
    fps: float = 10.0,
    incoming: Incoming | None = None,
) -> IngestSource:
    return IngestSource(
        audio, video, ahead=ahead, fps=fps, now_ns=clock or Clock(), incoming=incoming
    )


def noise(seconds: float, rate: int = SAMPLE_RATE, channels: int = 1) -> Sound:
    random = np.random.default_rng(1)
    return random.uniform(-0.9, 0.9, (round(seconds * rate), channels)).astype(np.float32)


def tone(hertz: float, seconds: float, rate: int) -> Sound:
    ticks = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * ticks)).astype(np.float32)[:, np.newaxis]


def send(
    to: IngestSource,
    sound: Sound,
    rate: int = SAMPLE_RATE,
    *,
    at: float = 0.0,
    block: float = 0.1,
    jitter: float = 0.0,
    clock: Clock | None = None,
) -> None:
    random = np.random.default_rng(2)
    size, last_us = round(block * rate), 0
    for first in range(0, len(sound), size):
        when = at + first / rate + random.uniform(0, jitter)
        last_us = max(last_us, ZERO_US + round(when * 1e6))
        if clock is not None:
            clock.pass_by(block)
        to.put_sound(last_us, sound[first : first + size], rate)


def picture(level: int) -> bytes:
    _, data = cv2.imencode(".jpg", np.full((48, 64), level, np.uint8))
    return bytes(data.tobytes())


def show(to: IngestSource, level: int, at: float) -> None:
    to.put_picture(ZERO_US + round(at * 1e6), picture(level))


def read(one: IngestSource) -> list[Media]:
    one.end()
    return list(one.media())


def joined(items: list[Media], channel: int = 0) -> Sound:
    """The samples of a channel, which must follow each other without hole or overlap."""
    mine = [i for i in items if isinstance(i, AudioChunk) and i.channel == channel]
    assert all(before.end == after.start for before, after in itertools.pairwise(mine))
    assert mine[0].start == 0
    return np.concatenate([chunk.samples for chunk in mine])


def likeness(sound: Sound, hertz: float) -> float:
    """Correlation with a tone of any phase."""
    ticks = np.arange(len(sound)) / SAMPLE_RATE
    turning = np.exp(2j * np.pi * hertz * ticks)
    return float(abs(np.vdot(turning, sound)) / (np.linalg.norm(sound) * np.sqrt(len(sound) / 2)))


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
    assert one.dropped["sender_pictures"] == 5


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


class Reader:
    """Reads a source on a thread of its own, as a session does."""

    def __init__(self, one: IngestSource) -> None:
        self.items: list[Media] = []
        self._one = one
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for item in self._one.media():
            self.items.append(item)

    @property
    def end(self) -> int:
        return max((i.end for i in self.items if isinstance(i, AudioChunk)), default=0)

    def wait_for(self, end: float) -> None:
        deadline = time.monotonic() + 5
        while self.end < end * SAMPLE_RATE:
            assert time.monotonic() < deadline, self.end
            time.sleep(0.01)

    def join(self) -> None:
        self._thread.join(5)
        assert not self._thread.is_alive()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_late_sound_is_silence_until_it_is_back(clock: Clock) -> None:
    one = source(clock=clock)
    reader = Reader(one)
    sound = noise(6.0)
    send(one, sound[:SAMPLE_RATE], clock=clock)
    clock.pass_by(2.5)
    time.sleep(0.4)
    assert reader.end <= SAMPLE_RATE, "it may still come"
    clock.pass_by(1.5)
    reader.wait_for(4.3)
    end = reader.end
    assert end <= 5 * SAMPLE_RATE, "sound of the present is not late"
    send(one, sound[SAMPLE_RATE:], at=1.0)  # what the network held up comes at once
    one.end()
    reader.join()
    found = joined(reader.items)
    assert len(found) == 6 * SAMPLE_RATE
    np.testing.assert_array_equal(found[:SAMPLE_RATE], sound[:SAMPLE_RATE, 0])
    assert not found[SAMPLE_RATE:end].any()
    np.testing.assert_array_equal(found[end:], sound[end:, 0])
    assert one.dropped["late_samples"] == end - SAMPLE_RATE


def test_a_network_that_has_become_slow_costs_sound_once(clock: Clock) -> None:
    one = source(clock=clock)
    reader = Reader(one)
    block = noise(0.1)
    for n in range(200):
        if n == 50:
            clock.pass_by(4.0)  # from now on everything is four seconds later
            reader.wait_for(5.0)
        clock.pass_by(0.1)
        one.put_sound(ZERO_US + n * 100_000, block, SAMPLE_RATE)
        time.sleep(0.002)
    one.end()
    reader.join()
    assert len(joined(reader.items)) == 20 * SAMPLE_RATE
    assert 0 < one.dropped["late_samples"] < 4 * SAMPLE_RATE


def test_pictures_do_not_wait_for_sound_that_never_comes(clock: Clock) -> None:
    one = source(video=JPEG, clock=clock)
    reader = Reader(one)
    for n in range(60):
        clock.pass_by(0.1)
        show(one, 100, n / 10)
        time.sleep(0.002)
    clock.pass_by(1.0)
    reader.wait_for(5.0)
    assert sum(isinstance(item, VideoFrame) for item in reader.items) > 40
    one.close()
    reader.join()


def test_waiting_costs_nothing_and_close_ends_it(clock: Clock) -> None:
    sources = [source(), source(None, JPEG), source(clock=clock)]
    readers = [Reader(one) for one in sources]
    send(sources[2], noise(0.1))
    time.sleep(0.1)
    begin = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - begin < 0.05
    for one in sources:
        one.close()
        one.close()
    for reader in readers:
        reader.join()


def test_the_end_comes_after_what_is_queued() -> None:
    one = source(video=JPEG)
    send(one, noise(2.0))
    show(one, 100, 3.0)
    items = read(one)
    assert len(joined(items)) == 2 * SAMPLE_RATE
    assert isinstance(items[-1], VideoFrame)
    with pytest.raises(NoRoom):
        send(one, noise(0.1), at=2.0)


def test_times_that_cannot_be_true_leave_the_rest_alone() -> None:
    one = source(ahead=1.0)
    send(one, noise(0.5))
    for wrong in (0, ZERO_US - 1, ZERO_US + 3600 * 1_000_000, 2**64 - 1):
        with pytest.raises(Untimely):
            one.put_sound(wrong, noise(0.1), SAMPLE_RATE)
    send(one, noise(0.5), at=0.5)
    assert len(joined(read(one))) == SAMPLE_RATE


def test_a_source_of_nothing_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="sound or pictures"):
        IngestSource(None, None)
