"""MELD (Poria et al. 2019) as MELD.Raw is distributed, or its three CSV files alone.

    DIR/{train,dev,test}_sent_emo.csv                     or in DIR/{train,dev,test}/
    DIR/{train_splits,dev_splits_complete,output_repeated_splits_test}/dia{D}_utt{U}.mp4

Each clip holds one utterance. Known faults: dev dia110_utt7 has no clip, train dia125_utt3 cannot
be decoded, the test folder holds more clips than utterances (`final_videos_testdia...`), archives
made on a Mac hold `._dia...` files, and older CSV files are Windows-1252.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from magtkd_rt.errors import DataError
from magtkd_rt.labels import LABELS, label_index
from magtkd_rt.train.corpora.tables import rows
from magtkd_rt.train.corpora.types import (
    SPLITS,
    Corpus,
    Dialogue,
    Media,
    Problem,
    Speakers,
    Utterance,
)

CLIPS: Final = {
    "train": "train_splits",
    "dev": "dev_splits_complete",
    "test": "output_repeated_splits_test",
}

PUBLISHED: Final = {"train": (1038, 9989), "dev": (114, 1109), "test": (280, 2610)}
"""Dialogues and utterances of each split. The paper's own table says 1039 training dialogues;
the files hold 1038, since number 60 is missing."""

COLUMNS: Final = ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID")


def is_meld(folder: Path) -> bool:
    """Whether a split's CSV file is there."""
    return any(_csv_of(folder, split) for split in SPLITS)


def read_meld(folder: Path) -> Corpus:
    """Read every split that is there.

    Raises:
        DataError: there is none, or a row cannot be right.
    """
    problems: list[Problem] = []
    splits, files, without = {}, [], []
    for split in SPLITS:
        path = _csv_of(folder, split)
        if path is None:
            problems.append(Problem(f"{split}_sent_emo.csv", "missing"))
            continue
        clips = _clips_of(folder, split)
        if clips is None:
            without.append(CLIPS[split])
        files.append(path)
        splits[split] = read_split(path, clips, problems)
    if not splits:
        raise DataError(f"no MELD in {folder}", remedy="name the folder with train_sent_emo.csv")
    notes = []
    if len(without) == len(splits):
        notes.append("text only: none of the folders of clips is there")
    else:
        problems += [Problem(name, "the folder of clips is missing") for name in without]
    return Corpus("MELD", LABELS, splits, tuple(files), problems, notes)


def read_split(
    path: Path, clips: Path | None = None, problems: list[Problem] | None = None
) -> list[Dialogue]:
    """Read one CSV file, dialogue by dialogue, in spoken order.

    Args:
        path: the CSV file.
        clips: the folder of its clips; None for text only.
        problems: is told what was left out.

    Raises:
        DataError: a row lacks its speaker, or its label or numbers are unknown.
    """
    problems = [] if problems is None else problems
    found: dict[int, dict[int, dict[str, str]]] = {}
    for where, row in rows(path, COLUMNS):
        try:
            dialogue, order = int(row["Dialogue_ID"]), int(row["Utterance_ID"])
        except ValueError as error:
            raise DataError(
                f"{where}: Dialogue_ID and Utterance_ID are no whole numbers",
                remedy="get the file anew",
            ) from error
        try:
            label_index(row["Emotion"])
        except ValueError as error:
            raise DataError(
                f"{where}: the label {row['Emotion']!r} is unknown",
                remedy=f"it must be one of {', '.join(LABELS)}",
            ) from error
        if not row["Speaker"].strip():
            raise DataError(f"{where}: no speaker", remedy="name one, or leave the row out")
        lines = found.setdefault(dialogue, {})
        if order in lines:
            problems.append(Problem(where, f"dialogue {dialogue} has utterance {order} twice"))
            continue
        lines[order] = row
    if not found:
        raise DataError(f"{path} has no rows", remedy="get the file anew")
    return [_dialogue(number, found[number], clips, problems) for number in sorted(found)]


def _dialogue(
    number: int, lines: dict[int, dict[str, str]], clips: Path | None, problems: list[Problem]
) -> Dialogue:
    speakers = Speakers()
    dialogue = []
    for order, row in sorted(lines.items()):
        media = None
        if clips is not None:
            clip = clips / f"dia{number}_utt{order}.mp4"
            if clip.is_file():
                media = Media(clip)
            else:
                problems.append(Problem(f"{clips.name}/{clip.name}", "missing"))
        dialogue.append(
            Utterance(
                text=row["Utterance"].strip(),
                speaker=speakers.number(row["Speaker"].strip()),
                label=label_index(row["Emotion"]),
                dialogue=str(number),
                order=order,
                sound=media,
                picture=media,
            )
        )
    return dialogue


def _csv_of(folder: Path, split: str) -> Path | None:
    name = f"{split}_sent_emo.csv"
    return next((p for p in (folder / name, folder / split / name) if p.is_file()), None)


def _clips_of(folder: Path, split: str) -> Path | None:
    name = CLIPS[split]
    return next((p for p in (folder / name, folder / split / name) if p.is_dir()), None)
