"""What is recorded can be heard and seen again, sample for sample."""

from __future__ import annotations

import stat
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from magtkd_rt.core.media import NANOSECONDS, SAMPLE_RATE, WINDOW, AudioChunk, VideoFrame
from magtkd_rt.errors import InputError
from magtkd_rt.runtime import recorder as recorder_module
from magtkd_rt.runtime.recorder import MAX_PICTURES, RecordedSource, Recorder
from magtkd_rt.runtime.recording import RecordingFile, make_folder
from magtkd_rt.sources import FileSource, Media, MediaInfo, MemorySource
from magtkd_rt.sources.base import Notice

RANDOM = np.random.default_rng(0)


def noise(start: int, samples: int = WINDOW, channel: int = 0) -> AudioChunk:
    return AudioChunk(channel, start, RANDOM.uniform(-1, 1, samples).astype(np.float32))


def picture(seconds: float, height: int = 48, width: int = 64) -> VideoFrame:
    """A slope of grey, so that it survives being a JPEG."""
    row = np.linspace(0, 255, width).astype(np.uint8)
    return VideoFrame(round(seconds * NANOSECONDS), np.dstack([np.tile(row, (height, 1))] * 3))


def recorded(path: Path, media: Sequence[Media], *, channels: int = 1) -> Path:
    pictures = any(isinstance(item, VideoFrame) for item in media)
    with RecordingFile(path, channels=channels, pictures=pictures) as file:
        for item in media:
            file.write(item)
    return path


def heard(path: Path, *, split: bool = False) -> tuple[NDArray[np.float32], list[VideoFrame]]:
    """All sound (channels, n), and the pictures."""
    source = FileSource(path, fps=240, channels_are_speakers=split)
    items = list(source.media())
    chunks = [item for item in items if isinstance(item, AudioChunk)]
    rows = [
        np.concatenate([chunk.samples for chunk in chunks if chunk.channel == channel])
        for channel in range(source.info.channels)
    ]
    assert source.problems == []
    return np.array(rows), [item for item in items if isinstance(item, VideoFrame)]


@pytest.mark.parametrize("channels", range(1, 17))
def test_sound_comes_back_sample_for_sample(tmp_path: Path, channels: int) -> None:
    chunks = [
        noise(start, channel=channel)
        for start in range(0, 20 * WINDOW, WINDOW)
        for channel in range(channels)
    ]
    sound, _ = heard(recorded(tmp_path / "a.mkv", chunks, channels=channels), split=True)
    for channel in range(channels):
        spoken = [chunk.samples for chunk in chunks if chunk.channel == channel]
        assert np.array_equal(sound[channel], np.concatenate(spoken))


def test_pictures_come_back_at_their_times_and_in_their_sizes(tmp_path: Path) -> None:
    media: list[Media] = [noise(0, 4800)]
    media += [picture(0.1), picture(0.1339), picture(0.2, 100, 40), picture(0.35)]
    _, pictures = heard(recorded(tmp_path / "a.mkv", media))
    assert [round(one.time_ns / 1e6) for one in pictures] == [100, 133, 200, 350]
    assert [one.image.shape[:2] for one in pictures] == [(48, 64), (48, 64), (100, 40), (48, 64)]
    for before, after in zip(media[1:], pictures, strict=True):
        assert isinstance(before, VideoFrame)
        assert np.abs(before.image.astype(int) - after.image).mean() < 2


def test_lost_sound_is_silence_in_its_place(tmp_path: Path) -> None:
    first, later = noise(0), noise(3 * SAMPLE_RATE)
    sound, _ = heard(recorded(tmp_path / "a.mkv", [first, later]))
    assert sound.shape == (1, 3 * SAMPLE_RATE + WINDOW)
    assert np.array_equal(sound[0, :WINDOW], first.samples)
    assert np.array_equal(sound[0, 3 * SAMPLE_RATE :], later.samples)
    assert not sound[0, WINDOW : 3 * SAMPLE_RATE].any()


def test_a_lost_channel_is_silence_in_its_place(tmp_path: Path) -> None:
    chunks = [noise(0), noise(0, channel=1), noise(WINDOW, channel=1)]
    chunks += [noise(2 * WINDOW), noise(2 * WINDOW, channel=1)]
    sound, _ = heard(recorded(tmp_path / "a.mkv", chunks, channels=2), split=True)
    assert not sound[0, WINDOW : 2 * WINDOW].any()
    assert np.array_equal(sound[1, WINDOW : 2 * WINDOW], chunks[2].samples)


def test_a_camera_that_gives_nothing_costs_no_sound(tmp_path: Path) -> None:
    chunks = [noise(start) for start in range(0, 5 * SAMPLE_RATE, WINDOW)]
    late = {"none": list[Media](), "late": list[Media]([picture(4.9, 480, 640)])}
    for name, pictures in late.items():
        with RecordingFile(tmp_path / f"{name}.mkv", channels=1, pictures=True) as file:
            for item in (*chunks, *pictures):
                file.write(item)
        sound, seen = heard(tmp_path / f"{name}.mkv")
        assert np.array_equal(sound[0], np.concatenate([chunk.samples for chunk in chunks]))
        assert len(seen) == len(pictures)


def test_only_this_user_may_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "talks"
    make_folder(folder)
    recorded(folder / "a.mkv", [noise(0)])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "a.mkv").stat().st_mode) == 0o600


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(InputError, match="--record another folder"):
        make_folder(tmp_path / "taken")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a.mkv", [noise(0)])
    info = MediaInfo("memory", None, 1)
    with pytest.raises(InputError, match="File exists"):
        Recorder(path, info, lambda _: None, may_wait=False)
    assert heard(path)[0].size == WINDOW


def test_the_session_gets_everything_too(tmp_path: Path) -> None:
    media: list[Media] = [noise(0), noise(WINDOW), picture(0.01)]
    source = MemorySource(media)
    with Recorder(tmp_path / "a.mkv", source.info, source.notices.append, may_wait=True) as kept:
        both = RecordedSource(source, kept)
        assert sorted(map(id, both.media())) == sorted(map(id, media))
    assert kept.error is None
    assert not both.dropped
    sound, pictures = heard(tmp_path / "a.mkv")
    assert sound.size == 2 * WINDOW and len(pictures) == 1


def test_a_slow_disk_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What finds no room is counted; what waited is written."""
    go_on = threading.Event()
    write = RecordingFile.write

    def slow(file: RecordingFile, item: Media) -> None:
        assert go_on.wait(20)
        write(file, item)

    monkeypatch.setattr(RecordingFile, "write", slow)
    info = MediaInfo("memory", "memory", 1)
    with Recorder(tmp_path / "a.mkv", info, lambda _: None, may_wait=False) as kept:
        for second in range(40):
            kept.put(noise(second * SAMPLE_RATE, SAMPLE_RATE))
            kept.put(picture(second))
        lost = dict(kept.dropped)
        go_on.set()
    assert 8 * SAMPLE_RATE <= lost["recording_samples"] <= 10 * SAMPLE_RATE
    assert 40 - MAX_PICTURES - 1 <= lost["recording_pictures"] <= 40 - MAX_PICTURES
    sound, pictures = heard(tmp_path / "a.mkv")
    assert sound.size + lost["recording_samples"] == 40 * SAMPLE_RATE
    assert len(pictures) + lost["recording_pictures"] == 40


def test_a_fast_recording_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "MAX_SOUND", WINDOW)
    info = MediaInfo("memory", None, 1)
    with Recorder(tmp_path / "a.mkv", info, lambda _: None, may_wait=True) as kept:
        for start in range(0, 100 * WINDOW, WINDOW):
            kept.put(noise(start))
    assert not kept.dropped
    assert heard(tmp_path / "a.mkv")[0].size == 100 * WINDOW


def test_a_disk_that_fails_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: RecordingFile, item: Media) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RecordingFile, "write", full)
    told: list[Notice] = []
    with Recorder(
        tmp_path / "a.mkv", MediaInfo("memory", None, 1), told.append, may_wait=True
    ) as kept:
        for start in range(0, 2000 * WINDOW, WINDOW):  # more than may wait: nobody hangs
            kept.put(noise(start))
    (notice,) = told
    assert (notice.level, notice.code) == ("error", "recording_failed")
    assert "No space left" in notice.message and "--record another folder" in notice.message
    assert kept.error is not None
