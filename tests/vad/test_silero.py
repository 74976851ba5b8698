"""The streamed speech detector against faster-whisper's own batch result, on real sound."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from magtkd_rt.core.media import WINDOW, AudioChunk, HeardSound
from magtkd_rt.sources import FileSource
from magtkd_rt.vad.silero import MAX_GAP, StreamingVad


def _sound(path: Path) -> NDArray[np.float32]:
    chunks = FileSource(path).media()
    return np.concatenate([chunk.samples for chunk in chunks if isinstance(chunk, AudioChunk)])


def _stream(
    vad: StreamingVad, sound: NDArray[np.float32], sizes: list[int], start: int = 0
) -> list[HeardSound]:
    heard, at, turn = [], 0, 0
    while at < len(sound):
        size = sizes[turn % len(sizes)]
        heard.append(vad.push(AudioChunk(0, start + at, sound[at : at + size])))
        at, turn = at + size, turn + 1
    heard.append(vad.flush(0))
    return [part for part in heard if part is not None]


def _join(heard: list[HeardSound]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    for earlier, later in itertools.pairwise(heard):
        assert later.start == earlier.start + len(earlier.samples)
    return (
        np.concatenate([part.samples for part in heard]),
        np.concatenate([part.speech for part in heard]),
    )


def test_stream_equals_faster_whispers_batch(shared: Path) -> None:
    vad_module = pytest.importorskip("faster_whisper.vad")
    sound = _sound(shared / "media/speech/two_speaker_call.wav")[: 20 * 16000]
    # A window of silence at the end, as faster-whisper itself pads: its batch call blanks the
    # context in the last window.
    padded = np.pad(sound, (0, WINDOW))
    batch = vad_module.get_vad_model()(padded.copy()).reshape(-1)
    samples, speech = _join(_stream(StreamingVad(), padded, [700]))
    np.testing.assert_array_equal(samples, padded)
    np.testing.assert_allclose(speech, batch, atol=2e-5)
    assert speech[: 6 * 16000 // WINDOW].max() < 0.5 < speech[8 * 16000 // WINDOW :].mean()


def test_chunking_changes_nothing(shared: Path) -> None:
    sound = _sound(shared / "media/speech/jfk.flac")[: 4 * 16000]
    whole = _join(_stream(StreamingVad(), sound, [len(sound)], start=300))
    for sizes in ([512], [1, 2000, 37], [160]):
        cut = _join(_stream(StreamingVad(), sound, sizes, start=300))
        np.testing.assert_array_equal(cut[0], whole[0])
        np.testing.assert_array_equal(cut[1], whole[1])


def test_windows_lie_on_the_grid_and_the_start_is_padded() -> None:
    vad = StreamingVad()
    heard = _stream(vad, np.ones(1000, np.float32) * 0.1, [400], start=5 * WINDOW + 12)
    samples, speech = _join(heard)
    assert heard[0].start == 5 * WINDOW
    assert len(samples) == 2 * WINDOW == len(speech) * WINDOW
    np.testing.assert_array_equal(samples[:12], 0)
    np.testing.assert_array_equal(samples[12:1012], np.float32(0.1))
    np.testing.assert_array_equal(samples[1012:], 0)


def test_holes_become_silence_and_overlap_is_left_out() -> None:
    vad = StreamingVad()
    one = np.ones(WINDOW, np.float32)
    first = vad.push(AudioChunk(0, 0, one))
    second = vad.push(AudioChunk(0, 3 * WINDOW, one))
    assert first is not None and second is not None
    assert (second.start, len(second.speech)) == (WINDOW, 3)
    np.testing.assert_array_equal(second.samples[: 2 * WINDOW], 0)
    assert vad.push(AudioChunk(0, 0, one)) is None
    third = vad.push(AudioChunk(0, 4 * WINDOW - 100, np.full(WINDOW + 100, 0.5, np.float32)))
    assert third is not None
    assert third.start == 4 * WINDOW
    np.testing.assert_array_equal(third.samples, np.float32(0.5))


def test_after_a_very_long_hole_it_starts_anew() -> None:
    vad = StreamingVad()
    vad.push(AudioChunk(0, 0, np.ones(WINDOW + 5, np.float32)))
    far = 10 * MAX_GAP + 7
    heard = vad.push(AudioChunk(0, far, np.ones(2 * WINDOW, np.float32)))
    assert heard is not None
    assert heard.start == far // WINDOW * WINDOW
    assert len(heard.samples) <= 2 * WINDOW


def test_channels_keep_their_own_state(shared: Path) -> None:
    source = FileSource(shared / "media/speech/stereo_diarization.wav", channels_are_speakers=True)
    together, alone = StreamingVad(2), StreamingVad(2)
    chunks = [item for item in source.media() if isinstance(item, AudioChunk)]
    mixed = [heard for chunk in chunks if (heard := together.push(chunk))]
    right = [heard for chunk in chunks if chunk.channel == 1 and (heard := alone.push(chunk))]
    np.testing.assert_array_equal(
        _join([part for part in mixed if part.channel == 1])[1], _join(right)[1]
    )
    assert _join(right)[1].max() > 0.9
