"""Speakers who are known beforehand: `NAME=FILE`, a recording of one voice; none of it is kept."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.core.channel import Channel, heard_alone
from magtkd_rt.core.media import (
    SAMPLE_RATE,
    VOICE_HOP,
    WINDOW,
    AudioChunk,
    HeardSound,
)
from magtkd_rt.core.segmenter import Segmenter, SegmenterConfig
from magtkd_rt.core.speakers import Enrolled, SpeakerConfig, Speakers
from magtkd_rt.core.turns import TurnConfig, TurnFinder
from magtkd_rt.errors import InputError
from magtkd_rt.runtime.meter import Meter
from magtkd_rt.runtime.voices import SPEECH, Encode, VoiceListener
from magtkd_rt.sources import FileSource
from magtkd_rt.vad import StreamingVad

LEAST_SPEECH: Final = 2.0
"""Seconds of speech that tell a voice."""
MOST_SPEECH: Final = 60.0
"""Seconds of speech after which a recording is heard no further."""
ONE_VOICE: Final = 0.45
"""Cosine of two parts of a recording under which they are two voices.

Parts chosen to be unlike were at least 0.62 alike in ten recordings of people who read or talk and
0.50 in calm clips of 24 actors; at most 0.44 in 27 recordings put together of two voices. Two alike
voices on one telephone line were 0.62.
"""
PIECE: Final = 2 * SAMPLE_RATE
"""Samples of speech that one description of a whole voice is made of."""
MOST_LETTERS: Final = 40
"""Of a name."""

_ROUNDS = 15
_OURS = re.compile(r"s(\d+|\?)", re.IGNORECASE)  # what speakers are called who have no name


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A name, and a recording of that voice."""

    name: str
    path: Path


def read_enrolments(given: Sequence[str], most: int) -> list[Enrolment]:
    """Take `NAME=FILE` apart.

    Args:
        given: as on the command line.
        most: how many speakers a session can have.

    Raises:
        InputError: one is not like that, a name cannot be taken, or there are too many.
    """
    found: dict[str, Enrolment] = {}
    for text in given:
        name, equals, file = text.partition("=")
        name = name.strip()
        if not (name and equals and file):
            raise _refused(f"{text!r} is not NAME=FILE", "write, for example, Ann=ann.wav")
        if _OURS.fullmatch(name):
            raise _refused(
                f"{name!r} is what a speaker without a name may be called", "take another name"
            )
        if len(name) > MOST_LETTERS or not name.isprintable():
            raise _refused(f"{name!r} is no name", f"take at most {MOST_LETTERS} letters")
        if name.casefold() in found:
            raise _refused(f"{name!r} is given twice", "give each speaker one recording")
        found[name.casefold()] = Enrolment(name, Path(file))
    if len(found) > most:
        raise _refused(
            f"{len(found)} speakers are too many", f"name the {most} who matter most, at most"
        )
    return list(found.values())


def enrol(enrolment: Enrolment, encode: Encode, identify: Encode | None = None) -> Enrolled:
    """Hear what a voice sounds like.

    Args:
        enrolment: whose, and in which recording.
        encode: what a voice sounds like.
        identify: what it sounds like as a whole, where the bundle can tell.

    Raises:
        InputError: the recording cannot be heard, holds too little speech, or two voices.
        EngineError: the graph failed.
    """
    listener = VoiceListener(encode, Meter())
    spoken, sounds = 0.0, list[HeardSound]()
    for heard in _heard(enrolment.path):
        spoken += np.count_nonzero(heard.speech >= SPEECH) * WINDOW / SAMPLE_RATE
        sounds.append(listener.listen(heard))
        if spoken >= MOST_SPEECH:
            break
    prints = np.array([voice.vector for heard in sounds for voice in heard.voices])
    if spoken < LEAST_SPEECH or not len(prints):
        raise InputError(
            f"{enrolment.path} holds {spoken:.1f} s of speech, too little to know "
            f"{enrolment.name} by",
            remedy=f"give a recording of {LEAST_SPEECH:.0f} s at least, better 10 s",
        )
    if len(voices_in(sounds)) > 1 or disagree(prints):
        raise InputError(
            f"{enrolment.path} seems to hold more voices than that of {enrolment.name}",
            remedy="give a recording in which nobody else speaks",
        )
    whole = None if identify is None else _mean(np.array([identify(p) for p in _pieces(sounds)]))
    return Enrolled(enrolment.name, _mean(prints), whole)


def disagree(prints: NDArray[np.float32]) -> bool:
    """Whether prints (n, d) fall into two groups, each of a second at least, unlike each other."""
    likeness = prints @ prints.T
    centres = prints[list(np.unravel_index(likeness.argmin(), likeness.shape))]
    for _ in range(_ROUNDS):
        nearest = (prints @ centres.T).argmax(axis=1)
        groups = [prints[nearest == 0], prints[nearest == 1]]
        if min(len(group) for group in groups) * VOICE_HOP * WINDOW < SAMPLE_RATE:
            return False
        centres = np.stack([_mean(group) for group in groups])
    return float(centres[0] @ centres[1]) < ONE_VOICE


def _pieces(sounds: Sequence[HeardSound]) -> Iterator[NDArray[np.float32]]:
    """All that is speech, in pieces of two seconds; the last one is left out if it is shorter."""
    spoken = [s.samples.reshape(-1, WINDOW)[s.speech >= SPEECH].reshape(-1) for s in sounds]
    speech = np.concatenate(spoken)
    for start in range(0, len(speech) - PIECE + 1, PIECE):
        yield speech[start : start + PIECE]


def _mean(prints: NDArray[np.float32]) -> NDArray[np.float32]:
    mean: NDArray[np.float32] = prints.mean(axis=0)
    return mean / np.linalg.norm(mean)


def voices_in(sounds: Iterable[HeardSound]) -> Counter[int]:
    """Windows of speech by speaker, as a session would tell them; who was unsure is left out."""
    speakers = Speakers(SpeakerConfig())
    channel = Channel(Segmenter(SegmenterConfig(), 0), TurnFinder(TurnConfig(), speakers))
    found = Counter[int]()
    for closed, _, verdict in heard_alone(channel, sounds, speakers):
        if verdict.speaker is not None:
            found[verdict.speaker] += closed.speech_windows
    return found


def _heard(path: Path) -> Iterator[HeardSound]:
    """The sound of a recording with its speech."""
    with closing(FileSource(path, fps=1.0)) as source:
        if source.info.audio is None:
            raise InputError(f"{path} holds no sound", remedy="give a recording of a voice")
        speech = StreamingVad()
        for item in source.media():
            heard = speech.push(item) if isinstance(item, AudioChunk) else None
            if heard is not None:
                yield heard
        rest = speech.flush(0)
        if rest is not None:
            yield rest


def _refused(problem: str, remedy: str) -> InputError:
    return InputError(f"--speaker: {problem}", remedy=remedy)
