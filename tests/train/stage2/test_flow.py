"""How labels follow one another: what is looked at, and that only the past is."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from magtkd_rt.train.corpora.types import Dialogue, Utterance
from magtkd_rt.train.stage2.features import FeatureSet
from magtkd_rt.train.stage2.flow import WEIGHT, Flow, learn_flow, past

ANGRY, CALM = 1, 0


def dialogues() -> list[Dialogue]:
    """Speaker 0 stays as she was, speaker 1 is always calm."""
    random = np.random.default_rng(1)
    made: list[Dialogue] = []
    for _ in range(200):
        mood = int(random.integers(2))
        labels = [mood if number % 2 == 0 else CALM for number in range(6)]
        made.append([Utterance("word", n % 2, label) for n, label in enumerate(labels)])
    return made


def spoken(dialogue: NDArray[np.int64], speaker: NDArray[np.int64]) -> FeatureSet:
    """Utterances without features."""
    count = len(dialogue)
    present = np.zeros((count, 3), np.bool_)
    features = (np.zeros((count, 0), np.float32),) * 3
    labels = np.zeros(count, np.int64)
    return FeatureSet(features, present, labels, dialogue, speaker, ("calm", "angry"))


@pytest.fixture(scope="module")
def flow() -> Flow:
    return learn_flow(dialogues(), 2)


def test_the_past_by_hand() -> None:
    said = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.5, 0.5]])
    rows = past(said, np.array([0, 1, 0, 0]))
    assert rows.shape == (4, 11)
    np.testing.assert_allclose(rows[0], [0] * 8 + [1, 0, 0])
    np.testing.assert_allclose(rows[1], [0, 0, 0.9, 0.1, 0, 0, 0.27, 0.03, 0, 0, 0])
    own, everybody = [0.36, 0.04], [0.7 * 0.27 + 0.3 * 0.2, 0.7 * 0.03 + 0.3 * 0.8]
    np.testing.assert_allclose(rows[2], [0.9, 0.1, 0.2, 0.8, *own, *everybody, 0, 1, 0])
    np.testing.assert_allclose(rows[3, -3:], [0, 1, 1])


def test_of_an_unknown_speaker_nothing_is_known() -> None:
    rows = past(np.full((3, 2), 0.5), np.full(3, -1))
    assert not rows[:, :2].any()
    assert not rows[:, 4:6].any()
    assert not rows[:, -2:].any()
    assert rows[1:, 2:4].all()


def test_an_unsure_answer_follows_the_speaker_s_last(flow: Flow) -> None:
    for mood in (CALM, ANGRY):
        said = np.full((3, 2), 0.5)
        said[0] = np.eye(2)[mood] * 0.9 + 0.05
        followed = flow.follow(said, spoken(np.zeros(3, np.int64), np.array([0, 1, 0])))
        assert followed[1].argmax() == CALM
        assert followed[2].argmax() == mood
        np.testing.assert_allclose(followed.sum(axis=1), 1)


def test_a_label_counts_as_much_as_it_is_likelier_than_usual(flow: Flow) -> None:
    said, none = np.array([[0.3, 0.7]]), np.zeros(1, np.int64)
    now = flow.next.predict_proba(past(said, none))[0]
    odds = 0.7 / 0.3 * ((now[1] / flow.shares[1]) / (now[0] / flow.shares[0])) ** WEIGHT
    followed = flow.follow(said, spoken(none, none))[0]
    assert followed[1] / followed[0] == pytest.approx(odds)


def test_what_comes_later_and_other_dialogues_change_nothing(flow: Flow) -> None:
    random = np.random.default_rng(2)
    said = random.dirichlet([1, 1], 9)
    dialogue, speaker = np.repeat([4, 5], [5, 4]), random.integers(0, 2, 9)
    whole = flow.follow(said, spoken(dialogue, speaker))
    for end in range(1, 10):
        part = flow.follow(said[:end], spoken(dialogue[:end], speaker[:end]))
        np.testing.assert_allclose(part, whole[:end])
    other = flow.follow(said[5:], spoken(dialogue[5:], speaker[5:]))
    np.testing.assert_allclose(other, whole[5:])
