"""The file source on real recordings and on files made on the spot."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from magtkd_rt.core.media import AudioChunk, VideoFrame
from magtkd_rt.sources import FileSource, Media, arrival_ns, file
from magtkd_rt.sources._decode import StreamReader
from magtkd_rt.sources._pictures import RgbConverter
from magtkd_rt.sources._sound import audio_chunks


def _read(source: FileSource) -> tuple[list[AudioChunk], list[VideoFrame]]:
    media: list[Media] = list(source.media())
    for earlier, later in itertools.pairwise(media):
        assert arrival_ns(earlier) <= arrival_ns(later)
    return (
        [item for item in media if isinstance(item, AudioChunk)],
        [item for item in media if isinstance(item, VideoFrame)],
    )


def _joined(chunks: list[AudioChunk], channel: int = 0) -> NDArray[np.float32]:
    mine = [chunk for chunk in chunks if chunk.channel == channel]
    for earlier, later in itertools.pairwise(mine):
        assert later.start == earlier.end
    return np.concatenate([chunk.samples for chunk in mine])


def test_talking_head_gives_sound_and_picture(shared: Path) -> None:
    source = FileSource(shared / "media/video/talking_head_1.mp4", fps=10)
    chunks, frames = _read(source)
    assert source.info.audio and source.info.video
    assert (source.info.channels, source.info.duration_ns) == (1, 8_000_000_000)
    assert chunks[0].start == 0
    assert len(_joined(chunks)) == 8 * 16000
    assert len(frames) == 80
    assert frames[0].time_ns == 0
    assert frames[0].image.shape == (512, 512, 3)
    assert frames[0].image.dtype == np.uint8
    assert source.problems == []


def test_the_later_stream_keeps_its_distance(shared: Path) -> None:
    chunks, frames = _read(FileSource(shared / "media/video/face_noface.mov"))
    assert frames[0].time_ns == 0
    assert chunks[0].start == 107164 * 16000 // 44100  # the sound's start in the file's index


def test_both_streams_move_to_zero_together(tmp_path: Path, recordings: Any) -> None:
    movie = recordings.write_movie(
        tmp_path / "late.mkv",
        pictures_at=[5 + step / 10 for step in range(10)],
        sound_at=[5.5 + step / 10 for step in range(5)],
    )
    chunks, frames = _read(FileSource(movie))
    assert (frames[0].time_ns, chunks[0].start) == (0, 8000)


def test_sound_of_8_khz_stereo_is_averaged_and_resampled(tmp_path: Path, recordings: Any) -> None:
    left, right = recordings.tone(440, 1.0, 8000), recordings.tone(1000, 1.0, 8000)
    stereo = np.stack([left, right], axis=1)
    chunks, _ = _read(FileSource(recordings.write_wav(tmp_path / "a.wav", stereo, 8000)))
    sound = _joined(chunks)
    assert abs(len(sound) - 16000) <= 2
    expected = (recordings.tone(440, 1.0, 16000) + recordings.tone(1000, 1.0, 16000)) / 2
    inner = slice(400, 15600)
    assert np.abs(sound[: len(expected)][inner] - expected[inner]).max() < 2e-3


def test_each_channel_may_be_a_speaker(shared: Path, tmp_path: Path, recordings: Any) -> None:
    source = FileSource(shared / "media/speech/stereo_diarization.wav", channels_are_speakers=True)
    chunks, _ = _read(source)
    left, right = _joined(chunks, 0), _joined(chunks, 1)
    assert source.info.channels == 2
    assert len(left) == len(right) == 80000
    assert np.abs(left - right).max() > 0.1
    mixed, _ = _read(FileSource(shared / "media/speech/stereo_diarization.wav"))
    np.testing.assert_allclose(_joined(mixed), (left + right) / 2, atol=1e-6)
    three = recordings.write_wav(tmp_path / "3.wav", np.zeros((800, 3), np.float32), 16000)
    assert FileSource(three, channels_are_speakers=True).info.channels == 3


def test_what_16_khz_cannot_hold_does_not_fold_back(tmp_path: Path, recordings: Any) -> None:
    high = recordings.write_wav(tmp_path / "h.wav", recordings.tone(11000, 1.0, 48000), 48000)
    chunks, _ = _read(FileSource(high))
    assert np.abs(_joined(chunks)[500:-500]).max() < 1e-3


def test_resampling_keeps_the_instant(tmp_path: Path, recordings: Any) -> None:
    click = np.zeros(88200, np.float32)
    click[44100] = 0.9
    chunks, _ = _read(FileSource(recordings.write_wav(tmp_path / "c.wav", click, 44100)))
    assert abs(int(np.abs(_joined(chunks)).argmax()) - 16000) <= 1


def test_variable_frame_rate_is_thinned_by_time(tmp_path: Path, recordings: Any) -> None:
    times = [0.0, 0.01, 0.02, 0.05, 0.3, 0.31, 1.0, 1.04, 1.08, 1.12, 1.16]
    movie = recordings.write_movie(tmp_path / "v.mkv", pictures_at=times)
    _, frames = _read(FileSource(movie, fps=10))
    assert [round(frame.time_ns / 1e9, 2) for frame in frames] == [0.0, 0.3, 1.0, 1.12]
    _, all_frames = _read(FileSource(movie, fps=1000))
    assert len(all_frames) == len(times)


def test_pictures_are_rgb_upright_and_not_huge(tmp_path: Path, recordings: Any) -> None:
    movie = recordings.write_movie(tmp_path / "a.mp4", pictures_at=[0.0, 0.1], size=(1920, 1080))
    _, frames = _read(FileSource(movie))
    image = frames[0].image
    assert image.shape == (720, 1280, 3)
    assert image[360, 100, 0] > 200 and image[360, 100, 2] < 60
    turned = recordings.turned_by_90(movie, tmp_path / "t.mp4")
    _, frames = _read(FileSource(turned))
    image = frames[0].image
    assert image.shape == (1280, 720, 3)
    assert image[100, 360, 0] > 200 and image[100, 360, 2] < 60  # the left went to the top


def test_one_converter_serves_pictures_of_any_size(tmp_path: Path, recordings: Any) -> None:
    converter = RgbConverter()
    for number, size in enumerate([(64, 48), (322, 182), (64, 48)]):
        path = recordings.write_movie(tmp_path / f"{number}.mp4", pictures_at=[0, 0.1], size=size)
        frames = list(StreamReader(path, "video", pytest.fail).frames())
        assert len(frames) == 2
        for frame in frames:
            expected = frame.to_ndarray(format="rgb24")  # with a converter of its own
            np.testing.assert_array_equal(converter.rgb(frame), expected)


def test_cover_art_is_no_picture(shared: Path, tmp_path: Path, recordings: Any) -> None:
    flac = shared / "media/speech/7902-96591-0000.flac"
    source = FileSource(recordings.with_cover_art(flac, tmp_path / "cover.flac"))
    chunks, frames = _read(source)
    assert source.info.video is None
    assert frames == []
    assert len(_joined(chunks)) == 33520


def test_long_holes_are_bounded_and_short_ones_stay(tmp_path: Path, recordings: Any) -> None:
    movie = recordings.write_movie(tmp_path / "hole.mkv", sound_at=[0.0, 0.1, 2.0, 5000.0, 5000.1])
    source = FileSource(movie)
    chunks, _ = _read(source)
    starts = [chunk.start for chunk in chunks]
    assert 32000 in starts
    assert chunks[-1].end == round((2.1 + 30 + 0.2) * 16000)
    assert any("shortened" in problem for problem in source.problems)


@pytest.mark.parametrize("name", ["speech/librivox_0870.wav", "speech/jfk.flac"])
def test_truncated_sound_gives_what_is_there(shared: Path, tmp_path: Path, name: str) -> None:
    content = (shared / "media" / name).read_bytes()
    cut = tmp_path / Path(name).name
    cut.write_bytes(content[: len(content) // 2])
    source = FileSource(cut)
    chunks, _ = _read(source)
    whole, _ = _read(FileSource(shared / "media" / name))
    part = _joined(chunks)
    assert 0.4 < len(part) / len(_joined(whole)) < 0.6
    np.testing.assert_allclose(part[:-4000], _joined(whole)[: len(part) - 4000], atol=1e-6)
    assert any("cut short" in problem for problem in source.problems)


def test_a_truncated_movie_gives_what_is_there(tmp_path: Path, recordings: Any) -> None:
    times = [step / 10 for step in range(50)]
    movie = recordings.write_movie(tmp_path / "m.mkv", pictures_at=times, sound_at=times)
    content = movie.read_bytes()
    movie.write_bytes(content[: len(content) // 2])
    source = FileSource(movie)
    chunks, frames = _read(source)
    assert 1.5 < chunks[-1].end / 16000 < 3.5
    assert 1.5 < frames[-1].time_ns / 1e9 < 3.5
    assert any("says 5.0 s: it may be cut short" in problem for problem in source.problems)


def test_damage_in_the_middle_is_not_fatal(shared: Path, tmp_path: Path) -> None:
    content = bytearray((shared / "media/video/talking_head_1.mp4").read_bytes())
    start = content.index(b"mdat") + 4
    middle = (start + len(content)) // 2
    content[middle : middle + 20000] = np.random.default_rng(0).bytes(20000)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(content)
    source = FileSource(path)
    chunks, frames = _read(source)
    assert chunks[-1].end > 7.9 * 16000
    assert frames[-1].time_ns > 7_800_000_000
    assert len(frames) > 60
    assert any("damaged" in problem for problem in source.problems)


def test_no_sound_is_said(tmp_path: Path, recordings: Any) -> None:
    movie = recordings.write_movie(tmp_path / "silent.mp4", pictures_at=[0.0, 0.5])
    source = FileSource(movie)
    assert source.info.audio is None
    assert (source.info.channels, len(source.problems)) == (0, 1)
    assert "no sound" in source.problems[0]


def test_what_cannot_be_used_gets_one_line(shared: Path, tmp_path: Path, recordings: Any) -> None:
    empty = tmp_path / "empty.wav"
    empty.touch()
    text = tmp_path / "text.mp4"
    text.write_text("no media at all\n" * 100)
    headless = tmp_path / "headless.mov"  # its index is at the end
    content = (shared / "media/video/face_noface.mov").read_bytes()
    assert content.index(b"moov") > content.index(b"mdat")
    headless.write_bytes(content[: len(content) // 2])
    subtitles = tmp_path / "words.srt"
    subtitles.write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n")
    bad = {
        tmp_path / "missing.wav": "does not exist",
        tmp_path: "not a regular file",
        empty: "is empty",
        text: "not a media file",
        headless: "not a media file, or is cut short",
        subtitles: "neither sound nor picture",
        recordings.write_wav(tmp_path / "zero.wav", np.zeros(0, np.float32), 16000): "neither",
    }
    for path, problem in bad.items():
        with pytest.raises(Exception, match=problem) as caught:
            FileSource(path)
        assert type(caught.value).__name__ == "InputError"
        assert "\n" not in str(caught.value)


def test_what_came_before_a_failure_is_given(
    tmp_path: Path, recordings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recordings.write_wav(tmp_path / "tone.wav", recordings.tone(440, 2, 16000), 16000)

    def failing(*arguments: Any) -> Any:
        yield from itertools.islice(audio_chunks(*arguments), 13)  # amid a burst
        raise RuntimeError("a decoder may raise anything")

    monkeypatch.setattr(file, "audio_chunks", failing)
    media = FileSource(path).media()
    assert len(list(itertools.islice(media, 13))) == 13
    with pytest.raises(RuntimeError, match="anything"):
        next(media)


def test_close_ends_the_media(shared: Path) -> None:
    source = FileSource(shared / "media/video/talking_head_2.mp4")
    media = source.media()
    assert next(media) is not None
    source.close()
    assert list(media) == []
    source.close()
    assert not any("cut short" in problem for problem in source.problems)
