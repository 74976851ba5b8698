from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from small_corpora import write_clip

from magtkd_rt.errors import DataError
from magtkd_rt.labels import LABELS
from magtkd_rt.train.corpora.manifest import read_manifest
from magtkd_rt.train.corpora.recognise import read_corpus
from magtkd_rt.train.corpora.types import Media, Problem, parse_seconds

ROW = {
    "dialogue": "d1", "order": "1", "speaker": "Ann", "text": "Hello, you.", "media": "a.mp4",
    "start": "0.1", "end": "00:00:00,500", "label": "happy", "split": "train",
}  # fmt: skip


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return path


@pytest.mark.parametrize("name", ["manifest.csv", "manifest.jsonl"])
def test_a_corpus_of_ones_own(tmp_path: Path, name: str) -> None:
    write_clip(tmp_path / "a.mp4", seconds=0.6)
    rows: list[dict[str, Any]] = [
        ROW | {"order": 7, "speaker": "Bob", "media": "", "start": "", "end": "", "text": ""},
        ROW,
        ROW | {"dialogue": "d2", "split": "test", "label": "calm"},
    ]
    write(tmp_path / name, rows)
    corpus = read_corpus(tmp_path)
    assert (
        corpus.labels == LABELS
        and corpus.problems == []
        and list(corpus.splits)
        == [
            "train",
            "test",
        ]
    )
    first, later = corpus.splits["train"][0]
    assert (first.text, first.speaker, LABELS[first.label]) == ("Hello, you.", 0, "joy")
    assert first.sound == first.picture == Media(tmp_path / "a.mp4", 0.1, 0.5)
    assert (later.order, later.speaker, later.sound) == (7, 1, None)


def test_other_labels_are_taken_in_alphabetical_order(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        ROW | {"order": i, "label": label} for i, label in enumerate(("wry", "bored", "wry"))
    ]
    corpus = read_manifest(write(tmp_path / "m.csv", rows))
    assert corpus.labels == ("bored", "wry")
    assert [u.label for u in corpus.utterances("train")] == [1, 0, 1]


def test_splits_are_drawn_by_dialogue(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        ROW | {"dialogue": f"d{i // 2}", "order": i % 2, "split": ""} for i in range(40)
    ]
    corpus = read_manifest(write(tmp_path / "m.csv", rows))
    assert {split: len(found) for split, found in corpus.splits.items()} == {
        "train": 16,
        "dev": 2,
        "test": 2,
    }
    named = [d[0].dialogue for found in corpus.splits.values() for d in found]
    assert len(set(named)) == 20


def test_sound_files_show_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    (said,) = read_manifest(write(tmp_path / "m.csv", [ROW | {"media": "a.wav"}])).utterances(
        "train"
    )
    assert said.sound is not None and said.picture is None


def test_listed_and_left_out(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [ROW, ROW | {"order": 2, "start": "3", "end": "2"}]
    corpus = read_manifest(write(tmp_path / "m.csv", rows))
    assert corpus.problems == [
        Problem("a.mp4", "missing (m.csv, line 2)"),
        Problem("m.csv, line 3", "media left out, it lasts from 3 to 2 s"),
    ]
    assert all(u.sound is None for u in corpus.utterances("train"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"speaker": ""}, "m.csv, line 3: no speaker"),
        ({"dialogue": " "}, "line 3: no dialogue"),
        ({"label": ""}, "line 3: no label"),
        ({"order": "two"}, "line 3: order is 'two'"),
        ({"order": "1"}, "line 3: order 1 of dialogue d1 is there twice"),
        ({"start": "soon"}, "line 3: start is 'soon'"),
        ({"split": "training"}, "line 3: split is 'training'"),
        ({"split": ""}, "names the split of some utterances only"),
    ],
)
def test_bad_rows(tmp_path: Path, change: dict[str, str], told: str) -> None:
    rows = [ROW, ROW | {"order": "2"} | change]
    with pytest.raises(DataError, match=told):
        read_manifest(write(tmp_path / "m.csv", rows))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"dialogue": 1', "line 1: Expecting"),
        ("[" * 100_000, "line 1: "),
        ('{"dialogue": {"a": 1}}', "line 1: no object of plain values"),
        ('{"dialogue": 1}', "line 1: no order, speaker, text, label"),
        ("", "has no rows"),
    ],
)
def test_bad_json(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "m.jsonl").write_text(content)
    with pytest.raises(DataError, match=told):
        read_manifest(tmp_path / "m.jsonl")


def test_a_cell_without_end(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text('dialogue,order,speaker,text,label\n1,1,a,"' + "x" * 200_000)
    with pytest.raises(DataError, match="m.csv, line"):
        read_manifest(tmp_path / "m.csv")


def test_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds neither MELD, IEMOCAP nor a manifest"):
        read_corpus(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        read_corpus(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [("12.5", 12.5), ("00:20:57,256", 1257.256), ("1:02", 62.0), ("", None), ("-1", None),
     ("nan", None), ("1:2:3:4", None)],
)  # fmt: skip
def test_times(stamp: str, seconds: float | None) -> None:
    assert parse_seconds(stamp) == seconds
