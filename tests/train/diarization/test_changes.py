"""The recipe of the weights, on made voices."""

from __future__ import annotations

import numpy as np

from magtkd_rt.core.media import VOICE_HOP, VOICE_WINDOWS, WINDOW, HeardSound, VoicePrint, seconds
from magtkd_rt.core.turns import SIGNS
from magtkd_rt.train.diarization.changes import (
    START,
    Heard,
    _Marked,
    learn,
    mark,
    regress,
    whitened,
    with_pauses,
)
from magtkd_rt.train.diarization.conversations import Conversation
from magtkd_rt.train.diarization.reference import SpokenTurn

ORDER = (0, 1, 0, 1, 2, 0, 2, 1)
TURN = 100
"""Windows."""
SIZE = 32


def made(seed: int) -> Heard:
    """Three voices take turns of 3.2 s; prints are mixtures of what they hold, and noise."""
    random = np.random.default_rng(seed)
    voices = np.linalg.qr(random.standard_normal((SIZE, SIZE)))[0][:3]
    who = np.repeat(ORDER, TURN)
    samples = 0.1 * random.standard_normal((len(who), WINDOW)).astype(np.float32)
    moments = random.standard_normal((len(who), SIZE)) * np.sqrt(0.4 * VOICE_WINDOWS / SIZE)
    prints = []
    for end in range(VOICE_WINDOWS + 2, len(who) + 1, VOICE_HOP):
        held = slice(end - VOICE_WINDOWS, end)
        vector = (voices[who[held]] + moments[held]).mean(axis=0)
        vector /= np.linalg.norm(vector)
        prints.append(VoicePrint(end * WINDOW, vector.astype(np.float32)))
    turns = tuple(
        SpokenTurn(seconds(n * TURN * WINDOW), seconds((n + 1) * TURN * WINDOW), f"voice {voice}")
        for n, voice in enumerate(ORDER)
    )
    speech = np.full(len(who), 0.95, np.float32)
    return Heard(HeardSound(0, 0, samples.reshape(-1), speech, tuple(prints)), turns)


def test_marks_are_the_truth_of_the_turn_and_of_the_print() -> None:
    marked = mark(made(0), START)
    assert marked.signs.shape == (len(marked.changed), len(SIGNS))
    turn = marked.signs[:, SIGNS.index("turn")]
    assert 0.03 < marked.changed.mean() < 0.5
    assert turn[marked.changed].mean() < turn[~marked.changed].mean() - 0.2


def test_regression_finds_what_made_the_answers() -> None:
    random = np.random.default_rng(1)
    signs = random.standard_normal((4000, len(SIGNS))) * np.arange(1, len(SIGNS) + 1)
    true = np.array([1.0, -0.5, 0.0, 0.25, 0.0, 0.1, 0.0, -0.2])
    odds = signs @ true - 0.7
    weights, bias = regress(_Marked(signs, random.random(4000) < 1 / (1 + np.exp(-odds))))
    assert np.abs(weights - true).max() < 0.15
    assert abs(bias + 0.7) < 0.2


def test_what_is_learned_tells_changes_apart() -> None:
    """A print like another's and unlike the turn's speaks for a change; one of the turn against."""
    said: list[str] = []
    learned = learn([made(n) for n in range(4)], rounds=2, say=said.append)
    marked = mark(made(9), learned)
    odds = marked.signs @ learned.weights + learned.bias
    assert np.mean(odds[marked.changed] > 0) > 0.8
    assert np.mean(odds[~marked.changed] > 0) < 0.2
    assert len(said) == 2


def test_whitened_prints_have_length_one() -> None:
    heard = made(2)
    mean, whiten = (
        np.full(SIZE, 0.1, np.float32),
        np.diag(np.arange(1, SIZE + 1)).astype(np.float32),
    )
    moved = whitened(heard, mean, whiten)
    lengths = [float(np.linalg.norm(voice.vector)) for voice in moved.sound.voices]
    assert np.allclose(lengths, 1, atol=1e-5)
    assert [voice.end for voice in moved.sound.voices] == [v.end for v in heard.sound.voices]


def test_pauses_keep_each_turn_s_sound() -> None:
    sound = np.arange(1, 48_001, dtype=np.float32)
    turns = tuple(SpokenTurn(float(n), n + 1.0, str(n % 2)) for n in range(3))
    built = Conversation(0, sound, turns, ((), (), ()))
    longest = 0.0
    for seed in range(8):
        wider = with_pauses(built, np.random.default_rng(seed))
        longest = max(longest, len(wider.sound) / 16_000 - 3)
        for old, new in zip(turns, wider.turns, strict=True):
            first, after = round(new.start * 16_000), round(new.end * 16_000)
            was = sound[round(old.start * 16_000) : round(old.end * 16_000)]
            assert np.array_equal(wider.sound[first:after], was)
    assert 0 < longest <= 2 * 0.6
