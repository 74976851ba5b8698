from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from small_corpora import write_iemocap

from magtkd_rt.errors import DataError
from magtkd_rt.train.corpora.iemocap import LABELS, read_iemocap
from magtkd_rt.train.corpora.recognise import read_corpus
from magtkd_rt.train.corpora.types import Media, Problem


def test_as_distributed(iemocap_folder: Path) -> None:
    corpus = read_corpus(iemocap_folder)
    assert corpus.name == "IEMOCAP" and corpus.labels == LABELS
    assert [d[0].dialogue for d in corpus.splits["test"]] == ["Ses05F_impro04"]
    learned = [d[0].dialogue for d in corpus.splits["train"]]
    assert sorted(learned) == ["Ses01F_impro01", "Ses01M_script01_1", "Ses02F_impro02"]
    first = corpus.splits["train"][learned.index("Ses01F_impro01")]
    assert [(u.order, u.speaker, LABELS[u.label], u.text) for u in first] == [
        (0, 0, "neu", "Excuse me."),
        (1, 1, "fru", "Is there a problem?"),
        (2, 0, "ang", "Well: I don't have an ID [LAUGHTER]"),
    ]


def test_media(iemocap_folder: Path) -> None:
    corpus = read_iemocap(iemocap_folder, dev_share=0)
    session = iemocap_folder / "Session1"
    first = next(d for d in corpus.splits["train"] if d[0].dialogue == "Ses01F_impro01")
    avi = session / "dialog/avi/DivX/Ses01F_impro01.avi"
    wavs = session / "sentences/wav/Ses01F_impro01"
    assert first[0].sound == Media(wavs / "Ses01F_impro01_F000.wav")
    assert first[0].picture == Media(avi, 0.2, 0.9, "left")  # who is named in the file's name
    assert first[1].picture == Media(avi, 1.5, 2.1, "right")


def test_what_is_left_out(iemocap_folder: Path) -> None:
    corpus = read_iemocap(iemocap_folder)
    assert corpus.notes[0] == "not among the six classes and left out: oth 1, xxx 1"
    assert corpus.problems == [
        Problem("Ses02M_impro03", "left out, no utterance has one of the labels"),
        Problem("Session3", "missing, or without EmoEvaluation"),
        Problem("Session4", "missing, or without EmoEvaluation"),
    ]


def test_dev_is_drawn_by_seed(iemocap_folder: Path) -> None:
    def drawn(seed: int) -> list[str]:
        splits = read_iemocap(iemocap_folder, 0.34, seed).splits
        assert len(splits["train"]) == 2
        return [dialogue[0].dialogue for dialogue in splits["dev"]]

    assert drawn(1) == drawn(1)
    assert len({drawn(seed)[0] for seed in range(12)}) == 3


def test_missing_parts(tmp_path: Path) -> None:
    write_iemocap(tmp_path)
    session = tmp_path / "Session1"
    (session / "sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav").unlink()
    (session / "dialog/avi/DivX/Ses01F_impro01.avi").unlink()
    (session / "dialog/transcriptions/Ses01M_script01_1.txt").unlink()
    corpus = read_iemocap(tmp_path, dev_share=0)
    problems = [problem for problem in corpus.problems if problem.where.startswith("Ses01")]
    assert problems == [
        Problem("Ses01F_impro01.avi", "missing"),
        Problem("Ses01M_script01_1", "left out, it has no transcription"),
    ]
    first = corpus.splits["train"][0]
    whole = session / "dialog/wav/Ses01F_impro01.wav"
    assert first[0].sound == Media(whole, 0.2, 0.9) and first[0].picture is None


def test_text_alone(tmp_path: Path) -> None:
    write_iemocap(tmp_path)
    for session in (1, 2, 5):
        shutil.rmtree(tmp_path / f"Session{session}" / "sentences")
        for part in ("wav", "avi"):
            shutil.rmtree(tmp_path / f"Session{session}" / "dialog" / part)
    corpus = read_iemocap(tmp_path)
    assert not any(problem.what == "missing" for problem in corpus.problems)
    assert not any(u.sound or u.picture for s in corpus.splits for u in corpus.utterances(s))


def test_bad_lines(tmp_path: Path) -> None:
    write_iemocap(tmp_path)
    path = tmp_path / "Session5/dialog/EmoEvaluation/Ses05F_impro04.txt"
    with path.open("a") as file:
        file.write("[2.0000 - 1.0000]\tSes05F_impro04_M000\tsad\t[1, 1, 1]\n")
        file.write("[1.0000 - 2.0000]\tSes05F_impro04_M001\tsad\t[1, 1, 1]\n")
        file.write("[1.0000 - 2.0000]\tsomebody\tsad\t[1, 1, 1]\n")
    corpus = read_iemocap(tmp_path)
    assert corpus.problems[-3:] == [
        Problem("Ses05F_impro04_M000", "left out, it lasts from 2.0 to 1.0 s"),
        Problem("Ses05F_impro04_M001", "left out, it has no transcription"),
        Problem("somebody", "left out, its name tells no speaker"),
    ]
    assert len(corpus.utterances("test")) == 1


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no IEMOCAP in"):
        read_iemocap(tmp_path)
