"""Speakers known beforehand: what is asked for, and which recordings tell a voice."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from recorded import write_wav

from magtkd_rt.bundle.store import Bundle
from magtkd_rt.core.media import AudioChunk
from magtkd_rt.engines.onnx import OnnxEngine
from magtkd_rt.errors import InputError
from magtkd_rt.runtime.enrolment import (
    MOST_SPEECH,
    PIECE,
    Enrolment,
    disagree,
    enrol,
    read_enrolments,
)
from magtkd_rt.runtime.recogniser import Recogniser
from magtkd_rt.sources import FileSource


def loudness_as_voice(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """An encoder that can be told what to hear: loud sound is one voice, soft sound another."""
    loud = np.sqrt(np.mean(np.square(sound))) > 0.02
    return np.array([loud, not loud], np.float32)


def read(path: Path) -> NDArray[np.float32]:
    chunks = [m.samples for m in FileSource(path).media() if isinstance(m, AudioChunk)]
    return np.concatenate(chunks)


def at_level(sound: NDArray[np.float32], level: float) -> NDArray[np.float64]:
    return sound.astype(np.float64) * level / np.sqrt(np.mean(np.square(sound)))


def silent_film(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(3):
            image = np.zeros((48, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_name_and_file_are_taken_apart() -> None:
    assert read_enrolments(["Ann=ann.wav", " Ben Bo =a=b.wav"], 8) == [
        Enrolment("Ann", Path("ann.wav")),
        Enrolment("Ben Bo", Path("a=b.wav")),
    ]
    assert read_enrolments([], 8) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["Ann"], "'Ann' is not NAME=FILE"),
        (["=ann.wav"], "is not NAME=FILE"),
        (["  =ann.wav"], "is not NAME=FILE"),
        (["Ann="], "is not NAME=FILE"),
        (["Ann=a.wav", "ANN=b.wav"], "'ANN' is given twice"),
        (["S1=a.wav"], "'S1' is what a speaker without a name"),
        (["s12=a.wav"], "without a name"),
        (["S?=a.wav"], "without a name"),
        (["A\x1b[31mnn=a.wav"], "is no name"),
        (["A\nnn=a.wav"], "is no name"),
        (["A" * 41 + "=a.wav"], "is no name"),
        ([f"N{n}=a.wav" for n in range(9)], "9 speakers are too many"),
    ],
)
def test_what_cannot_be_asked_for(given: list[str], words: str) -> None:
    with pytest.raises(InputError) as caught:
        read_enrolments(given, 8)
    assert words in str(caught.value)
    assert str(caught.value).startswith("--speaker: ")
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_voice_is_the_mean_of_its_prints(shared: Path, tiny_bundle: Bundle) -> None:
    recogniser = Recogniser(tiny_bundle, OnnxEngine(tiny_bundle, threads=1))
    path = shared / "media/speech/librivox_0880.wav"
    known = enrol(Enrolment("Ann", path), recogniser.voice)
    assert known.name == "Ann"
    assert (known.vector.shape, known.vector.dtype) == ((8,), np.float32)
    assert float(np.linalg.norm(known.vector)) == pytest.approx(1, abs=1e-5)
    loud = enrol(Enrolment("Ann", path), loudness_as_voice)
    assert loud.vector.tolist() == [1, 0]


def test_a_voice_as_a_whole_is_the_mean_of_its_speech_in_pieces(shared: Path) -> None:
    path = shared / "media/speech/librivox_0890.wav"
    assert enrol(Enrolment("Ann", path), loudness_as_voice).identity is None
    pieces: list[NDArray[np.float32]] = []

    def identify(sound: NDArray[np.float32]) -> NDArray[np.float32]:
        pieces.append(sound)
        return np.eye(2, dtype=np.float32)[len(pieces) % 2]

    known = enrol(Enrolment("Ann", path), loudness_as_voice, identify)
    assert {len(piece) for piece in pieces} == {PIECE}
    assert PIECE * len(pieces) > 0.6 * len(read(path))
    assert known.identity is not None
    assert float(np.linalg.norm(known.identity)) == pytest.approx(1, abs=1e-6)
    assert (known.identity > 0).all()


def test_no_recording(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none.wav does not exist"):
        enrol(Enrolment("Ann", tmp_path / "none.wav"), loudness_as_voice)
    with pytest.raises(InputError, match="holds no sound"):
        enrol(Enrolment("Ann", silent_film(tmp_path / "film.mp4")), loudness_as_voice)


def test_too_little_speech(tmp_path: Path, shared: Path) -> None:
    tone = 0.3 * np.sin(np.arange(80_000) * 0.2)
    path = write_wav(tmp_path / "tone.wav", tone)
    with pytest.raises(InputError, match=r"holds 0\.\d s of speech, too little to know Ann by"):
        enrol(Enrolment("Ann", path), loudness_as_voice)
    short = shared / "media/speech/7902-96591-0000.flac"  # 2.1 s, not all of it speech
    with pytest.raises(InputError, match=r"holds 1\.\d s of speech"):
        enrol(Enrolment("Ann", short), loudness_as_voice)


def test_two_voices(tmp_path: Path, shared: Path) -> None:
    first = read(shared / "media/speech/librivox_0870.wav")
    second = read(shared / "media/speech/librivox_0890.wav")
    sound = np.concatenate([at_level(first, 0.1), at_level(second, 0.005)])
    path = write_wav(tmp_path / "both.wav", sound)
    with pytest.raises(InputError, match="seems to hold more voices than that of Ann"):
        enrol(Enrolment("Ann", path), loudness_as_voice)


@pytest.mark.parametrize(
    ("angle", "share", "two"),
    [
        (1.3, 0.5, True),  # 1.3 radians are a cosine of 0.27
        (1.3, 0.3, True),
        (1.3, 0.05, False),  # too little to be sure
        (0.9, 0.5, False),  # 0.62
        (0.0, 0.5, False),
    ],
)
def test_prints_that_disagree(angle: float, share: float, two: bool) -> None:
    random = np.random.default_rng(6)
    angles = np.where(np.arange(60) < 60 * share, angle, 0) + 0.05 * random.standard_normal(60)
    prints = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert disagree(random.permutation(prints)) is two


def test_a_long_recording_is_heard_for_a_minute_of_speech(tmp_path: Path, shared: Path) -> None:
    speech = at_level(read(shared / "media/speech/librivox_0870.wav"), 0.1)
    # What comes after a minute, here the other voice, is not heard any more.
    sound = np.concatenate([*[speech] * 12, at_level(speech.astype(np.float32), 0.005)])
    path = write_wav(tmp_path / "long.wav", sound)
    heard: list[float] = []

    def counted(sound: NDArray[np.float32]) -> NDArray[np.float32]:
        heard.append(1.0)
        return loudness_as_voice(sound)

    assert enrol(Enrolment("Ann", path), counted).vector.tolist() == [1, 0]
    assert len(heard) * 4 * 0.032 < MOST_SPEECH * 1.4
