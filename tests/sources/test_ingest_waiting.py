"""A source of what others send while it waits: silence for what is late, no work, an end."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from sent_media import (
    JPEG,
    ZERO_US,
    Clock,
    joined,
    noise,
    read,
    send,
    show,
    source,
)

from magtkd_rt.core.media import SAMPLE_RATE, AudioChunk, VideoFrame
from magtkd_rt.sources import Media
from magtkd_rt.sources.ingest import IngestSource
from magtkd_rt.sources.timeline import Untimely


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
    send(one, noise(0.1), at=2.0)  # again, on another connection
    assert dict(one.dropped) == {}


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
