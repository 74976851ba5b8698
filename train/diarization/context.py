"""What knowing the speakers is worth to the fusion: MELD dialogues with borrowed voices.

Everything stays the same but who is said to speak, in the words' prompt and in the fusion: the
true speakers; those found by the voices; nobody known; everybody the same.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from magtkd_rt.bundle.store import Bundle
from magtkd_rt.core.jobs import Turn
from magtkd_rt.core.media import WINDOW, AudioChunk
from magtkd_rt.core.speakers import IDENTITIES, SpeakerConfig, Speakers, Voice
from magtkd_rt.core.turns import TurnConfig, TurnFinder
from magtkd_rt.engines.select import select
from magtkd_rt.labels import MODALITIES
from magtkd_rt.runtime.meter import Meter
from magtkd_rt.runtime.recogniser import Recogniser
from magtkd_rt.runtime.voices import SPEECH, VoiceListener
from magtkd_rt.train.conditions import Corpora, PairingRecord
from magtkd_rt.train.corpora.starter import Clip, Dialogue, read_sound
from magtkd_rt.train.diarization.reference import SpokenTurn
from magtkd_rt.train.diarization.scoring import UNSURE, error_rate
from magtkd_rt.train.evaluate import read_pairing
from magtkd_rt.train.fusion import Split
from magtkd_rt.train.measure import (
    Logits,
    encode_faces,
    encode_voices,
    encode_words,
    stream,
    track,
)
from magtkd_rt.train.pairing import Bank, Paired
from magtkd_rt.train.scoring import measured, weighted_f1
from magtkd_rt.vad import StreamingVad

Results = dict[str, Any]

TRUE: Final = "true"
FOUND: Final = "found by the voices"
UNKNOWN: Final = "all unknown"
ONE: Final = "all the same"

NOBODY: Final = -1
"""An unknown speaker's number in a `Paired`."""


@dataclass(frozen=True, eq=False)
class Said:
    """Who is said to speak, dialogue by dialogue: `prompt` (n,) for the words, `fused` (n,)."""

    prompt: list[NDArray[np.int64]]
    fused: list[NDArray[np.int64]]


@dataclass(frozen=True)
class _Material:
    """What every condition shares."""

    recogniser: Recogniser
    corpora: Corpora
    pairing: PairingRecord
    voices: Bank
    faces: Bank

    def pair(self, words: Bank, seed: int) -> list[Paired]:
        """The pairing of a seed; the same voices and faces whatever the words' features are."""
        exchange = self.pairing.exchange["test"]
        split = Split(self.corpora.test, [words], self.voices, self.faces, exchange)
        return split.pair(np.array(self.pairing.shares), seed)


def measure_context(
    bundle: Bundle, data: Path, threads: int, rounds: int, bar: Progress
) -> Results:
    """W-F1 of the fusion by who is said to speak, and paired differences.

    Raises:
        BundleError: the bundle has no usable pairing.
        DataError: a corpus is missing.
        EngineError: a graph cannot be run.
    """
    pairing = read_pairing(bundle)
    corpora = Corpora.read(data)
    selected = select(bundle, threads=threads)
    try:
        recogniser = Recogniser(bundle, selected.engine)
        voices = encode_voices(recogniser, corpora.clips, bar, "voices")
        faces = encode_faces(recogniser, corpora.faces, corpora.face_labels, bar, "faces")
        return _measure(_Material(recogniser, corpora, pairing, voices, faces), rounds, bar)
    finally:
        selected.engine.close()


def _measure(material: _Material, rounds: int, bar: Progress) -> Results:
    test, seeds = material.corpora.test, material.pairing.seeds
    true = [np.array([u.speaker for u in dialogue]) for dialogue in test]
    one = [np.zeros_like(speakers) for speakers in true]
    nobody = [np.full_like(speakers, NOBODY) for speakers in true]
    words = {
        name: _words(material, said, bar, f"words, {name}")
        for name, said in ((TRUE, true), (ONE, one))
    }
    said: dict[str, list[tuple[Bank, Said]]] = {
        TRUE: [(words[TRUE], Said(true, true))] * len(seeds),
        UNKNOWN: [(words[ONE], Said(one, nobody))] * len(seeds),
        ONE: [(words[ONE], Said(one, one))] * len(seeds),
    }
    found: Results | None = None
    if material.recogniser.tells_voices_apart:
        heard = [
            voice_of(material.recogniser, clip)
            for clip in track(bar, material.corpora.clips, "voices, to be told apart")
        ]
        alike = IDENTITIES if material.recogniser.tells_identities else SpeakerConfig()
        guesses = [find_speakers(material.pair(words[TRUE], seed), heard, alike) for seed in seeds]
        said[FOUND] = [
            (_words(material, guess.prompt, bar, f"words, found, pairing {seed}"), guess)
            for seed, guess in zip(seeds, guesses, strict=True)
        ]
        found = judge_found(true, [guess.fused for guess in guesses])
    runs = {
        name: [
            _fuse(material, bank, who, seed)
            for seed, (bank, who) in zip(
                seeds, track(bar, conditions, f"fused, {name}"), strict=True
            )
        ]
        for name, conditions in said.items()
    }
    predicted = {name: [run.argmax(axis=1) for run in those] for name, those in runs.items()}
    labels = words[TRUE].labels
    groups = np.repeat(np.arange(len(test)), [len(dialogue) for dialogue in test])
    differences = [(name, TRUE) for name in (FOUND, UNKNOWN, ONE)] + [
        (FOUND, UNKNOWN),
        (FOUND, ONE),
    ]
    return {
        "seeds": seeds,
        "found": found,
        "weighted_f1": {
            name: asdict(measured(weighted_f1, labels, predicted[name], rounds, groups))
            for name in (TRUE, FOUND, UNKNOWN, ONE)
            if name in predicted
        },
        "differences": {
            f"{name} - {other}": asdict(
                measured(
                    weighted_f1, labels, predicted[name], rounds, groups, minus=predicted[other]
                )
            )
            for name, other in differences
            if name in predicted
        },
    }


def voice_of(recogniser: Recogniser, clip: Clip) -> Voice | None:
    """What a clip's voice sounds like to a session in which it is an utterance."""
    detector, listener = StreamingVad(1), VoiceListener(recogniser.voice, Meter())
    pushed = [detector.push(AudioChunk(0, 0, read_sound(clip.path))), detector.flush(0)]
    heard = [listener.listen(sound) for sound in pushed if sound is not None]
    spoken = np.flatnonzero(np.concatenate([sound.speech for sound in heard]) >= SPEECH)
    if not len(spoken):
        return None
    if recogniser.tells_identities:
        samples = np.concatenate([sound.samples for sound in heard])
        whole = samples[spoken[0] * WINDOW : (spoken[-1] + 1) * WINDOW]
        return Voice(recogniser.identify(whole), len(spoken))
    turn = TurnFinder(TurnConfig(), Speakers(SpeakerConfig()))
    turn.begin(0)
    prints = [print_ for sound in heard for print_ in sound.voices]
    for print_ in prints:
        turn.hear(print_.end // WINDOW, print_.vector)
    return turn.voice(0, prints[-1].end // WINDOW) if prints else None


def find_speakers(
    dialogues: list[Paired], voices: list[Voice | None], config: SpeakerConfig
) -> Said:
    """Let the core say who speaks, turn after turn, each dialogue a session of its own.

    Args:
        dialogues: whose turns borrow voices.
        voices: of the bank, in its order; None where nothing can be heard of one.
        config: when two of them are one speaker.
    """
    prompt, fused = [], []
    for dialogue in dialogues:
        speakers = Speakers(config)
        verdicts = [speakers.judge(voices[int(clip)]) for clip in dialogue.voice]
        prompt.append(np.array([0 if v.guess is None else v.guess for v in verdicts]))
        fused.append(np.array([NOBODY if v.speaker is None else v.speaker for v in verdicts]))
    return Said(prompt, fused)


def judge_found(true: list[NDArray[np.int64]], found: list[list[NDArray[np.int64]]]) -> Results:
    """How right the found speakers are, with each dialogue's best matching: shares of turns."""
    right = unknown = total = same_count = 0
    for run in found:
        for those, these in zip(true, run, strict=True):
            confused = error_rate(_unit_turns(those), _unit_turns(these), len(those), collar=0.0)
            right += len(those) - round(confused.confusion)
            unknown += int((these == NOBODY).sum())
            total += len(those)
            same_count += len(np.unique(those)) == len(np.unique(these[these != NOBODY]))
    dialogues = sum(len(run) for run in found)
    return {
        "turns_right": right / total,
        "unknown": unknown / total,
        "dialogues_with_right_number": same_count / dialogues,
    }


def _unit_turns(speakers: NDArray[np.int64]) -> list[SpokenTurn]:
    """Turns of a second each."""
    return [
        SpokenTurn(float(n), n + 1.0, UNSURE if speaker == NOBODY else str(speaker))
        for n, speaker in enumerate(speakers)
    ]


def _words(
    material: _Material, speakers: list[NDArray[np.int64]], bar: Progress, what: str
) -> Bank:
    test = material.corpora.test
    turns = [_turns(dialogue, said) for dialogue, said in zip(test, speakers, strict=True)]
    return encode_words(material.recogniser, test, turns, bar, what)


def _turns(dialogue: Dialogue, speakers: NDArray[np.int64]) -> list[Turn]:
    return [Turn(int(s), u.text) for s, u in zip(speakers, dialogue, strict=True)]


def _fuse(material: _Material, words: Bank, said: Said, seed: int) -> Logits:
    paired = material.pair(words, seed)
    dialogues = [
        replace(dialogue, speaker=speaker)
        for dialogue, speaker in zip(paired, said.fused, strict=True)
    ]
    present = np.ones((len(words.labels), len(MODALITIES)), np.bool_)
    return stream(material.recogniser, dialogues, present)[0]
