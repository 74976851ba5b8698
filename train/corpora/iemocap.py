"""IEMOCAP (Busso et al. 2008) as IEMOCAP_full_release is distributed.

    DIR/Session{1..5}/dialog/EmoEvaluation/Ses01F_impro01.txt    times and labels
    DIR/Session{1..5}/dialog/transcriptions/Ses01F_impro01.txt   words
    DIR/Session{1..5}/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav
    DIR/Session{1..5}/dialog/wav/Ses01F_impro01.wav
    DIR/Session{1..5}/dialog/avi/DivX/Ses01F_impro01.avi         both actors, side by side

Six classes; utterances with another label, or none that two of three judges agree on, are no part
of the dialogue. Session 5 is the test split, as published; a share of the other sessions'
dialogues, drawn by seed, is dev.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from random import Random
from typing import Final, Literal

from magtkd_rt.errors import DataError
from magtkd_rt.train.corpora.tables import read_text
from magtkd_rt.train.corpora.types import (
    Corpus,
    Dialogue,
    Media,
    Problem,
    Speakers,
    Utterance,
)

LABELS: Final = ("ang", "exc", "fru", "hap", "neu", "sad")
DEV_SHARE: Final = 0.1
SEED: Final = 11
TEST_SESSION: Final = 5

PUBLISHED: Final = {"train and dev": (120, 5758), "test": (31, 1622)}
"""Dialogues and utterances as EmoEvaluation's majority labels give them: 7380 of six classes (ang
1103, exc 1041, fru 1849, hap 595, neu 1708, sad 1084). Papers count 7433 (5810 and 1623), since
the feature files that they share hold 53 more as happy."""

_LINE = re.compile(r"\[(\d+\.\d+) - (\d+\.\d+)\]\t(\S+)\t(\w+)\t")
_SAID = re.compile(r"(\S+) \[[^\]]*\]: ?(.*)")
_NAME = re.compile(r"Ses0([1-5])([FM])_(\w+)_([FM])(?:XX)?(\d+)")


def is_iemocap(folder: Path) -> bool:
    """Whether there is a session with labels."""
    return any(folder.glob("Session[1-5]/dialog/EmoEvaluation"))


def read_iemocap(folder: Path, dev_share: float = DEV_SHARE, seed: int = SEED) -> Corpus:
    """Read all sessions.

    Args:
        folder: IEMOCAP_full_release.
        dev_share: of the dialogues of sessions 1 to 4 that become dev.
        seed: draws them.

    Raises:
        DataError: there is no session, or a file is not as it should be.
    """
    problems: list[Problem] = []
    others: Counter[str] = Counter()
    learned: list[Dialogue] = []
    test: list[Dialogue] = []
    files: list[Path] = []
    for session in range(1, 6):
        place = folder / f"Session{session}" / "dialog"
        # Macs leave `._` files in archives.
        evaluations = sorted(p for p in (place / "EmoEvaluation").glob("Ses*.txt"))
        if not evaluations:
            problems.append(Problem(f"Session{session}", "missing, or without EmoEvaluation"))
        for path in evaluations:
            said = place / "transcriptions" / path.name
            if not said.is_file():
                problems.append(Problem(path.stem, "left out, it has no transcription"))
                continue
            files += [path, said]
            dialogue = _dialogue(path, said, others, problems)
            if dialogue:
                (test if session == TEST_SESSION else learned).append(dialogue)
            else:
                problems.append(Problem(path.stem, "left out, no utterance has one of the labels"))
    if not learned and not test:
        raise DataError(
            f"no IEMOCAP in {folder}", remedy="name the folder that holds Session1 to Session5"
        )
    drawn = set(Random(seed).sample(range(len(learned)), round(dev_share * len(learned))))
    splits = {
        "train": [d for i, d in enumerate(learned) if i not in drawn],
        "dev": [d for i, d in enumerate(learned) if i in drawn],
        "test": test,
    }
    kept = {split: dialogues for split, dialogues in splits.items() if dialogues}
    notes = []
    if others:
        told = ", ".join(f"{label} {count}" for label, count in sorted(others.items()))
        notes.append(f"not among the six classes and left out: {told}")
    notes.append("papers count 7433 utterances, of which 53 have another majority label here")
    return Corpus("IEMOCAP", LABELS, kept, tuple(files), problems, notes)


def _dialogue(
    evaluation: Path, said: Path, others: Counter[str], problems: list[Problem]
) -> Dialogue:
    """The labelled utterances of one dialogue, by their start."""
    words = {}
    for line in read_text(said).splitlines():
        if match := _SAID.match(line):
            words[match[1]] = match[2].strip()
    lines = []
    for line in read_text(evaluation).splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        start, end, name, label = float(match[1]), float(match[2]), match[3], match[4]
        if label not in LABELS:
            others[label] += 1
        elif not end > start:
            problems.append(Problem(name, f"left out, it lasts from {start} to {end} s"))
        elif not (parts := _NAME.fullmatch(name)):
            problems.append(Problem(name, "left out, its name tells no speaker"))
        elif name not in words:
            problems.append(Problem(name, "left out, it has no transcription"))
        else:
            lines.append((start, end, name, label, parts[4]))
    speakers = Speakers()
    film = _film(evaluation, problems) if lines else None
    return [
        Utterance(
            text=words[name],
            speaker=speakers.number(who),
            label=LABELS.index(label),
            dialogue=evaluation.stem,
            order=order,
            sound=_sound(evaluation, name, start, end, problems),
            picture=None if film is None else Media(film, start, end, _half(evaluation.stem, who)),
        )
        for order, (start, end, name, label, who) in enumerate(sorted(lines))
    ]


def _sound(
    evaluation: Path, name: str, start: float, end: float, problems: list[Problem]
) -> Media | None:
    """The sentence's own file, else its stretch of the dialogue's."""
    dialog = evaluation.parents[1]
    own = dialog.parent / "sentences" / "wav" / evaluation.stem / f"{name}.wav"
    if own.is_file():
        return Media(own)
    whole = dialog / "wav" / f"{evaluation.stem}.wav"
    if whole.is_file():
        return Media(whole, start, end)
    if any(folder.is_dir() for folder in (own.parents[1], whole.parent)):
        problems.append(Problem(f"{name}.wav", "missing"))
    return None


def _film(evaluation: Path, problems: list[Problem]) -> Path | None:
    """The dialogue's pictures."""
    folder = evaluation.parents[1] / "avi" / "DivX"
    path = folder / f"{evaluation.stem}.avi"
    if path.is_file():
        return path
    if folder.is_dir():
        problems.append(Problem(path.name, "missing"))
    return None


def _half(dialogue: str, who: str) -> Literal["left", "right"]:
    """Who is named in the dialogue's name, the actor with markers, is on the left."""
    return "left" if dialogue[5] == who else "right"
