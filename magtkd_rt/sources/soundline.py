"""Blocks of a microphone to sound at 16 kHz on the session's time line, kept on its clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from statistics import median
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

from magtkd_rt.core.media import SAMPLE_RATE, WINDOW, AudioChunk
from magtkd_rt.sources._sound import SAMPLE_NS
from magtkd_rt.sources.inbox import SoundBlock

STEADY: Final = 100
"""Blocks whose stamps are looked at together: one alone may be off by as much as it is long."""
DRIFT: Final = SAMPLE_RATE // 50
"""Samples (20 ms) that the count may stray from the stamps before it is pulled back: less than
anybody sees on lips."""
GAP: Final = SAMPLE_RATE // 10
"""Samples (100 ms) from which stamps that run ahead mean that sound was lost."""

Rows = NDArray[np.float32]


class SoundLine:
    """Counts samples, and follows the stamps of the blocks.

    A microphone's clock runs a little fast or slow. The count is pulled along by one sample a
    block at most, which nobody hears; where sound was lost, silence takes its place.

    Args:
        channels: of the chunks to make.
        zero_ns: media zero on the clock of the blocks.
    """

    def __init__(self, channels: int, zero_ns: int) -> None:
        self.end = 0
        """Sample after the last one handed over."""
        self.slipped = 0
        """Samples put in (or, negative, left out) to follow the clock."""
        self._channels = channels
        self._zero_ns = zero_ns
        self._format: tuple[int, int, int] | None = None
        self._resamplers: list[av.AudioResampler] = []
        self._skip = 0  # samples to leave out, of a time that was handed over already
        self._aligned = False
        self._offsets: deque[int] = deque(maxlen=STEADY)

    @property
    def error(self) -> int:
        """Samples by which the count is behind the stamps at present."""
        return round(median(self._offsets)) - self.slipped if self._offsets else 0

    def push(self, block: SoundBlock) -> Iterator[AudioChunk]:
        """Take the next block; yields what it completes, before it silence where sound is missing.

        The channels of the block are taken as they are where they are as many as wanted, else
        all channels get their mean.
        """
        form = (block.run, block.rate, block.samples.shape[1])
        if form != self._format:
            self._format, self._aligned = form, False
            rows = self._channels if form[2] == self._channels else 1
            self._resamplers = [av.AudioResampler("fltp", "mono", SAMPLE_RATE) for _ in range(rows)]
        start = (block.begin_ns - self._zero_ns) // SAMPLE_NS
        if not self._aligned:
            self._aligned = True
            self._offsets.clear()
            self._skip = max(0, self.end - start)
            yield from self._silence(start)
        else:
            self._offsets.append(start - self.end + self._skip + self.slipped)
            if len(self._offsets) == STEADY and self.error > GAP:
                yield from self._silence(self.end + self.error)
                self._offsets.clear()
        yield from self._hand_over(self._follow(self._resample(block)))

    def silence_until(self, end: int) -> Iterator[AudioChunk]:
        """No sound came up to sample `end`: hand over silence; what comes late is left out."""
        if end > self.end:
            self._aligned = False
            yield from self._silence(end)

    def _silence(self, end: int) -> Iterator[AudioChunk]:
        while self.end < end:
            count = min(end - self.end, SAMPLE_RATE)
            yield from self._hand_over(np.zeros((self._channels, count), np.float32))

    def _resample(self, block: SoundBlock) -> Rows:
        """Float32 (channels, n) at 16 kHz, what the resamplers give so far."""
        columns = block.samples
        if len(self._resamplers) != columns.shape[1]:
            columns = columns.mean(axis=1, keepdims=True)
        rows = []
        for resampler, column in zip(self._resamplers, columns.T, strict=True):
            samples = np.ascontiguousarray(column, np.float32)[np.newaxis]
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate = block.rate
            parts = [part.to_ndarray()[0] for part in resampler.resample(frame)]
            rows.append(np.concatenate(parts) if parts else np.zeros(0, np.float32))
        sound = np.clip(np.nan_to_num(np.stack(rows)), -1.0, 1.0).astype(np.float32)
        return np.repeat(sound, self._channels, axis=0) if len(rows) < self._channels else sound

    def _follow(self, rows: Rows) -> Rows:
        """Leave out what is late, then pull by one sample towards the stamps."""
        late = min(self._skip, rows.shape[1])
        self._skip -= late
        rows = rows[:, late:]
        if len(self._offsets) < STEADY or rows.shape[1] == 0:
            return rows
        if self.error > DRIFT:
            self.slipped += 1
            return np.concatenate([rows[:, :1], rows], axis=1)
        if self.error < -DRIFT:
            self.slipped -= 1
            return rows[:, 1:]
        return rows

    def _hand_over(self, rows: Rows) -> Iterator[AudioChunk]:
        for first in range(0, rows.shape[1], WINDOW):
            piece = rows[:, first : first + WINDOW]
            for channel, row in enumerate(piece):
                yield AudioChunk(channel, self.end, row)
            self.end += piece.shape[1]
