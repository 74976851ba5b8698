"""What a made-up conversation sounds like: stretches of real speech, or made sound."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.bench.talk import Habits, Turn, talk
from magtkd_rt.core.media import SAMPLE_RATE, WINDOW, AudioChunk
from magtkd_rt.errors import InputError
from magtkd_rt.sources import FileSource
from magtkd_rt.sources.base import Media, MediaInfo, Notice
from magtkd_rt.vad import StreamingVad

Sound = NDArray[np.float32]
"""(n,) at 16 kHz."""

_SPEECH: Final = 0.5
_BRIDGED: Final = 6
"""Windows without speech (0.2 s) that still belong to a turn."""
_LEAST: Final = SAMPLE_RATE
"""Samples of speech that a voice has to have."""
_LONGEST: Final = 600 * SAMPLE_RATE
"""Of a recording that much is used."""
_RAMP: Final = SAMPLE_RATE // 200  # 5 ms, lest every turn begin with a click
_MADE_S: Final = 12.0
_MADE: Final = 6
_VOWELS: Final = np.array(
    [(730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410)]
)
"""Formants in Hz, of speakers of English (Peterson and Barney, 1952)."""
_WIDTHS: Final = (80.0, 100.0, 140.0)


def read_sound(recording: Path) -> Sound:
    """The sound of a recording, ten minutes at most, its channels mixed.

    Raises:
        InputError: it cannot be read, or has no sound.
    """
    source = FileSource(recording)
    found, end = [np.zeros(0, np.float32)], 0
    try:
        for item in source.media():
            if isinstance(item, AudioChunk):
                found += [np.zeros(item.start - end, np.float32), item.samples]
                end = item.end
                if end > _LONGEST:
                    break
    finally:
        source.close()
    return np.concatenate(found)[:_LONGEST]


def find_turns(sound: Sound) -> list[Turn]:
    """What the speech detector takes for turns, all of one speaker."""
    detector = StreamingVad(1)
    heard = detector.push(AudioChunk(0, 0, sound))
    spoken = np.flatnonzero(heard.speech >= _SPEECH) if heard is not None else np.zeros(0, np.int64)
    parts = np.split(spoken, np.flatnonzero(np.diff(spoken) > _BRIDGED) + 1)
    second = WINDOW / SAMPLE_RATE
    return [
        Turn(int(part[0]) * second, (int(part[-1]) + 1) * second, 0) for part in parts if len(part)
    ]


def voices_of(sound: Sound, turns: Sequence[Turn]) -> list[Sound]:
    """What each speaker says alone, by number; of one who never speaks alone, all they say.

    Raises:
        InputError: somebody speaks for less than a second.
    """
    speakers = sorted({turn.speaker for turn in turns})
    speaks = np.zeros((len(speakers), len(sound)), np.bool_)
    for turn in turns:
        part = slice(round(turn.start * SAMPLE_RATE), round(turn.end * SAMPLE_RATE))
        speaks[speakers.index(turn.speaker), part] = True
    crowd = speaks.sum(0)
    voices = []
    for own in speaks:
        alone = own & (crowd == 1)
        voices.append(sound[alone if alone.sum() >= _LEAST else own])
    if not voices or min(map(len, voices)) < _LEAST:
        raise InputError(
            "there is less than a second of speech of each speaker",
            remedy="give a longer recording, and the RTTM file that belongs to it",
        )
    return voices


def made_voices() -> list[Sound]:
    """Voices that the speech detector takes for such: gliding vowels and a little noise, no words.

    Low ones, since Silero believes those more readily.
    """
    random = np.random.default_rng(0)
    pitches = np.linspace(95, 150, _MADE)
    return [_made(random, float(pitch), float(random.uniform(0.98, 1.15))) for pitch in pitches]


def _made(random: np.random.Generator, pitch: float, tract: float) -> Sound:
    parts: list[NDArray[np.float64]] = []
    while sum(map(len, parts)) < _MADE_S * SAMPLE_RATE:
        parts.append(_syllable(random, pitch, tract))
        noise = random.standard_normal(int(random.uniform(0, 0.06) * SAMPLE_RATE))
        parts.append(0.08 * noise * np.hanning(len(noise)))
    return np.concatenate(parts).astype(np.float32)


def _syllable(random: np.random.Generator, pitch: float, tract: float) -> NDArray[np.float64]:
    """Harmonics of a falling pitch, from one vowel's formants to another's."""
    length = int(random.uniform(0.12, 0.28) * SAMPLE_RATE)
    way = np.linspace(0, 1, length)
    high, low = random.uniform(0.95, 1.1), random.uniform(0.85, 1.0)
    glide = pitch * (high + (low - high) * way)
    phase = 2 * np.pi * np.cumsum(glide) / SAMPLE_RATE
    first, second = tract * _VOWELS[random.integers(len(_VOWELS), size=2)]
    wave = np.zeros(length)
    for harmonic in range(1, int(3800 / pitch)):
        gain = np.zeros(length)
        for number, width in enumerate(_WIDTHS):
            formant = first[number] * (1 - way) + second[number] * way
            gain += 10 ** (-0.35 * number) / (1 + ((harmonic * glide - formant) / width) ** 2)
        wave += gain * np.sin(harmonic * phase) / np.sqrt(harmonic)
    loudness: NDArray[np.float64] = np.sin(np.pi * way) ** 0.6
    syllable: NDArray[np.float64] = 0.25 * wave / np.abs(wave).max() * loudness
    return syllable


class TalkSource:
    """A made-up conversation as a source: sound without end, a window at a time.

    Args:
        voices: to speak with; the conversation takes as many as it has speakers.
        habits: how its speakers take turns.
        seed: of this conversation.
    """

    def __init__(self, voices: Sequence[Sound], habits: Habits, seed: int) -> None:
        self.info = MediaInfo(audio=f"made-up conversation {seed}", video=None, channels=1)
        self.problems: list[str] = []
        self.notices: deque[Notice] = deque()
        self.dropped: Mapping[str, int] = {}
        self._random = np.random.default_rng([seed, 1])
        chosen = self._random.permutation(len(voices))
        self._voices = [voices[chosen[n % len(voices)]] for n in range(habits.speakers)]
        self._turns = talk(habits, seed)
        self._closed = False

    def media(self) -> Iterator[Media]:
        """Yield windows of sound until `close`."""
        spoken: list[tuple[int, Sound]] = []  # where each begins that still goes on
        coming = self._next()
        at = 0
        while not self._closed:
            window = np.zeros(WINDOW, np.float32)
            while coming[0] < at + WINDOW:
                spoken.append(coming)
                coming = self._next()
            for start, sound in spoken:
                first, last = max(at, start), min(at + WINDOW, start + len(sound))
                window[first - at : last - at] += sound[first - start : last - start]
            at += WINDOW
            spoken = [one for one in spoken if one[0] + len(one[1]) > at]
            yield AudioChunk(0, at - WINDOW, window)

    def close(self) -> None:
        """End `media()` at its next window."""
        self._closed = True

    def _next(self) -> tuple[int, Sound]:
        turn = next(self._turns)
        start = round(turn.start * SAMPLE_RATE)
        return start, self._cut(self._voices[turn.speaker], round(turn.end * SAMPLE_RATE) - start)

    def _cut(self, voice: Sound, length: int) -> Sound:
        """A stretch from anywhere in a voice, beginning anew where it ends."""
        begin = int(self._random.integers(len(voice)))
        cut = np.take(voice, np.arange(begin, begin + length), mode="wrap")
        ramp = np.linspace(0, 1, _RAMP, dtype=np.float32)
        cut[:_RAMP] *= ramp
        cut[-_RAMP:] *= ramp[::-1]
        return cut
