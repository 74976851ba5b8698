"""Features that stage 1 left behind: one vector per utterance and modality, dialogue by dialogue.

A feature file is an npz archive. For each split (train, dev, test; dev may be missing) it holds
`SPLIT_text`, `SPLIT_audio`, `SPLIT_video` (n, d) float32, whose d may differ and of which at least
one is there, `SPLIT_label` (n,) integers, `SPLIT_dialogue` (n,) names or numbers, `SPLIT_order`
(n,) numbers that grow inside a dialogue, and, if known, `SPLIT_speaker` (n,) and `SPLIT_present`
(n, 3). `classes` (classes,) names the labels; without it they are the project's seven.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.errors import DataError
from magtkd_rt.labels import LABELS, MODALITIES
from magtkd_rt.train.files import write_npz

Arrays = dict[str, NDArray[Any]]
SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class FeatureSet:
    """n utterances in spoken order, one dialogue after the other.

    Attributes:
        features: of each modality (n, d of that modality); (n, 0) where the corpus has none.
        present: (n, 3), what there is of each utterance.
        labels: (n,) int64.
        dialogue: (n,) int64, counted from 0 in the order of the file.
        speaker: (n,) int64, numbered inside the dialogue by first appearance; -1 is unknown.
        classes: the labels' names.
    """

    features: tuple[NDArray[np.float32], ...]
    present: NDArray[np.bool_]
    labels: NDArray[np.int64]
    dialogue: NDArray[np.int64]
    speaker: NDArray[np.int64]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The d of each modality, 0 where there is none."""
        return tuple(one.shape[1] for one in self.features)

    @property
    def shares(self) -> NDArray[np.float64]:
        """(classes,), how often each label occurs; one that does not counts as half of one."""
        counts = np.bincount(self.labels, minlength=len(self.classes)).astype(np.float64)
        counts = np.maximum(counts, 0.5)
        shares: NDArray[np.float64] = counts / counts.sum()
        return shares

    def rows(self) -> list[NDArray[np.int64]]:
        """The rows of each dialogue."""
        starts = np.flatnonzero(np.diff(self.dialogue)) + 1
        return np.split(np.arange(len(self)), starts)

    def take(self, dialogues: NDArray[np.int64]) -> FeatureSet:
        """Only these dialogues, in the order they have here."""
        rows = np.isin(self.dialogue, dialogues)
        return FeatureSet(
            tuple(one[rows] for one in self.features),
            self.present[rows],
            self.labels[rows],
            self.dialogue[rows],
            self.speaker[rows],
            self.classes,
        )

    def without(self, lost: NDArray[np.int64]) -> FeatureSet:
        """All dialogues but these."""
        return self.take(np.setdiff1d(self.dialogue, lost))

    def only(self, keep: tuple[bool, ...]) -> FeatureSet:
        """The same utterances with some modalities only."""
        return replace(self, present=self.present & np.array(keep))

    @property
    def modalities(self) -> tuple[bool, ...]:
        """Which of text, audio and video occur at all."""
        return tuple(bool(column.any()) for column in self.present.T)


def hold_out(given: FeatureSet, share: float, seed: int) -> tuple[FeatureSet, FeatureSet]:
    """Split whole dialogues off at random: the rest, and about `share` of the dialogues."""
    dialogues = np.unique(given.dialogue)
    if len(dialogues) < 2:
        raise DataError("one dialogue cannot be split", remedy="give a file with a dev split")
    count = min(max(1, round(share * len(dialogues))), len(dialogues) - 1)
    held = np.random.default_rng(seed).permutation(dialogues)[:count]
    return given.without(held), given.take(held)


def folds(given: FeatureSet, count: int, seed: int) -> list[tuple[FeatureSet, FeatureSet]]:
    """Cross-validation by dialogue: `count` pairs of the rest and what is held out."""
    shuffled = np.random.default_rng(seed).permutation(np.unique(given.dialogue))
    return [(given.without(held), given.take(held)) for held in np.array_split(shuffled, count)]


def read_features(path: Path) -> dict[str, FeatureSet]:
    """Read a feature file, split by split.

    Raises:
        DataError: it is missing, no archive of plain arrays, or what it holds cannot be right.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise DataError(
            f"no feature file at {path}", remedy="name one with --features FILE"
        ) from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise DataError(
            f"{path} is no npz archive of plain arrays ({error})",
            remedy="write it with numpy.savez, without objects in it",
        ) from error
    classes = tuple(str(name) for name in arrays.get("classes", np.array(LABELS)))
    splits = {
        split: build(
            {
                name.removeprefix(f"{split}_"): array
                for name, array in arrays.items()
                if name.startswith(f"{split}_")
            },
            classes,
            f"{path.name}, {split}",
        )
        for split in SPLITS
        if f"{split}_label" in arrays
    }
    if not {"train", "test"} <= splits.keys():
        raise DataError(
            f"{path} has no {'train' if 'train' not in splits else 'test'}_label",
            remedy="a feature file holds the splits train and test, and dev where there is one",
        )
    first = splits["train"].sizes
    for split, one in splits.items():
        if one.sizes != first:
            raise DataError(
                f"{path}: vectors of {split} have the sizes {one.sizes}, those of train {first}",
                remedy="encode all splits with the same models",
            )
    return splits


def write_features(path: Path, splits: Mapping[str, FeatureSet]) -> None:
    """Write a feature file, as :func:`read_features` reads it, whole or not at all.

    Raises:
        InputError: it cannot be written.
    """
    arrays: Arrays = {}
    for split, given in splits.items():
        places = [np.arange(len(rows)) for rows in given.rows()]
        named: Arrays = {
            "label": given.labels,
            "dialogue": given.dialogue,
            "order": np.concatenate(places),
            "present": given.present,
        }
        if (given.speaker >= 0).any():
            named["speaker"] = given.speaker
        features = zip(MODALITIES, given.features, strict=True)
        named |= {name: values for name, values in features if values.shape[1]}
        arrays |= {f"{split}_{name}": values for name, values in named.items()}
        arrays["classes"] = np.array(given.classes)
    write_npz(path, arrays)


def build(arrays: Arrays, classes: tuple[str, ...], where: str) -> FeatureSet:
    """One split from its arrays, which are looked at first.

    Args:
        arrays: named as in a feature file, without the split's name.
        classes: the labels' names.
        where: told in errors.

    Raises:
        DataError: something is missing, of the wrong shape, unordered, or no number.
    """

    def refuse(problem: str, remedy: str) -> DataError:
        return DataError(f"{where}: {problem}", remedy=remedy)

    for name in ("label", "dialogue", "order"):
        if name not in arrays:
            raise refuse(f"{name} is missing", "write it beside the features, one per utterance")
    labels = arrays["label"]
    count = len(labels)
    if count == 0:
        raise refuse("there are no utterances", "leave the split out, or give it some")
    if not np.issubdtype(labels.dtype, np.integer) or not (
        labels.min() >= 0 and labels.max() < len(classes)
    ):
        raise refuse(f"labels are to be integers from 0 to {len(classes) - 1}", "see its `classes`")
    for name in ("dialogue", "order", "speaker"):
        if name in arrays and arrays[name].shape != (count,):
            raise refuse(f"{name} has the shape {arrays[name].shape}, not ({count},)", "mend it")
    dialogue = _number(arrays["dialogue"])
    _check_order(dialogue, arrays["order"], refuse)

    features, present = [], np.zeros((count, len(MODALITIES)), dtype=np.bool_)
    for index, name in enumerate(MODALITIES):
        if name not in arrays:
            features.append(np.zeros((count, 0), dtype=np.float32))
            continue
        values = arrays[name]
        if values.ndim != 2 or len(values) != count or values.shape[1] == 0:
            raise refuse(f"{name} has the shape {values.shape}, not ({count}, d)", "mend it")
        there = _presence(arrays, count, refuse)[:, index]
        broken = there & ~np.isfinite(values).all(axis=1)
        if broken.any():
            row = int(np.flatnonzero(broken)[0])
            raise refuse(
                f"{name} of row {row} holds NaN or infinity, and so do {broken.sum() - 1} more",
                f"encode it again, or mark it absent in {where.split()[-1]}_present",
            )
        features.append(np.where(there[:, None], values, 0).astype(np.float32))
        present[:, index] = there
    if not present.any():
        raise refuse("there is neither text nor audio nor video", "give one of them at least")
    speaker = _speakers(dialogue, arrays.get("speaker"))
    return FeatureSet(tuple(features), present, labels.astype(np.int64), dialogue, speaker, classes)


def _presence(arrays: Arrays, count: int, refuse: Any) -> NDArray[np.bool_]:
    wanted = (count, len(MODALITIES))
    there = arrays.get("present", np.ones(wanted, dtype=np.bool_))
    if there.shape != wanted:
        raise refuse(f"present has the shape {there.shape}, not {wanted}", "mend it")
    return there.astype(np.bool_)


def _number(names: NDArray[Any]) -> NDArray[np.int64]:
    """0, 1, 2 ... in the order of first appearance."""
    _, first, place = np.unique(names, return_index=True, return_inverse=True)
    rank: NDArray[np.int64] = np.argsort(np.argsort(first))
    return rank[place]


def _check_order(dialogue: NDArray[np.int64], order: NDArray[Any], refuse: Any) -> None:
    """Dialogues in one piece, and in them utterances in spoken order."""
    remedy = "sort the rows by dialogue and order"
    back = np.flatnonzero(np.diff(dialogue) < 0)
    if len(back):
        raise refuse(f"a dialogue is in several pieces (row {back[0] + 1})", remedy)
    late = np.flatnonzero((np.diff(dialogue) == 0) & (np.diff(order) <= 0))
    if len(late):
        row = int(late[0]) + 1
        raise refuse(
            f"row {row} has the order {order[row]} after {order[row - 1]} of its dialogue", remedy
        )


def _speakers(dialogue: NDArray[np.int64], names: NDArray[Any] | None) -> NDArray[np.int64]:
    """Numbers inside each dialogue, by first appearance."""
    if names is None:
        return np.full(len(dialogue), -1)
    numbers = np.zeros(len(dialogue), dtype=np.int64)
    for one in np.unique(dialogue):
        rows = dialogue == one
        numbers[rows] = _number(names[rows])
    return numbers
