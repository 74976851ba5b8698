"""Microphone and camera together: one time line, neither waits, close ends at once."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from magtkd_rt.core.media import NANOSECONDS, SAMPLE_RATE, AudioChunk, VideoFrame
from magtkd_rt.sources import Media, Notice, arrival_ns
from magtkd_rt.sources.camera import Camera
from magtkd_rt.sources.fakes import FakeAudio, FakeCapture
from magtkd_rt.sources.inbox import Inbox
from magtkd_rt.sources.keeper import Pauses
from magtkd_rt.sources.live import LiveSource
from magtkd_rt.sources.microphone import Microphone
from magtkd_rt.sources.portaudio import MicrophoneInfo
from magtkd_rt.sources.soundline import SoundLine
from magtkd_rt.sources.sync import FIRST_NS, Sync

QUICK = Pauses(first=0.01, longest=0.05, jitter=0.0)
STEREO = MicrophoneInfo(0, "desk", 2, 48_000, default=True)


class Talker:
    """Feeds a fake microphone in real time, from a thread of its own."""

    def __init__(self, audio: FakeAudio) -> None:
        self._audio = audio
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._talk, daemon=True)

    def __enter__(self) -> Talker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _talk(self) -> None:
        block = np.full((960, 2), 0.5, np.float32)
        while not self._stopped.wait(0.02):
            self._audio.feed(block, age=0.02)


def flicker() -> Callable[[], NDArray[np.uint8]]:
    count = 0

    def picture() -> NDArray[np.uint8]:
        nonlocal count
        time.sleep(0.02)
        count += 1
        return np.full((48, 64, 3), count % 256, np.uint8)

    return picture


def live(
    audio: FakeAudio | None,
    picture: Callable[[], NDArray[np.uint8] | None] | None = None,
    *,
    split: bool = False,
) -> LiveSource:
    inbox = Inbox()
    microphone = camera = None
    if audio is not None:
        microphone = Microphone("", inbox, audio, every_channel=split)
    if picture is not None:
        camera = Camera("0", inbox, 10, open_capture=lambda _: FakeCapture(picture))
    return LiveSource(microphone, camera, inbox, QUICK)


def for_seconds(source: LiveSource, seconds: float) -> Iterator[Media]:
    closing = threading.Timer(seconds, source.close)
    closing.start()
    yield from source.media()
    closing.cancel()


def test_both_on_one_time_line() -> None:
    audio = FakeAudio(STEREO)
    source = live(audio, flicker())
    start_ns = time.monotonic_ns()
    items: list[tuple[Media, int]] = []
    with Talker(audio):
        items = [(one, time.monotonic_ns() - start_ns) for one in for_seconds(source, 1.5)]
    assert source.info.audio == "microphone desk" and source.info.video == "camera 0"
    sound = [item for item, _ in items if isinstance(item, AudioChunk)]
    pictures = [item for item, _ in items if isinstance(item, VideoFrame)]
    assert all(a.end == b.start for a, b in itertools.pairwise(sound))
    assert sound[-1].end > 0.9 * SAMPLE_RATE
    assert 4 <= len(pictures) <= 18
    assert all(a.time_ns < b.time_ns for a, b in itertools.pairwise(pictures))
    # Nothing comes from the future, and nothing waits for long.
    late = [now_ns - arrival_ns(item) for item, now_ns in items]
    assert min(late) > -0.05 * NANOSECONDS
    assert np.median(late) < 0.5 * NANOSECONDS


def test_channels_that_are_speakers() -> None:
    audio = FakeAudio(STEREO)
    source = live(audio, split=True)
    assert source.info.channels == 2
    with Talker(audio):
        channels = [item.channel for item in for_seconds(source, 0.5)]  # type: ignore[union-attr]
    assert channels.count(0) == channels.count(1) > 5


def test_close_ends_a_source_that_brings_nothing() -> None:
    for source in (live(FakeAudio(STEREO)), live(None, flicker())):
        start = time.monotonic()
        for _ in for_seconds(source, 0.2):
            pass
        assert time.monotonic() - start < 1.5


def test_pictures_go_on_without_the_microphone_and_sound_returns() -> None:
    audio = FakeAudio(STEREO)
    source = live(audio, flicker())
    events: list[tuple[str, int]] = []

    def told() -> list[str]:
        return [notice.code for notice in source.notices]

    pulled = returned = False
    pictures_without = 0
    loud: list[tuple[int, bool]] = []
    with Talker(audio):
        for item in for_seconds(source, 15.0):
            if isinstance(item, VideoFrame):
                events.append(("picture", item.time_ns))
                pictures_without += pulled and not returned
                continue
            loud += [(item.start, bool(np.abs(item.samples).max() > 0.1))]
            if not pulled and item.end > SAMPLE_RATE // 2:
                pulled = True
                audio.unplug()
            if pulled and not returned and item.end > 2 * SAMPLE_RATE:
                audio.plugged = [STEREO]
                returned = True
            if returned and told() == ["device_lost", "device_back"] and loud[-1][1]:
                source.close()
    assert pulled and returned
    assert told() == ["device_lost", "device_back"]
    assert pictures_without > 5
    changes = [now for (_, before), (_, now) in itertools.pairwise(loud) if before != now]
    assert changes[-2:] == [False, True], "sound, silence, sound"
    assert loud[0][0] == 0


def test_a_video_file_alone_ends_the_session(tmp_path: Path, recordings: SimpleNamespace) -> None:
    movie = recordings.write_movie(tmp_path / "a.mp4", pictures_at=[n / 25 for n in range(10)])
    inbox = Inbox()
    source = LiveSource(None, Camera(str(movie), inbox, 10), inbox)
    assert 1 <= len(list(source.media())) <= 5
    assert source.info.audio is None and source.info.channels == 0


def test_a_video_file_does_not_end_what_is_heard(
    tmp_path: Path, recordings: SimpleNamespace
) -> None:
    movie = recordings.write_movie(tmp_path / "a.mp4", pictures_at=[0.0, 0.04])
    inbox, audio = Inbox(), FakeAudio(STEREO)
    camera = Camera(str(movie), inbox, 10)
    source = LiveSource(Microphone("", inbox, audio), camera, inbox)
    with Talker(audio):
        sound = [item for item in for_seconds(source, 1.0) if isinstance(item, AudioChunk)]
    assert sound[-1].end > 0.4 * SAMPLE_RATE


def test_a_source_of_nothing_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="needs a microphone or a camera"):
        LiveSource(None, None, Inbox())


def test_the_offset_is_told_once_both_came() -> None:
    told: list[Notice] = []
    line = SoundLine(1, 0)
    sync = Sync(line, told.append)
    list(line.silence_until(SAMPLE_RATE))
    sync.heard(1_030_000_000)
    assert told == []
    list(line.silence_until(11 * SAMPLE_RATE))
    sync.heard(FIRST_NS + 1_030_000_000)
    assert told == [], "there was no picture yet"
    sync.saw(FIRST_NS + 1_100_000_000, FIRST_NS + 1_150_000_000)
    sync.saw(FIRST_NS + 1_200_000_000, FIRST_NS + 1_250_000_000)
    (notice,) = told
    assert notice.code == "sync" and notice.level == "info"
    assert "sound arrives 30 ms and a picture 50 ms" in notice.message
    assert "+10100 ms after the first sound" in notice.message
