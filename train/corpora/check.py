"""`magtkd data check`: count a corpus, decode its media, compare it with what was published."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.progress import Progress

from magtkd_rt.errors import InputError
from magtkd_rt.train.corpora import iemocap, meld
from magtkd_rt.train.corpora.recognise import read_corpus
from magtkd_rt.train.corpora.types import Corpus, Media, Problem
from magtkd_rt.train.media import whole_length

_BEYOND: Final = 0.5
"""Seconds that an utterance may end after its recording does."""


@dataclass(frozen=True)
class Count:
    """A split as it was found."""

    dialogues: int
    utterances: int
    labels: dict[str, int]
    heard: int
    """Utterances whose sound is there."""
    seen: int


@dataclass(frozen=True)
class Comparison:
    """Dialogues and utterances, as found and as published."""

    what: str
    found: tuple[int, int]
    published: tuple[int, int]


@dataclass
class Findings:
    """What a check found.

    Attributes:
        counts: of each split.
        compared: with published counts, empty for a corpus without any.
        problems: in the text and labels, and media that are missing.
        broken: media that cannot be decoded or are damaged; None if none were decoded.
        files: how many media files were decoded.
    """

    corpus: Corpus
    counts: dict[str, Count]
    compared: list[Comparison]
    problems: list[Problem]
    broken: list[Problem] | None = None
    files: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def fine(self) -> bool:
        """Whether nothing differs and nothing is missing or broken."""
        differs = any(one.found != one.published for one in self.compared)
        return not (differs or self.problems or self.broken)

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "corpus": self.corpus.name,
            "labels": list(self.corpus.labels),
            "splits": {split: vars(count) for split, count in self.counts.items()},
            "published": [
                vars(one) | {"same": one.found == one.published} for one in self.compared
            ],
            "problems": [vars(one) for one in self.problems],
            "media_decoded": self.files,
            "media_broken": None if self.broken is None else [vars(one) for one in self.broken],
            "notes": self.notes,
            "fine": self.fine,
        }


def check(
    place: Path, *, decode: bool = True, workers: int | None = None, bar: Progress | None = None
) -> Findings:
    """Read a corpus and look at it.

    Args:
        place: its folder, or a manifest.
        decode: also decode every media file, from beginning to end.
        workers: files decoded side by side; as many as there are processors if not given.
        bar: shows how far it is.

    Raises:
        DataError: there is no corpus that is known, or it cannot be read.
    """
    corpus = read_corpus(place)
    counts = {split: _count(corpus, split) for split in corpus.splits}
    findings = Findings(
        corpus, counts, _compare(corpus, counts), list(corpus.problems), notes=list(corpus.notes)
    )
    if decode:
        stretches = _stretches(corpus)
        findings.files = len(stretches)
        findings.broken = sorted(
            _decode(stretches, workers or os.cpu_count() or 1, bar), key=lambda one: one.where
        )
    return findings


def _count(corpus: Corpus, split: str) -> Count:
    utterances = corpus.utterances(split)
    found = Counter(corpus.labels[one.label] for one in utterances)
    return Count(
        len(corpus.splits[split]),
        len(utterances),
        {label: found[label] for label in corpus.labels},
        sum(one.sound is not None for one in utterances),
        sum(one.picture is not None for one in utterances),
    )


def _compare(corpus: Corpus, counts: dict[str, Count]) -> list[Comparison]:
    published = {"MELD": meld.PUBLISHED, "IEMOCAP": iemocap.PUBLISHED}.get(corpus.name, {})
    compared = []
    for what, wanted in published.items():
        there = [counts[split] for split in what.split(" and ") if split in counts]
        found = (sum(one.dialogues for one in there), sum(one.utterances for one in there))
        compared.append(Comparison(what, found, wanted))
    return compared


def _stretches(corpus: Corpus) -> dict[Path, tuple[float, set[str]]]:
    """Every media file, with the last second that is wanted of it, and of which kinds."""
    wanted: dict[Path, tuple[float, set[str]]] = {}
    for split in corpus.splits:
        for one in corpus.utterances(split):
            for kind, media in (("sound", one.sound), ("picture", one.picture)):
                if isinstance(media, Media):
                    end, kinds = wanted.get(media.path, (0.0, set()))
                    wanted[media.path] = (max(end, media.end or media.start), kinds | {kind})
    return wanted


def _decode(
    stretches: dict[Path, tuple[float, set[str]]], workers: int, bar: Progress | None
) -> Iterator[Problem]:
    task = None
    if bar is not None and stretches:
        task = bar.add_task("media", total=len(stretches), note="")
    with ThreadPoolExecutor(workers) as pool:  # FFmpeg decodes without the interpreter's lock
        for problems in pool.map(_look, stretches, stretches.values()):
            if bar is not None and task is not None:
                bar.advance(task)
            yield from problems


def _look(path: Path, wanted: tuple[float, set[str]]) -> list[Problem]:
    """What is wrong with one file."""
    end, kinds = wanted
    where = f"{path.parent.name}/{path.name}"
    try:
        found = whole_length(path)
    except InputError as error:
        return [Problem(where, error.problem.removeprefix(f"{path} "))]
    problems = [Problem(where, said) for said in found["problems"]]
    for kind in sorted(kinds):
        if not found[kind]:
            problems.append(Problem(where, f"holds no {kind}"))
        elif found[kind] + _BEYOND < end:
            problems.append(
                Problem(where, f"{kind} ends after {found[kind]:.1f} s, {end:.1f} s are wanted")
            )
    return problems
