"""Sound and pictures for training: the right rate, the right colours, the right stretch."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from recorded import write_wav
from small_corpora import tone, write_clip

from magtkd_rt.errors import InputError
from magtkd_rt.train.corpora.types import Media
from magtkd_rt.train.media import read_pictures, read_sound


def pitch(sound: NDArray[np.float32]) -> float:
    """Hertz, if the sound is at 16 kHz."""
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 1 << 16))
    return float(spectrum.argmax() * 16_000 / (1 << 16))


@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000])
def test_sound_is_16_khz_whatever_it_was(tmp_path: Path, rate: int) -> None:
    rate = rate // 25 * 25
    clip = write_clip(tmp_path / "a.mkv", hertz=1000, rate=rate, codecs=("mpeg4", "pcm_s16le"))
    sound = read_sound(Media(clip))
    assert sound.dtype == np.float32 and abs(len(sound) - 16_000) <= 2
    assert pitch(sound) == pytest.approx(1000, abs=1)
    wanted = tone(1.0, 1000)[200:-200]
    assert np.abs(sound[200 : 200 + len(wanted)] - wanted).max() < 0.02


def test_a_stretch_of_a_wav(tmp_path: Path) -> None:
    wave = np.random.default_rng(1).uniform(-0.5, 0.5, 64_000)
    path = write_wav(tmp_path / "a.wav", np.stack([wave, wave], axis=1))
    part = read_sound(Media(path, 2.5, 3.25))
    assert np.abs(part - wave[40_000:52_000]).max() < 1e-4


def test_a_stretch_of_sound(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.avi", seconds=4, codecs=("mpeg4", "pcm_s16le"), rate=16_000)
    whole, part = read_sound(Media(clip)), read_sound(Media(clip, 2.5, 3.25))
    np.testing.assert_array_equal(part, whole[40_000:52_000])
    assert len(read_sound(Media(clip), longest=1.5)) == 24_000
    with pytest.raises(InputError, match="no sound from 9 to 10 s that can be decoded"):
        read_sound(Media(clip, 9, 10))


def test_pictures_are_rgb_and_spread(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", seconds=2)
    images = read_pictures(Media(clip))
    assert images.shape == (8, 48, 64, 3) and images.dtype == np.uint8
    left, right = images[:, 8:40, 4:28].mean((1, 2)), images[:, 8:40, 36:60].mean((1, 2))
    assert (left[:, 0] > left[:, 2] + 30).all()  # red, not blue
    assert (right[:, 2] > right[:, 0] + 100).all()
    # Brightness tells the time: the middles of eight equal parts.
    seconds = (left[:, 0] - 55) / 200 * 2
    assert np.abs(seconds - (np.arange(8) + 0.5) / 4).max() < 0.15


def test_a_stretch_and_half_of_the_pictures(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.avi", seconds=3, codecs=("mpeg4", "pcm_s16le"), rate=16_000)
    left = read_pictures(Media(clip, 1.0, 2.0, "left"), 4)
    assert left.shape == (4, 48, 32, 3)
    seconds = (left[:, 8:40, 4:28, 0].mean((1, 2)) - 55) / 200 * 3
    assert np.abs(seconds - [1.125, 1.375, 1.625, 1.875]).max() < 0.2
    right = read_pictures(Media(clip, 1.0, 2.0, "right"), 4)
    assert (right[..., 4:28, 2].mean((1, 2)) > 130).all()
    with pytest.raises(InputError, match="no picture from 9 to 10 s"):
        read_pictures(Media(clip, 9, 10))


def test_fewer_pictures_than_wanted(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", seconds=0.12)
    images = read_pictures(Media(clip))
    assert len(images) == 8 and len(np.unique(images.reshape(8, -1), axis=0)) <= 3


def test_memory_is_bounded(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", seconds=20)
    tracemalloc.start()
    try:
        assert len(read_pictures(Media(clip))) == 8
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("content", [b"", b"no media", b"\0\0\0\x18ftypmp42" + bytes(100)])
def test_no_media(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    for read in (read_sound, read_pictures):
        with pytest.raises(InputError):
            read(Media(tmp_path / "a.mp4"))
