from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from small_corpora import CLIPS, MELD_ROWS, meld_row, write_meld, write_meld_csv

from magtkd_rt.errors import DataError
from magtkd_rt.labels import LABELS
from magtkd_rt.train.corpora.meld import PUBLISHED, read_meld, read_split
from magtkd_rt.train.corpora.recognise import read_corpus
from magtkd_rt.train.corpora.types import Problem


def test_as_distributed(meld_folder: Path) -> None:
    corpus = read_corpus(meld_folder)
    assert corpus.name == "MELD" and corpus.labels == LABELS and corpus.problems == []
    first, second = corpus.splits["train"]
    assert [(u.order, u.speaker, u.text, LABELS[u.label]) for u in first] == [
        (0, 0, "Who’s there?", "neutral"),
        (1, 1, "Hi!", "joy"),
    ]
    assert [u.name for u in second] == ["1/0"]
    media = first[1].sound
    assert media is not None and media.path == meld_folder / "train_splits" / "dia0_utt1.mp4"
    assert media.end is None and first[1].picture == media
    assert {split: len(corpus.utterances(split)) for split in corpus.splits} == {
        "train": 3,
        "dev": 1,
        "test": 2,
    }


def test_unpacked_split_by_split(tmp_path: Path) -> None:
    write_meld(tmp_path / "flat")
    for split, clips in CLIPS.items():
        (tmp_path / "MELD.Raw" / split).mkdir(parents=True)
        for name in (f"{split}_sent_emo.csv", clips):
            shutil.move(tmp_path / "flat" / name, tmp_path / "MELD.Raw" / split / name)
    corpus = read_meld(tmp_path / "MELD.Raw")
    assert all(u.sound for split in corpus.splits for u in corpus.utterances(split))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    write_meld_csv(tmp_path / "dev_sent_emo.csv", MELD_ROWS["dev"], encoding)
    assert read_split(tmp_path / "dev_sent_emo.csv")[0][0].text == "No, no, “no”!"


def test_windows_quotes_read_as_latin1_and_saved_as_utf8(tmp_path: Path) -> None:
    rows = [meld_row(0, 0, "Ross", "anger", "It\x92s mine\x85")]
    write_meld_csv(tmp_path / "x.csv", rows)
    assert read_split(tmp_path / "x.csv")[0][0].text == "It’s mine…"


def test_missing_and_surplus_clips(tmp_path: Path) -> None:
    write_meld(tmp_path)
    dev, test = tmp_path / CLIPS["dev"], tmp_path / CLIPS["test"]
    (dev / "dia0_utt0.mp4").unlink()
    shutil.copy(test / "dia0_utt0.mp4", test / "final_videos_testdia0_utt0.mp4")
    (test / "._dia0_utt1.mp4").write_bytes(b"\0\5\x16\7")
    corpus = read_meld(tmp_path)
    assert corpus.problems == [Problem("dev_splits_complete/dia0_utt0.mp4", "missing")]
    (said,) = corpus.utterances("dev")
    assert said.sound is None and said.picture is None and said.text


def test_text_alone(tmp_path: Path) -> None:
    corpus = read_meld(write_meld(tmp_path, clips=False))
    assert corpus.problems == [] and corpus.notes == [
        "text only: none of the folders of clips is there"
    ]


def test_an_utterance_twice_counts_once(tmp_path: Path) -> None:
    rows = [meld_row(3, 0, "Ross", "anger", "First."), meld_row(3, 0, "Ross", "joy", "Again.")]
    write_meld_csv(tmp_path / "x.csv", rows)
    problems: list[Problem] = []
    ((said,),) = read_split(tmp_path / "x.csv", None, problems)
    assert said.text == "First."
    assert problems == [Problem("x.csv, line 3", "dialogue 3 has utterance 0 twice")]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (meld_row(0, 0, "Ross", "bored", "Hm."), "line 2: the label 'bored' is unknown"),
        (meld_row(0, 0, " ", "joy", "Hm."), "line 2: no speaker"),
        (
            (1, "Hm.", "Ross", "joy", "neutral", "one", 0, 8, 21, "", ""),
            "no whole numbers",
        ),
        ((1, "Hm.", "Ross", "joy", "neutral", 0, 0, 8, 21, "", "", "more"), "more cells"),
    ],
)
def test_bad_rows(tmp_path: Path, row: tuple[object, ...], told: str) -> None:
    write_meld_csv(tmp_path / "x.csv", [row])
    with pytest.raises(DataError, match=told):
        read_split(tmp_path / "x.csv")


def test_no_rows_and_no_columns(tmp_path: Path) -> None:
    write_meld_csv(tmp_path / "x.csv", [])
    with pytest.raises(DataError, match="has no rows"):
        read_split(tmp_path / "x.csv")
    (tmp_path / "y.csv").write_text("Utterance,Speaker\nHi,Ross\n")
    with pytest.raises(DataError, match="no Emotion, Dialogue_ID, Utterance_ID; it needs"):
        read_split(tmp_path / "y.csv")


def test_the_real_text(shared: Path) -> None:
    corpus = read_corpus(shared / "data" / "meld")
    found = {s: (len(d), sum(map(len, d))) for s, d in corpus.splits.items()}
    assert found == PUBLISHED
