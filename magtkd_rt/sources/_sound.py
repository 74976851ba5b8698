"""Decoded sound to 16 kHz samples with positions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from magtkd_rt.core.media import NANOSECONDS, SAMPLE_RATE, WINDOW, AudioChunk
from magtkd_rt.sources._decode import Note, stamp_ns

SAMPLE_NS = NANOSECONDS // SAMPLE_RATE
"""One sample lasts a whole number of nanoseconds, so that both units convert exactly."""

_TOLERANCE_NS = 100_000_000
"""Stamps may stray this far from the count of samples (coarse or jittery stamps) before the
count gives way."""


def audio_chunks(frames: Iterable[Any], split_channels: bool, note: Note) -> Iterator[AudioChunk]:
    """Resample, mix or split, and cut into chunks of at most one window.

    Args:
        frames: decoded `av.AudioFrame`s of any format.
        split_channels: one chunk per channel, instead of the average of all.
        note: is told about stamps that go back.

    Yields:
        chunks on the file's own time line (starts may be negative), gaps left open.
    """
    channels = 0 if split_channels else 1
    for start, samples in _resampled(frames, note):
        channels = channels or samples.shape[0]
        rows = samples
        if samples.shape[0] != channels:  # mixed, or the file changed its mind on the way
            rows = samples.mean(axis=0, keepdims=True).repeat(channels, axis=0)
        rows = np.clip(np.nan_to_num(rows), -1.0, 1.0).astype(np.float32)
        for first in range(0, rows.shape[1], WINDOW):
            for channel, row in enumerate(rows):
                yield AudioChunk(channel, start + first, row[first : first + WINDOW])


class _Run:
    """Sound without a gap and of one format: one resampler, one count of samples."""

    def __init__(self, frame: Any, start_ns: int, not_before: int) -> None:
        self._format = _format(frame)
        self._start_ns = start_ns
        self._heard = 0  # samples at the file's own rate
        self._rate: int = frame.sample_rate
        # Interleaved: PyAV crashes on frames of eight planes and more.
        self._resampler = av.AudioResampler("flt", frame.layout, SAMPLE_RATE)
        self._channels: int = frame.layout.nb_channels
        self.position = max(round(start_ns / SAMPLE_NS), not_before)

    @property
    def end_ns(self) -> int:
        return self._start_ns + self._heard * NANOSECONDS // self._rate

    def fits(self, frame: Any) -> bool:
        return self._format == _format(frame)

    def push(self, frame: Any | None) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Resample a frame, or with None what the resampler still holds."""
        if frame is not None:
            self._heard += frame.samples
            frame.pts = None  # positions are counted, not stamped
        for resampled in self._resampler.resample(frame):
            interleaved = resampled.to_ndarray().astype(np.float32, copy=False)
            samples = interleaved.reshape(-1, self._channels).T
            yield self.position, samples
            self.position += samples.shape[1]


def _resampled(frames: Iterable[Any], note: Note) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield start and float32 (channels, n) at 16 kHz."""
    run: _Run | None = None
    correction_ns = 0
    went_back = 0
    for frame in frames:
        if frame.samples == 0:
            continue
        stamp = stamp_ns(frame)
        if run is None:
            run = _Run(frame, stamp or 0, not_before=round((stamp or 0) / SAMPLE_NS))
        expected = run.end_ns
        time_ns = expected if stamp is None else stamp + correction_ns
        if time_ns < expected - _TOLERANCE_NS:  # stamps started anew: go on counting
            correction_ns += expected - time_ns
            time_ns = expected
            went_back += 1
        gap = time_ns > expected + _TOLERANCE_NS
        if gap or not run.fits(frame):
            yield from run.push(None)
            run = _Run(frame, time_ns if gap else expected, not_before=run.position)
        yield from run.push(frame)
    if run is not None:
        yield from run.push(None)
    if went_back:
        note(f"time stamps of the sound go back {went_back} times; it was joined there")


def _format(frame: Any) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate
