"""Pairing: whose voice and face an utterance gets, and how often a wrong one."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from magtkd_rt.train.corpora.starter import SPLITS, Dialogue, Utterance, read_fer2013, read_ravdess
from magtkd_rt.train.fusion import FusionRecipe, Split, drop_modalities
from magtkd_rt.train.pairing import FACES, Bank, Exchange, Paired, find_exchange, reliability

CLASSES, ACTORS = 7, (21, 22, 23, 24)
EVEN = np.full(CLASSES, 1 / CLASSES)
ONLY_FEAR = np.eye(CLASSES)[5]


def made(split: int) -> Split:
    """A split whose features say where they come from: (label, owner or row, split)."""
    random = np.random.default_rng(split)
    dialogues: list[Dialogue] = [
        [
            Utterance("so", int(random.integers(0, 4)), int(random.integers(0, CLASSES)))
            for _ in range(int(random.integers(1, 12)))
        ]
        for _ in range(60)
    ]
    labels = np.array([u.label for dialogue in dialogues for u in dialogue])

    def bank(
        labels: NDArray[np.int64], second: NDArray[np.int64], owner: NDArray[np.int64]
    ) -> Bank:
        features = np.stack([labels, second, np.full(len(labels), split)], axis=1)
        return Bank(
            features.astype(np.float32), np.eye(CLASSES, dtype=np.float32)[labels], labels, owner
        )

    rows, nobody = np.arange(len(labels)), np.zeros_like(labels)
    voices = np.tile(np.arange(CLASSES), 12)
    actors = np.repeat(ACTORS, 21)
    faces = np.tile(np.arange(CLASSES), 10)
    return Split(
        dialogues,
        [bank(labels, rows, nobody), bank(labels, -1 - rows, nobody)],
        bank(voices, actors, actors),
        bank(faces, np.arange(70), np.zeros_like(faces)),
        Exchange(),
    )


def exchanged(split: Split, exchange: Exchange, shares: NDArray[np.float64]) -> list[Paired]:
    return replace(split, exchange=exchange).pair(shares, 5)


def features(paired: list[Paired]) -> NDArray[np.float32]:
    return np.concatenate([dialogue.features for dialogue in paired])


def labels(paired: list[Paired]) -> NDArray[np.int64]:
    return np.concatenate([dialogue.labels for dialogue in paired])


def test_without_exchange_everything_has_the_utterances_label() -> None:
    split = made(0)
    paired = exchanged(split, Exchange(), EVEN)
    for modality in range(3):
        np.testing.assert_array_equal(features(paired)[:, modality, 0], labels(paired))
    np.testing.assert_array_equal(features(paired)[:, 0, 1], np.arange(len(labels(paired))))
    for one, dialogue in zip(paired, split.dialogues, strict=True):
        assert one.labels.tolist() == [u.label for u in dialogue]
        assert one.speaker.tolist() == [u.speaker for u in dialogue]


def test_each_speaker_keeps_one_actor_of_their_own() -> None:
    paired = exchanged(made(0), Exchange(audio=0.5), EVEN)
    casts = set()
    for dialogue in paired:
        pairs = {
            (int(s), int(f[1, 1])) for s, f in zip(dialogue.speaker, dialogue.features, strict=True)
        }
        assert len(pairs) == len({s for s, _ in pairs}) == len({actor for _, actor in pairs})
        casts |= pairs
    assert len(casts) == 4 * len(ACTORS)  # who plays whom changes from dialogue to dialogue


def test_a_face_is_the_mean_of_at_most_four_of_that_label() -> None:
    paired = exchanged(made(0), Exchange(), EVEN)
    rows = features(paired)[:, 2, 1]
    times = [n for n in range(1, FACES + 1) if ((rows * math.factorial(n)) % 1 < 1e-3).any()]
    assert times and not np.all(rows % 1 == 0)  # some are means of several


def test_exchange_draws_from_the_shares() -> None:
    paired = exchanged(made(0), Exchange(audio=1.0, video=1.0), ONLY_FEAR)
    assert (features(paired)[:, 1:, 0] == 5).all()
    assert not (labels(paired) == 5).all()


@pytest.mark.parametrize("modality", [1, 2])
def test_exchange_touches_its_own_modality_as_often_as_asked(modality: int) -> None:
    name = ("text", "audio", "video")[modality]
    paired = exchanged(made(0), Exchange(**{name: 0.4}), ONLY_FEAR)
    others = labels(paired) != 5
    wrong = features(paired)[others][:, :, 0] != labels(paired)[others][:, None]
    assert wrong[:, modality].mean() == pytest.approx(0.4, abs=0.08)
    wrong[:, modality] = False
    assert not wrong.any()


def test_the_seed_decides() -> None:
    split = replace(made(0), exchange=Exchange(audio=0.5, video=0.5))
    first, again, other = (features(split.pair(EVEN, seed)) for seed in (11, 11, 12))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_spoiled_words_come_by_the_dialogue() -> None:
    split = made(0)
    for share, low, high in ((0.0, 0, 0), (0.4, 10, 40), (1.0, 60, 60)):
        spoiled = [(d.features[:, 0, 1] < 0) for d in split.pair(EVEN, 3, spoiled=share)]
        assert all(one.all() or not one.any() for one in spoiled)
        assert low <= sum(bool(one.all()) for one in spoiled) <= high


def test_splits_never_mix(corpora_folder: Path) -> None:
    for number in range(3):
        paired = exchanged(made(number), Exchange(audio=0.5, video=0.5), EVEN)
        assert (features(paired)[:, :, 2] == number).all()
    actors = [{clip.actor for clip in read_ravdess(corpora_folder, split)} for split in SPLITS]
    assert not set.intersection(*actors) and actors[2] == set(ACTORS)
    faces = [{face.tobytes() for face in read_fer2013(corpora_folder, s)[0]} for s in SPLITS]
    assert not (faces[0] & faces[1] or faces[0] & faces[2] or faces[1] & faces[2])


def test_real_actors_and_clips_never_cross(shared: Path) -> None:
    clips = {split: read_ravdess(shared / "data", split) for split in SPLITS}
    assert {split: len(part) for split, part in clips.items()} == {
        "train": 1080, "dev": 120, "test": 240
    }  # fmt: skip
    paths = [clip.path for part in clips.values() for clip in part]
    assert len(paths) == len(set(paths)) == 1440
    for split, part in clips.items():
        assert all(int(clip.path.parent.name.removeprefix("Actor_")) == clip.actor for clip in part)
        assert split != "test" or {clip.actor for clip in part} == {21, 22, 23, 24}


def two_classes(logits: NDArray[np.float32]) -> Bank:
    """A bank with right and wrong answers, so that a temperature can be fitted."""
    labels = np.array([0, 0, 1, 1])
    return Bank(np.zeros((4, 1), np.float32), logits, labels, np.zeros(4, np.int64))


def test_reliability_moves_the_prior() -> None:
    # Even logits from even training: all become the commonest class here, 3 of 4.
    labels = np.array([0, 0, 0, 1])
    undecided = np.zeros((4, 2), np.float32)
    even, bank = np.full(2, 0.5), two_classes(undecided)
    commonest = pytest.approx(6 / 7 * 3 / 4)
    assert reliability(undecided, labels, bank, even, 0.0, even) == commonest
    # Trained where the second class had .9 of all, it needs more to be believed here.
    towards_second = np.tile(np.array([0.0, 2.0], np.float32), (4, 1))
    bank = two_classes(np.array([[1, -1], [1, -1], [-1, 1], [1, -1]], np.float32))
    uneven = np.array([0.1, 0.9])
    assert reliability(towards_second, labels, bank, uneven, 0.0, even) == commonest


def test_reliability_knows_what_was_exchanged() -> None:
    labels = np.array([0, 0, 0, 1])
    right = np.where(np.eye(2)[labels] > 0, 2.0, -2.0).astype(np.float32)
    bank = two_classes(np.where(np.eye(2)[[0, 0, 1, 1]] > 0, 2.0, -2.0).astype(np.float32))
    even = np.full(2, 0.5)
    assert reliability(right, labels, bank, even, 0.0, even) == 1
    # What says nothing any more is not asked: all become the commonest class.
    assert reliability(right, labels, bank, even, 0.9, even) == pytest.approx(6 / 7 * 3 / 4)


def test_finding_the_share() -> None:
    assert find_exchange(lambda share: 1 - share, 0.3) == pytest.approx(0.7, abs=1 / 128)
    assert find_exchange(lambda share: 0.2 - share, 0.3) == 0.0


def test_training_never_hides_everything() -> None:
    torch.manual_seed(3)
    there = (torch.rand(200, 6) < 0.8).float()
    present = drop_modalities(there, FusionRecipe(absent=0.6))
    assert ((present.sum(2) > 0) == (there > 0)).all()
    kept = present.sum(1)
    silent = (kept[:, 0] == 0) & (there.sum(1) > 3)
    assert 0.02 < silent.float().mean() < 0.3
