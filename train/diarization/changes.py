"""Recipe: how signs of a change of speaker are weighed (`TurnConfig.weights`).

Conversations are built of RAVDESS's training actors, heard by the session's own rules with the
weights so far, and each print is marked with the truth: whether somebody else speaks by then than
the one whose voice the turn has. A logistic regression gives the next weights. Prints are whitened
without the actors that they are of, as a stranger's would be.

    python -m magtkd_rt.train.diarization.changes ../shared/data
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from magtkd_rt.core.channel import Channel, heard_alone
from magtkd_rt.core.media import SAMPLE_RATE, WINDOW, AudioChunk, HeardSound, VoicePrint, seconds
from magtkd_rt.core.segmenter import Segmenter, SegmenterConfig
from magtkd_rt.core.speakers import SpeakerConfig, Speakers, Vector
from magtkd_rt.core.turns import SIGNS, Change, TurnConfig, TurnFinder
from magtkd_rt.runtime.meter import Meter
from magtkd_rt.runtime.voices import Encode, VoiceListener
from magtkd_rt.train.corpora.starter import RAVDESS_ACTORS
from magtkd_rt.train.diarization.conversations import Conversation, build, read_clips
from magtkd_rt.train.diarization.reference import SpokenTurn
from magtkd_rt.train.speaker import (
    Floats,
    as_by_telephone,
    in_a_room,
    in_noise,
    lift_speaker,
    read_voices,
    voices_of,
    whitening,
)
from magtkd_rt.vad import StreamingVad

CONVERSATIONS: Final = 108
SEED: Final = 3000
GROUPS: Final = 3
"""The actors of a conversation are of one group; its prints are whitened by the other groups."""
ROUNDS: Final = 3
"""Weights decide what is heard, and so what is learned next."""
EAGER: Final = 0.5
"""Added to the learned log-odds. Chosen on held-out conversations: without it more is missed."""
RIDGE: Final = 3.0
START: Final = TurnConfig(
    weights=(-10.0, *(0.0,) * (len(SIGNS) - 1)), bias=4.5, enough=2.5, voiced=sys.maxsize
)
"""Of the first round: a voice unlike the turn's speaks for a change. The level never counts."""

_BEHIND: Final = 0.33
"""Seconds: only who speaks so long before a print's end can be heard in it."""
_NEW_VOICE: Final = 0.6
"""Seconds at the start of a turn that tell whose it is, before it has a clean print."""
_MISSED: Final = 1.5
"""Seconds after which a change counts as missed: the turn's voice is then a mixture."""
_PAUSE: Final = 0.2
"""Seconds of pause between turns, on average where there is any."""


@dataclass(frozen=True, eq=False)
class Heard:
    """A conversation with its prints, `sound.voices`, and who speaks in truth."""

    sound: HeardSound
    turns: tuple[SpokenTurn, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Marked:
    """Signs (n, len(SIGNS)), and whether somebody else spoke (n,)."""

    signs: NDArray[np.float64]
    changed: NDArray[np.bool_]


def conversations(data: Path, count: int) -> Iterator[tuple[int, Conversation]]:
    """Conversations of the training actors and the group that their speakers are of.

    A third leaps between emotions within turns. Half have pauses between turns; half are by
    telephone, in noise or in a room.

    Raises:
        DataError: RAVDESS is missing.
    """
    actors = RAVDESS_ACTORS["train"]
    clips = read_clips(data, f"{actors[0]}-{actors[-1]}")
    size = len(actors) // GROUPS
    for number in range(count):
        group, nth = number % GROUPS, number // GROUPS
        own = {actor: clips[actor] for actor in actors[group * size : (group + 1) * size]}
        seed = SEED + number + nth % 3
        random = np.random.default_rng(seed + 77)
        built = build(own, seed, steady=bool(nth % 3))
        if nth % 4 >= 2:
            built = with_pauses(built, random)
        spoil = (None, None, as_by_telephone, None, in_noise, in_a_room)[nth % 6]
        if spoil is not None:
            built = replace(built, sound=spoil(built.sound, random))
        yield group, built


def with_pauses(built: Conversation, random: np.random.Generator) -> Conversation:
    """The same with near silence of up to 0.6 s before every other turn or so."""
    parts: list[Floats] = []
    turns: list[SpokenTurn] = []
    at = 0
    for turn in built.turns:
        sound = built.sound[round(turn.start * SAMPLE_RATE) : round(turn.end * SAMPLE_RATE)]
        if parts and random.random() < 0.5:
            pause = int(SAMPLE_RATE * min(0.6, random.exponential(_PAUSE)))
            parts.append((random.standard_normal(pause) * 1e-4).astype(np.float32))
            at += pause
        turns.append(SpokenTurn(seconds(at), seconds(at + len(sound)), turn.speaker))
        parts.append(sound)
        at += len(sound)
    return replace(built, sound=np.concatenate(parts), turns=tuple(turns))


def hear(built: Conversation, encode: Encode) -> Heard:
    """The senses of a session, a second of silence after the last turn."""
    silent = np.zeros(SAMPLE_RATE + -len(built.sound) % WINDOW, np.float32)
    sound = np.concatenate([built.sound, silent])
    whole = sound[: len(sound) // WINDOW * WINDOW].astype(np.float32)
    heard = StreamingVad().push(AudioChunk(0, 0, whole))
    assert heard is not None  # there is a second of silence at least
    return Heard(VoiceListener(encode, Meter()).listen(heard), built.turns)


def whitened(heard: Heard, mean: Floats, whiten: Floats) -> Heard:
    """The same with prints that can be compared."""

    def comparable(print_: VoicePrint) -> VoicePrint:
        vector = (print_.vector - mean) @ whiten
        return replace(print_, vector=vector / np.linalg.norm(vector))

    voices = tuple(comparable(one) for one in heard.sound.voices)
    return replace(heard, sound=replace(heard.sound, voices=voices))


class _Marker(TurnFinder):
    """Finds turns, and marks what each print said with the truth."""

    def __init__(self, config: TurnConfig, speakers: Speakers, turns: Sequence[SpokenTurn]) -> None:
        super().__init__(config, speakers)
        self._turns = turns
        self.signs_of: list[NDArray[np.float64]] = []
        self.changed: list[bool] = []

    def hear(self, now: int, vector: Vector | None) -> Change | None:
        change = super().hear(now, vector)
        signs = None if vector is None else self.signs(vector)
        if signs is not None:
            self._mark(signs, seconds(now * WINDOW))
        return change

    def _mark(self, signs: NDArray[np.float64], now: float) -> None:
        start = seconds(self._start * WINDOW)
        after = seconds(max(self._start + 4, self._folded) * WINDOW)
        owner = _speaker(self._turns, start, after if self._count else start + _NEW_VOICE)
        by_now = _speaker(self._turns, now - _BEHIND - 0.03, now - _BEHIND + 0.03)
        if owner is None or by_now is None:
            return
        spoken = [min(now, t.end) for t in self._turns if t.speaker == owner and t.start < now]
        if by_now == owner or now - max(spoken, default=0.0) < _MISSED:
            self.signs_of.append(signs)
            self.changed.append(by_now != owner)


def _speaker(turns: Sequence[SpokenTurn], start: float, end: float) -> str | None:
    """Who speaks most from `start` to `end`."""
    shares: dict[str, float] = {}
    for turn in turns:
        shared = min(end, turn.end) - max(start, turn.start)
        if shared > 0:
            shares[turn.speaker] = shares.get(turn.speaker, 0.0) + shared
    return max(shares, key=lambda one: shares[one]) if shares else None


def mark(heard: Heard, config: TurnConfig) -> _Marked:
    """Hear a conversation by the session's rules; what prints said, and the truth."""
    speakers = Speakers(SpeakerConfig())
    marker = _Marker(config, speakers, heard.turns)
    channel = Channel(Segmenter(SegmenterConfig(), 0), marker)
    for _ in heard_alone(channel, [heard.sound], speakers):
        pass  # the marker listens
    return _Marked(
        np.array(marker.signs_of).reshape(-1, len(SIGNS)), np.array(marker.changed, np.bool_)
    )


def regress(marked: _Marked) -> tuple[NDArray[np.float64], float]:
    """Logistic regression, a ridge on the standardised signs: weights (len(SIGNS),) and bias."""
    mean, scale = marked.signs.mean(axis=0), marked.signs.std(axis=0) + 1e-6
    signs = torch.from_numpy((marked.signs - mean) / scale)
    changed = torch.from_numpy(marked.changed.astype(np.float64))
    weights = torch.zeros(signs.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> float:
        optimiser.zero_grad()
        odds = signs @ weights[1:] + weights[0]
        value = torch.nn.functional.binary_cross_entropy_with_logits(odds, changed, reduction="sum")
        value = value + RIDGE / 2 * weights[1:].square().sum()
        value.backward()
        return float(value.detach())

    optimiser.step(loss)
    found = weights.detach().numpy()
    raw = found[1:] / scale
    return raw, float(found[0] - raw @ mean)


def learn(
    heard: Sequence[Heard],
    start: TurnConfig = START,
    rounds: int = ROUNDS,
    say: Callable[[str], None] = print,
) -> TurnConfig:
    """Weights for whitened conversations: round after round on all that was marked so far."""
    config, signs, changed = start, [], []
    for n in range(rounds):
        marked = [mark(one, config) for one in heard]
        signs += [one.signs for one in marked]
        changed += [one.changed for one in marked]
        weights, bias = regress(_Marked(np.concatenate(signs), np.concatenate(changed)))
        rounded = tuple(round(float(weight), 2) for weight in weights)
        config = TurnConfig(weights=rounded, bias=round(bias + EAGER, 2), voiced=sys.maxsize)
        say(f"round {n + 1}: weights {config.weights}, bias {config.bias}")
    return config


def groups_of(actors: NDArray[np.int64]) -> NDArray[np.int64]:
    """The group of each training actor, (n,) -> (n,)."""
    return (actors - RAVDESS_ACTORS["train"][0]) // (len(RAVDESS_ACTORS["train"]) // GROUPS)


def maps_of(voices: Floats, actors: NDArray[np.int64]) -> list[tuple[Floats, Floats]]:
    """For each group the whitening that was learned of the others, see `whitening`."""
    groups = groups_of(actors)
    return [whitening(voices[groups != n], actors[groups != n]) for n in range(GROUPS)]


def heard_conversations(data: Path, count: int) -> Iterator[tuple[int, Heard]]:
    """Groups and conversations, with prints that are whitened without their actors.

    Raises:
        ExtraMissing: the package with the voice encoder's weights is not installed.
        DataError: RAVDESS is missing.
    """
    encoder = lift_speaker()
    sounds, actors = read_voices(data, "train")
    maps = maps_of(voices_of(encoder.embed, sounds), actors)

    @torch.no_grad()
    def encode(sound: Floats) -> Floats:
        vector: Floats = encoder.embed(torch.from_numpy(sound)[None])[0].numpy()
        return vector

    for group, built in conversations(data, count):
        yield group, whitened(hear(built, encode), *maps[group])


def main(data: Path, count: int = CONVERSATIONS) -> None:
    """Learn, and print what belongs into `TurnConfig`; some 20 minutes on one core.

    Raises:
        ExtraMissing: the package with the voice encoder's weights is not installed.
        DataError: RAVDESS is missing.
    """
    console = Console()
    heard = []
    for _, one in heard_conversations(data, count):
        heard.append(one)
        console.log(f"conversation {len(heard)} of {count}")
    learn(heard, say=console.log)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
