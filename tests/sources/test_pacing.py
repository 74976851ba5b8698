"""Pacing on a virtual clock, and the fake source."""

from __future__ import annotations

import numpy as np

from magtkd_rt.core.media import AudioChunk, VideoFrame
from magtkd_rt.sources import MemorySource, arrival_ns, paced


class _Clock:
    def __init__(self) -> None:
        self.time_ns = 5_000

    def now_ns(self) -> int:
        return self.time_ns

    def sleep_until_ns(self, time_ns: int) -> None:
        self.time_ns = max(self.time_ns, time_ns)


def _media() -> list[AudioChunk | VideoFrame]:
    picture = np.zeros((2, 2, 3), np.uint8)
    return [
        VideoFrame(40_000_000, picture),
        AudioChunk(0, 0, np.zeros(512, np.float32)),
        AudioChunk(0, 512, np.zeros(512, np.float32)),
        VideoFrame(0, picture),
    ]


def test_items_come_when_their_time_has_come() -> None:
    clock = _Clock()
    times = [
        (clock.time_ns - 5_000, arrival_ns(item), due - 5_000)
        for item, due in paced(MemorySource(_media()).media(), clock)
    ]
    assert [now for now, *_ in times] == [0, 32_000_000, 40_000_000, 64_000_000]
    assert all(now == arrival == due for now, arrival, due in times)


def test_delays_do_not_add_up() -> None:
    clock = _Clock()
    late, due_at = [], []
    for _, due in paced(MemorySource(_media()).media(), clock):
        late.append(clock.time_ns - due)
        due_at.append(due - 5_000)
        if len(late) == 1:
            clock.time_ns += 50_000_000  # a slow consumer
    assert late == [0, 18_000_000, 10_000_000, 0]
    assert due_at == [0, 32_000_000, 40_000_000, 64_000_000]  # late or not


def test_memory_source_describes_itself_and_stops() -> None:
    source = MemorySource(_media(), name="fake")
    assert source.info.audio == source.info.video == "fake"
    assert (source.info.channels, source.info.duration_ns) == (1, 64_000_000)
    media = source.media()
    next(media)
    source.close()
    assert list(media) == []
    assert MemorySource([]).info.audio is None
