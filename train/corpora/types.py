"""What every reader returns: dialogues of utterances, and what was wrong with them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

SPLITS: Final = ("train", "dev", "test")


@dataclass(frozen=True)
class Media:
    """A stretch of a recording.

    Attributes:
        path: a media file.
        start: seconds from the file's first instant.
        end: seconds, or None for the end of the file.
        half: which half of the picture shows the speaker, empty for all of it.
    """

    path: Path
    start: float = 0.0
    end: float | None = None
    half: Literal["left", "right", ""] = ""


@dataclass(frozen=True)
class Utterance:
    """One line of a dialogue.

    Attributes:
        text: what is said, stripped; may be empty.
        speaker: counts from 0 by first appearance in the dialogue.
        label: index into the corpus's labels.
        dialogue: name of the dialogue, unique in its split.
        order: grows along the dialogue, as the corpus counts.
        sound, picture: where it is heard and seen, None where it is not.
    """

    text: str
    speaker: int
    label: int
    dialogue: str = ""
    order: int = 0
    sound: Media | None = None
    picture: Media | None = None

    @property
    def name(self) -> str:
        """Names it inside its split."""
        return f"{self.dialogue}/{self.order}"


Dialogue = list[Utterance]
"""Utterances of one conversation, in spoken order, at least one."""


@dataclass(frozen=True)
class Problem:
    """Something that a reader found wrong and went on without."""

    where: str
    what: str


@dataclass(frozen=True)
class Corpus:
    """A whole corpus.

    Attributes:
        name: `MELD`, `IEMOCAP`, or the manifest's file name.
        labels: the labels' names in the order of their indices.
        splits: dialogues of train, dev and test; a split that is absent has no entry.
        files: what its text and labels were read from, to be hashed.
        problems: what was left out or repaired.
        notes: what a user should know, such as that there is only text.
    """

    name: str
    labels: tuple[str, ...]
    splits: dict[str, list[Dialogue]]
    files: tuple[Path, ...]
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def utterances(self, split: str) -> list[Utterance]:
        """All utterances of a split, dialogue after dialogue."""
        return [utterance for dialogue in self.splits.get(split, []) for utterance in dialogue]


class Speakers:
    """Numbers the speakers of one dialogue by first appearance."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def number(self, name: str) -> int:
        """The speaker's number, from 0."""
        return self._seen.setdefault(name, len(self._seen))


def parse_seconds(stamp: str) -> float | None:
    """Read seconds (`12.5`) or a clock time (`00:20:57,256`, `1:02.5`); None for neither."""
    parts = stamp.strip().replace(",", ".").split(":")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        return None
    if len(numbers) > 3 or any(not 0 <= number < 1e6 for number in numbers):
        return None
    return sum(number * 60.0**place for place, number in enumerate(reversed(numbers)))


def listing(names: Iterable[str], most: int = 8) -> str:
    """The first names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
