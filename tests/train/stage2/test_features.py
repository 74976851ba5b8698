"""Feature files: what is read, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from magtkd_rt.errors import DataError
from magtkd_rt.labels import LABELS
from magtkd_rt.train.stage2.features import (
    FeatureSet,
    build,
    folds,
    hold_out,
    read_features,
    write_features,
)
from magtkd_rt.train.stage2.given import (
    read_given,
    read_meld_embeddings,
    read_mosi,
    read_ravdess_units,
)

Arrays = dict[str, np.ndarray[Any, Any]]
CLASSES = ("down", "up")


def small() -> Arrays:
    return {
        "text": np.arange(10, dtype=np.float32).reshape(5, 2),
        "audio": np.ones((5, 3), dtype=np.float32),
        "label": np.array([0, 1, 1, 0, 1]),
        "dialogue": np.array(["b", "b", "b", "a", "a"]),
        "order": np.array([0, 1, 4, 2, 3]),
        "speaker": np.array(["Joey", "Ross", "Joey", "Ross", "Ross"]),
    }


def test_speakers_and_dialogues_are_numbered_as_they_come() -> None:
    given = build(small(), CLASSES, "x, train")
    assert given.dialogue.tolist() == [0, 0, 0, 1, 1]
    assert given.speaker.tolist() == [0, 1, 0, 0, 0]
    assert given.sizes == (2, 3, 0)
    assert given.modalities == (True, True, False)
    assert [rows.tolist() for rows in given.rows()] == [[0, 1, 2], [3, 4]]
    assert given.shares.tolist() == [0.4, 0.6]
    assert build({k: v for k, v in small().items() if k != "speaker"}, CLASSES, "x").speaker[0] < 0


def changed(**arrays: Any) -> Arrays:
    return small() | {name: np.asarray(values) for name, values in arrays.items()}


def with_hole(value: float) -> Arrays:
    arrays = small()
    arrays["text"][3, 1] = value
    return arrays


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        (with_hole(np.nan), "text of row 3 holds NaN or infinity"),
        (with_hole(np.inf), "text of row 3 holds NaN or infinity"),
        (changed(order=[1, 0, 4, 2, 3]), "row 1 has the order 0 after 1"),
        (changed(order=[0, 0, 4, 2, 3]), "row 1 has the order 0 after 0"),
        (changed(dialogue=["b", "a", "b", "a", "a"]), "a dialogue is in several pieces"),
        (changed(label=[0, 1, 1, 0, 2]), "labels are to be integers from 0 to 1"),
        (changed(label=[0.0, 1, 1, 0, 1]), "labels are to be integers"),
        (changed(speaker=["Joey"]), "speaker has the shape"),
        (changed(text=np.zeros((4, 2))), "text has the shape"),
        (changed(text=np.zeros(5)), "text has the shape"),
        ({k: v[:0] for k, v in small().items()}, "there are no utterances"),
        ({k: v for k, v in small().items() if k != "order"}, "order is missing"),
        ({k: v for k, v in small().items() if k not in ("text", "audio")}, "there is neither"),
        (changed(present=np.ones((5, 2))), "present has the shape"),
    ],
)
def test_what_cannot_be_right_is_refused(arrays: Arrays, told: str) -> None:
    with pytest.raises(DataError, match="x, train: ") as refused:
        build(arrays, CLASSES, "x, train")
    assert told in str(refused.value)


def test_what_is_absent_may_hold_anything() -> None:
    arrays = with_hole(np.nan)
    arrays["present"] = np.array([[1, 1, 1]] * 3 + [[0, 1, 1]] * 2)
    given = build(arrays, CLASSES, "x, train")
    assert given.present[:, 0].tolist() == [True] * 3 + [False] * 2
    assert not given.present[:, 2].any()
    assert np.isfinite(given.features[0]).all()


def test_splits_never_cut_a_dialogue(tiny: FeatureSet) -> None:
    rest, held = hold_out(tiny, 0.25, 3)
    assert len(held.rows()) == 6
    assert len(rest) + len(held) == len(tiny)
    assert not set(rest.dialogue) & set(held.dialogue)
    parts = folds(tiny, 5, 0)
    assert sorted(d for _, held in parts for d in set(held.dialogue)) == list(range(24))
    with pytest.raises(DataError, match="one dialogue cannot be split"):
        hold_out(tiny.take(np.array([0])), 0.5, 0)


def test_a_file_is_read(feature_file: Path) -> None:
    splits = read_features(feature_file)
    assert set(splits) == {"train", "dev", "test"}
    assert splits["train"].classes == ("down", "level", "up")
    assert splits["dev"].sizes == (6, 4, 5)


def test_files_that_are_none_are_refused(feature_file: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no feature file at"):
        read_features(tmp_path / "none.npz")
    text = tmp_path / "text.npz"
    text.write_text("no archive")
    with pytest.raises(DataError, match="no npz archive"):
        read_features(text)
    code = tmp_path / "code.npz"
    np.savez(code, train_label=np.array([print], dtype=object))
    with pytest.raises(DataError, match="no npz archive of plain arrays"):
        read_features(code)
    with np.load(feature_file) as archive:
        arrays = {name: archive[name] for name in archive.files}
    np.savez(tmp_path / "a.npz", **{k: v for k, v in arrays.items() if not k.startswith("test")})
    with pytest.raises(DataError, match="has no test_label"):
        read_features(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", **arrays | {"test_audio": arrays["test_audio"][:, :2]})
    with pytest.raises(DataError, match="vectors of test have the sizes"):
        read_features(tmp_path / "b.npz")


def test_the_given_corpora_are_as_documented(shared: Path) -> None:
    mosi = read_mosi(shared / "data")
    assert {k: (len(v), len(v.rows())) for k, v in mosi.items()} == {
        "train": (1447, 62),
        "test": (752, 31),
    }
    assert mosi["train"].sizes == (100, 73, 100)
    meld = read_meld_embeddings(shared / "data")
    assert (len(meld), meld.sizes, meld.classes) == (1108, (768, 768, 0), LABELS)
    ravdess = read_ravdess_units(shared / "data")
    assert {k: len(v) for k, v in ravdess.items()} == {"train": 1080, "dev": 120, "test": 240}
    assert ravdess["test"].sizes == (0, 259, 35)
    neutral = ravdess["test"].labels == 0  # and calm
    assert neutral.sum() == 4 * 12


@pytest.mark.parametrize("corpus", ["mosi", "meld", "ravdess"])
def test_given_corpora_become_feature_files(shared: Path, tmp_path: Path, corpus: str) -> None:
    splits = read_given(shared / "data", corpus)
    write_features(tmp_path / "made.npz", splits)
    again = read_features(tmp_path / "made.npz")
    assert again.keys() == splits.keys() >= {"train", "test"}
    for split, given in splits.items():
        for name, value in vars(given).items():
            if name == "dialogue":  # counted anew
                assert [len(rows) for rows in again[split].rows()] == [
                    len(rows) for rows in given.rows()
                ]
            elif name == "features":
                for one, other in zip(getattr(again[split], name), value, strict=True):
                    np.testing.assert_array_equal(one, other)
            else:
                np.testing.assert_array_equal(getattr(again[split], name), value)


def test_a_missing_corpus_is_told(tmp_path: Path) -> None:
    for read in (read_mosi, read_meld_embeddings, read_ravdess_units):
        with pytest.raises(DataError, match="not found at .*--data DIR"):
            read(tmp_path)
