"""Live sessions for tests: scripted words, no faces, the tiny bundle's real graphs."""

from __future__ import annotations

import numpy as np

from magtkd_rt import wire
from magtkd_rt.core import SegmenterConfig, SessionConfig, SessionInfo
from magtkd_rt.core.media import (
    SAMPLE_RATE,
    WINDOW,
    AudioChunk,
    Face,
    HeardSound,
    SeenFaces,
    VideoFrame,
)
from magtkd_rt.labels import LABELS
from magtkd_rt.runtime.lane import Work
from magtkd_rt.runtime.live import Setup
from magtkd_rt.runtime.meter import Meter
from magtkd_rt.runtime.senses import Senses


class LoudIsSpeech:
    """A speech detector for sound in whole windows: what is loud is speech."""

    def push(self, chunk: AudioChunk) -> HeardSound | None:
        windows = chunk.samples.reshape(-1, WINDOW)
        speech = (np.abs(windows).max(axis=1) > 0.1).astype(np.float32)
        return HeardSound(chunk.channel, chunk.start, chunk.samples, speech)

    def flush(self, channel: int) -> HeardSound | None:
        return None


class BrightIsFace:
    """A face finder: a bright picture is a face."""

    def find(self, frame: VideoFrame, *, calm: bool = False) -> SeenFaces:
        if frame.image.mean() < 128:
            return SeenFaces(frame.time_ns)
        crop = frame.image[:48, :48, 0]
        return SeenFaces(frame.time_ns, (Face(0, crop, (0, 0, 1, 1), 1.0),))


def sound_of(pattern: str, *, channel: int = 0, seconds: float = 0.5) -> list[AudioChunk]:
    """Chunks of one window: `#` is loud, `.` silent, each character some seconds long."""
    per_mark = round(seconds * SAMPLE_RATE / WINDOW)
    tone = (0.5 * np.sin(np.arange(WINDOW) * 0.2)).astype(np.float32)
    silence = np.zeros(WINDOW, np.float32)
    windows = [tone if mark == "#" else silence for mark in pattern for _ in range(per_mark)]
    return [AudioChunk(channel, n * WINDOW, window) for n, window in enumerate(windows)]


def make_setup(
    work: Work, *, session_id: str = "test", meter: Meter | None = None, channels: int = 1
) -> Setup:
    """A session's parts, but for its source."""
    meter = meter or Meter()
    return Setup(
        session_id=session_id,
        config=SessionConfig(
            segmenter=SegmenterConfig(),
            labels=LABELS,
            text_confidence_threshold=0.5,
            abstain_threshold=0.3,
            channels=channels,
            channels_are_speakers=channels > 1,
        ),
        info=SessionInfo(
            bundle=wire.BundleInfo(name="tiny", sha256="0" * 64, licence="Apache-2.0"),
            asr=wire.AsrInfo(name="scripted"),
            engine="onnx",
            sources=wire.SourceInfo(audio="memory", video=None),
            notice="expression, not inner state",
        ),
        senses=Senses(LoudIsSpeech(), BrightIsFace(), channels, meter),
        work=work,
        meter=meter,
    )
