from __future__ import annotations

import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_corpora import authors_features
from small_corpora import write_pickles as write

from magtkd_rt.errors import DataError
from magtkd_rt.labels import LABELS
from magtkd_rt.train.corpora.pickles import AUTHORS_LABELS, load_arrays, read_pickles


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol(tmp_path: Path, protocol: int) -> None:
    held = write(tmp_path, protocol)
    arrays = read_pickles(tmp_path)
    assert arrays["train_audio"].shape == (18, 768) and "dev_label" not in arrays
    np.testing.assert_array_equal(arrays["test_audio"][0], held["audio_kd"]["0"][0])
    np.testing.assert_array_equal(
        read_pickles(tmp_path, distilled=False)["test_audio"][0], held["audio"]["0"][0]
    )
    authors = [AUTHORS_LABELS[7][i] for i in range(7)]
    assert [LABELS[i] for i in arrays["train_label"][:7]] == authors
    assert tuple(arrays["classes"]) == LABELS
    assert arrays["train_speaker"][:3].tolist() == [0, 1, 0]
    assert arrays["train_dialogue"][:8].tolist() == ["0"] * 7 + ["1"]
    assert arrays["train_order"][:8].tolist() == [*range(7), 0]


def test_names_of_numpy_1(tmp_path: Path) -> None:
    """Written by numpy 1, whose modules had other names."""
    new = pickle.dumps({"a": np.arange(3.0), "b": np.float64(2.5)}, 2)
    assert b"numpy._core.multiarray" in new
    old = new.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    (tmp_path / "old.pkl").write_bytes(old)
    held = load_arrays(tmp_path / "old.pkl")
    np.testing.assert_array_equal(held["a"], [0, 1, 2])
    assert held["b"] == 2.5


class Runs:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", range(6))
def test_code_is_refused_before_it_runs(tmp_path: Path, protocol: int) -> None:
    mark = tmp_path / "ran"
    write(tmp_path, protocol, dia2utt=Runs(mark))
    with pytest.raises(DataError, match=r"refused: it asks for (posix|os)\.system, which could"):
        read_pickles(tmp_path)
    assert not mark.exists()


@pytest.mark.parametrize(
    "program",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cbuiltins\ngetattr\n.",
        b"cnumpy\nload\n.",
        b"cnumpy.core.multiarray\nsys\n.",
        b"cnumpy._core.numeric\n_frombuffer\n}S'__doc__'\nS'x'\nsb.",  # sets an attribute
        b"c_codecs\nencode\n(Vabc\nVbz2\ntR.",
        b"Pelsewhere\n.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        b"",
        b"no pickle",
        b"(" * 10,
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60),  # a string of an exabyte
    ],
)
def test_hostile_programs(tmp_path: Path, program: bytes) -> None:
    (tmp_path / "x.pkl").write_bytes(program)
    with pytest.raises(DataError, match="refused"):
        load_arrays(tmp_path / "x.pkl")


def bad(kind: str, value: Any) -> dict[str, Any]:
    held = authors_features()[kind]
    held["1"][2] = value
    return {kind: held}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (bad("video_kd", np.full(768, np.nan)), r"dialogue 1, video_kd 2 is empty, .*\(NaN\)"),
        (bad("text", np.zeros(5)), "text vectors differ in size"),
        (bad("text", "words"), "text 2 is no vector"),
        (bad("labels", 9), "dialogue 1: label 9 is unknown"),
        (bad("labels", "joy"), "a label is no number"),
        ({"labels": authors_features()["labels"] | {"1": []}}, "dialogue 1: lengths are"),
        ({"speakers": {}}, "dialogue 0: no speakers"),
        ({"vids": []}, "holds no utterances"),
    ],
)
def test_what_cannot_be_right(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    write(tmp_path, **change)
    with pytest.raises(DataError, match=told):
        read_pickles(tmp_path)


def test_a_part_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_pickles(tmp_path)
    (tmp_path / "first_stage_train_features.pkl").write_bytes(pickle.dumps({"vids": []}))
    with pytest.raises(DataError, match="lacks speakers, labels, text, audio_kd, video_kd"):
        read_pickles(tmp_path)
