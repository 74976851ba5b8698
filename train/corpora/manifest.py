"""A corpus of one's own: a CSV file with a heading, or JSON lines, one utterance a row.

    dialogue, order, speaker, text, media, start, end, label [, split]

`media` is a path, relative to the manifest; `start` and `end` are seconds or clock times in it,
empty for the whole file. Without `split` whole dialogues are drawn by seed: a tenth each for dev
and test. The labels are all names that occur, in the order of the alphabet, unless they are among
the project's seven.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
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
    parse_seconds,
)

COLUMNS: Final = ("dialogue", "order", "speaker", "text", "label")
SOUND_ONLY: Final = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".sph")
SEED: Final = 11
SHARE: Final = 0.1

Row = tuple[str, dict[str, str]]


def find_manifest(folder: Path) -> Path | None:
    """The folder's manifest, or the file itself."""
    if folder.is_file():
        return folder if folder.suffix.lower() in (".csv", ".jsonl", ".ndjson") else None
    names = ("manifest.csv", "manifest.jsonl", "manifest.ndjson")
    return next((folder / name for name in names if (folder / name).is_file()), None)


def read_manifest(path: Path, seed: int = SEED) -> Corpus:
    """Read a manifest.

    Args:
        path: the CSV or JSONL file.
        seed: draws the splits where the manifest names none.

    Raises:
        DataError: a row lacks something, is there twice, or cannot be understood.
    """
    found: dict[tuple[str, str], dict[int, Row]] = {}
    for where, row in rows(path, COLUMNS):
        _check(where, row)
        lines = found.setdefault((row.get("split", "").strip(), row["dialogue"].strip()), {})
        order = int(row["order"])
        if order in lines:
            raise DataError(
                f"{where}: order {order} of dialogue {row['dialogue']} is there twice",
                remedy="number the utterances of a dialogue in spoken order",
            )
        lines[order] = (where, row)
    if not found:
        raise DataError(f"{path} has no rows", remedy="write one utterance a row")
    labels = _labels({row["label"].strip() for d in found.values() for _, row in d.values()})
    problems: list[Problem] = []
    splits: dict[str, list[Dialogue]] = {}
    names = _split_names(list(found), seed, path)
    for split, lines in zip(names, found.values(), strict=True):
        splits.setdefault(split, []).append(_dialogue(path.parent, lines, labels, problems))
    ordered = {str(split): splits[split] for split in SPLITS if split in splits}
    return Corpus(path.name, labels, ordered, (path,), problems)


def _check(where: str, row: dict[str, str]) -> None:
    for name in ("dialogue", "speaker", "label"):
        if not row[name].strip():
            raise DataError(f"{where}: no {name}", remedy="fill it in, or leave the row out")
    try:
        int(row["order"])
    except ValueError as error:
        raise DataError(
            f"{where}: order is {row['order']!r}", remedy="write a whole number"
        ) from error
    for name in ("start", "end"):
        if row.get(name, "").strip() and parse_seconds(row[name]) is None:
            raise DataError(
                f"{where}: {name} is {row[name]!r}",
                remedy="write seconds, or hours:minutes:seconds",
            )
    if row.get("split", "").strip() not in ("", *SPLITS):
        raise DataError(
            f"{where}: split is {row['split']!r}", remedy=f"write one of {', '.join(SPLITS)}"
        )


def _labels(names: set[str]) -> tuple[str, ...]:
    """The project's labels where they suffice, in their order; else the names themselves."""
    try:
        for name in names:
            label_index(name)
    except ValueError:
        return tuple(sorted(names))
    return LABELS


def _split_names(dialogues: list[tuple[str, str]], seed: int, path: Path) -> list[str]:
    """The split of each dialogue."""
    named = [split for split, _ in dialogues if split]
    if len(named) == len(dialogues):
        return named
    if named:
        raise DataError(
            f"{path.name} names the split of some utterances only",
            remedy="name all of them, or none",
        )
    order = list(range(len(dialogues)))
    Random(seed).shuffle(order)
    count = max(1, round(SHARE * len(order))) if len(order) > 2 else 0
    drawn = dict.fromkeys(order[:count], "dev") | dict.fromkeys(order[count : 2 * count], "test")
    return [drawn.get(i, "train") for i in range(len(order))]


def _dialogue(
    base: Path, lines: dict[int, Row], labels: tuple[str, ...], problems: list[Problem]
) -> Dialogue:
    speakers = Speakers()
    dialogue = []
    for order, (where, row) in sorted(lines.items()):
        label = row["label"].strip()
        media = _media(base, where, row, problems)
        dialogue.append(
            Utterance(
                text=row["text"].strip(),
                speaker=speakers.number(row["speaker"].strip()),
                label=label_index(label) if labels == LABELS else labels.index(label),
                dialogue=row["dialogue"].strip(),
                order=order,
                sound=media,
                picture=media if media and media.path.suffix.lower() not in SOUND_ONLY else None,
            )
        )
    return dialogue


def _media(base: Path, where: str, row: dict[str, str], problems: list[Problem]) -> Media | None:
    name = row.get("media", "").strip()
    if not name:
        return None
    start = parse_seconds(row.get("start", "")) or 0.0
    end = parse_seconds(row.get("end", ""))
    if end is not None and end <= start:
        problems.append(Problem(where, f"media left out, it lasts from {start:g} to {end:g} s"))
        return None
    path = base / name
    if not path.is_file():
        problems.append(Problem(name, f"missing ({where})"))
        return None
    return Media(path, start, end)
