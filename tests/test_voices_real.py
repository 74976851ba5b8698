"""Who speaks, on real recordings, with the voice encoder of the bundle that comes along."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from voices_heard import heard, read, repeated, told

from magtkd_rt.bundle.store import Bundle
from magtkd_rt.engines.select import select
from magtkd_rt.runtime.recogniser import Recogniser

Sound = NDArray[np.float32]


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    bundle = Bundle.load("starter")
    made = Recogniser(bundle, select(bundle).engine)
    if not made.tells_voices_apart:
        pytest.skip("the starter bundle has no speaker graph")
    return made


def test_the_telephone_call(recogniser: Recogniser, shared: Path) -> None:
    """Two people, seven long turns, hardly a pause."""
    sound = heard(recogniser, read(shared / "media/speech/two_speaker_call.wav"))
    found = told(recogniser, sound)
    said = [(e.utterance_id, e.speaker, e.start, e.end) for e in found]
    assert said == [(e.utterance_id, e.speaker, e.start, e.end) for e in told(recogniser, sound, 1)]
    assert {e.speaker for e in found} <= {"S1", "S2", "S?"}
    lines = (shared / "media/speech/two_speaker_call.stm").read_text().splitlines()
    long = [line.split() for line in lines if float(line.split()[4]) - float(line.split()[3]) > 1.5]
    speakers: dict[str, set[str]] = {}
    for _, _, name, start, end, *_ in long:
        middle = (float(start) + float(end)) / 2
        (speaker,) = (e.speaker for e in found if e.start <= middle < e.end)
        speakers.setdefault(name, set()).add(speaker)
    assert sorted(map(sorted, speakers.values())) == [["S1"], ["S2"]]


@pytest.mark.parametrize("name", ["librivox_0870", "librivox_0890", "librivox_0920"])
def test_a_reader_is_one_speaker(recogniser: Recogniser, shared: Path, name: str) -> None:
    found = told(recogniser, heard(recogniser, read(shared / f"media/speech/{name}.wav")))
    assert {e.speaker for e in found} == {"S1"}
    assert len(found) == 1


def by_telephone(sound: Sound) -> Sound:
    """Nothing above 4 kHz, as at 8000 samples a second."""
    spectrum = np.fft.rfft(sound)
    spectrum[len(spectrum) // 2 :] = 0
    return np.fft.irfft(spectrum, len(sound)).astype(np.float32)


def clipped(sound: Sound) -> Sound:
    """Four times as loud as there is room for."""
    return np.clip(4 * sound / np.abs(sound).max(), -1, 1).astype(np.float32)


def over_music(sound: Sound) -> Sound:
    """A new chord each second, 10 dB under the voice."""
    random = np.random.default_rng(1)
    time = np.arange(16_000) / 16_000
    chords = []
    for _ in range(len(sound) // len(time) + 1):
        tones = 110 * 2 ** (random.integers(12) / 12) * np.array([1, 1.26, 1.5, 2])
        overtones = np.concatenate([tones, 2 * tones, 3 * tones])[:, None]
        loudness = np.repeat([1, 1 / 2, 1 / 3], len(tones))[:, None]
        chord = (loudness * np.sin(2 * np.pi * overtones * time)).sum(axis=0) * np.exp(-2 * time)
        chords.append(chord)
    music = np.concatenate(chords)[: len(sound)]
    level = np.sqrt(np.mean(np.square(sound)) / np.mean(np.square(music)) / 10)
    return (sound + level * music).astype(np.float32)


READ_ALOUD = ("librivox_0870", "librivox_0880", "librivox_0890", "librivox_0920", "librivox_0930")


@pytest.fixture(scope="module")
def reader(shared: Path) -> Sound:
    """25 s of one voice."""
    return np.concatenate([read(shared / f"media/speech/{name}.wav") for name in READ_ALOUD])


@pytest.mark.slow
@pytest.mark.parametrize("worsen", [by_telephone, clipped, over_music])
def test_bad_sound_makes_no_second_speaker(
    recogniser: Recogniser, reader: Sound, worsen: Callable[[Sound], Sound]
) -> None:
    assert {e.speaker for e in told(recogniser, heard(recogniser, worsen(reader)))} == {"S1"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "worsen",
    [
        clipped,
        pytest.param(
            by_telephone,
            marks=pytest.mark.xfail(strict=True, reason="taken for one: docs/speakers.md says so"),
        ),
    ],
)
def test_two_are_kept_apart_in_bad_sound(
    recogniser: Recogniser, shared: Path, worsen: Callable[[Sound], Sound]
) -> None:
    call = worsen(read(shared / "media/speech/two_speaker_call.wav"))
    assert {e.speaker for e in told(recogniser, heard(recogniser, call))} == {"S1", "S2", "S?"}


@pytest.mark.slow
def test_two_by_telephone_do_not_become_three(recogniser: Recogniser, shared: Path) -> None:
    call = by_telephone(read(shared / "media/speech/two_speaker_call.wav"))
    assert {e.speaker for e in told(recogniser, heard(recogniser, call))} <= {"S1", "S2", "S?"}


@pytest.mark.slow
def test_one_word_turns_do_not_make_speakers(recogniser: Recogniser, shared: Path) -> None:
    """A minute of scraps of two voices in turn, each too short to tell it: nobody is made up."""
    call = read(shared / "media/speech/two_speaker_call.wav")
    long_turns = [call[int(a * 16_000) : int(b * 16_000)] for a, b in ((14.6, 17.7), (18.7, 21.4))]
    random = np.random.default_rng(3)
    scraps: list[Sound] = []
    for n in range(64):
        length, pause = (int(random.uniform(*span) * 16_000) for span in ((0.3, 0.6), (0.2, 0.6)))
        start = random.integers(len(long_turns[n % 2]) - length)
        scraps += [long_turns[n % 2][start : start + length], np.zeros(pause, np.float32)]
    speakers = {e.speaker for e in told(recogniser, heard(recogniser, np.concatenate(scraps)))}
    assert speakers <= {"S1", "S2", "S?"}


@pytest.mark.slow
def test_a_monologue_stays_one_speaker_s(recogniser: Recogniser, reader: Sound) -> None:
    """Ten minutes, far longer than a speaker's older sound is remembered."""
    sound = heard(recogniser, reader)
    again = 600 // (len(sound.speech) * 32 // 1000) + 1
    assert {e.speaker for e in told(recogniser, repeated(sound, again))} == {"S1"}
