"""Recipe: when two descriptions of utterances are one speaker's (`core.speakers.IDENTITIES`).

Conversations are built and heard as for the weights of changes (`changes`); each utterance's voice
is described as a whole, whitened without the actors that it may be of. Of settings drawn at random
the middle of the best is taken: those that tell who spoke, and how many there are.

    python -m magtkd_rt.train.diarization.names ../shared/data
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from magtkd_rt.core.channel import Channel, heard_alone
from magtkd_rt.core.media import seconds
from magtkd_rt.core.segmenter import Segmenter, SegmenterConfig
from magtkd_rt.core.speakers import SpeakerConfig, Speakers, Vector, Voice
from magtkd_rt.core.turns import TurnConfig, TurnFinder
from magtkd_rt.features.fit import fit_voice
from magtkd_rt.models.identity import SAMPLES
from magtkd_rt.train.diarization.changes import Heard, heard_conversations, maps_of
from magtkd_rt.train.diarization.scoring import UNSURE, FoundTurn, error_rate
from magtkd_rt.train.identity import lift_identity, read_identities
from magtkd_rt.train.speaker import Floats, voices_of

CONVERSATIONS: Final = 72
SETTINGS: Final = 300
BEST: Final = 25
"""The middle of so many is taken: single settings are best by chance."""
SEED: Final = 11
DRAWN: Final = {
    "same": (0.35, 0.65),
    "crowd": (0.0, 0.1),
    "variance": (0.6, 0.85),
    "evidence": (25, 50),
    "sharpness": (8.0, 28.0),
    "sure": (0.3, 0.5),
    "learn": (0.55, 0.8),
    "change": (0.05, 0.4),
}
"""Between which values each setting is drawn."""
_UNSURE: Final = 0.05
"""What an utterance of nobody costs, of a conversation whose number of speakers is right."""


@dataclass(frozen=True, slots=True, eq=False)
class Over:
    """An utterance that is over: its times in seconds, its voice, and whether a change began it."""

    start: float
    end: float
    voice: Voice
    changed: bool


def utterances(heard: Heard, describe: Callable[[Floats], Vector]) -> list[Over]:
    """The utterances of a conversation as a session cuts them.

    Args:
        heard: with whitened prints, by which turns are found.
        describe: an utterance's sound -> its vector.
    """
    speakers = Speakers(SpeakerConfig())
    channel = Channel(Segmenter(SegmenterConfig(), 0), TurnFinder(TurnConfig(), speakers))
    found: list[Over] = []
    for closed, changed, _ in heard_alone(channel, [heard.sound], speakers):
        voice = Voice(describe(closed.sound.samples), closed.speech_windows)
        times = seconds(closed.sound.start), seconds(closed.sound.end)
        found.append(Over(*times, voice, changed))
    return found


def judge(heard: Heard, over: Sequence[Over], config: SpeakerConfig) -> float:
    """How well a conversation's utterances are named: 1 for a right number less the error rate."""
    speakers, before, turns = Speakers(config), None, []
    for one in over:
        verdict = speakers.judge(one.voice, before if one.changed else None)
        before = verdict.guess
        name = UNSURE if verdict.speaker is None else f"S{verdict.speaker + 1}"
        turns.append(FoundTurn(one.start, one.end, name))
    named = {turn.speaker for turn in turns} - {UNSURE}
    right = len(named) == len({turn.speaker for turn in heard.turns})
    unsure = sum(turn.speaker == UNSURE for turn in turns)
    rate = error_rate(heard.turns, turns, heard.turns[-1].end).rate
    return right - rate - _UNSURE * unsure


def search(
    heard: Sequence[tuple[Heard, Sequence[Over]]], count: int = SETTINGS, best: int = BEST
) -> SpeakerConfig:
    """The middle of the best of `count` settings."""
    random = np.random.default_rng(SEED)
    drawn = np.array(
        [[random.uniform(*between) for between in DRAWN.values()] for _ in range(count)]
    )
    scores = [np.mean([judge(*one, _config(values)) for one in heard]) for values in drawn]
    return _config(np.median(drawn[np.argsort(scores)[-best:]], axis=0))


def _config(values: NDArray[np.float64]) -> SpeakerConfig:
    """The settings whose values, in the order of DRAWN, are given."""
    named = dict(zip(DRAWN, (round(float(value), 3) for value in values), strict=True))
    return replace(SpeakerConfig(), **{**named, "evidence": int(named["evidence"])})  # type: ignore[arg-type]


def main(data: Path, count: int = CONVERSATIONS) -> None:
    """Search, and print what belongs into `IDENTITIES`; some 25 minutes on one core.

    Raises:
        ExtraMissing: the packages with the voice encoders' weights are not installed.
        DataError: RAVDESS is missing.
    """
    console = Console()
    encoder = lift_identity()
    sounds, actors = read_identities(data, "train")
    maps = maps_of(voices_of(encoder.embed, sounds), actors)

    @torch.no_grad()
    def describe(map_: tuple[Floats, Floats], sound: Floats) -> Floats:
        piece = torch.from_numpy(fit_voice(sound, SAMPLES))[None]
        vector: Floats = (encoder.embed(piece)[0].numpy() - map_[0]) @ map_[1]
        return vector / np.linalg.norm(vector)

    heard = []
    for group, one in heard_conversations(data, count):
        heard.append((one, utterances(one, partial(describe, maps[group]))))
        console.log(f"conversation {len(heard)} of {count}")
    console.log(search(heard))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
