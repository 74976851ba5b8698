"""Media put into an ingest source by hand, on a clock by hand."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from magtkd_rt import wire
from magtkd_rt.core.media import NANOSECONDS, SAMPLE_RATE, AudioChunk
from magtkd_rt.sources import Media
from magtkd_rt.sources.incoming import Incoming
from magtkd_rt.sources.ingest import IngestSource

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
