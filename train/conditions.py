"""What an evaluation measures: each modality alone, the fusion in every condition, comparisons."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from random import Random
from typing import Annotated, Any, Final, Literal

import jiwer
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from rich.progress import Progress

from magtkd_rt.bundle.golden import check_golden
from magtkd_rt.core.jobs import Turn
from magtkd_rt.labels import LABELS, MODALITIES
from magtkd_rt.runtime.recogniser import Recogniser
from magtkd_rt.train import metrics
from magtkd_rt.train.asr_errors import RecogniserErrors
from magtkd_rt.train.corpora.starter import Clip, Dialogue, read_fer2013, read_meld, read_ravdess
from magtkd_rt.train.fusion import Split, borrowed_alone
from magtkd_rt.train.measure import (
    Logits,
    Presence,
    encode_faces,
    encode_voices,
    encode_words,
    stream,
    track,
    whole_dialogues,
)
from magtkd_rt.train.pairing import Bank, Exchange, Paired
from magtkd_rt.train.scoring import Groups, Measured, Scores, measured, score, weighted_f1

Results = dict[str, Any]
Kind = Literal["text", "audio", "video", "fused", "revised", "paper"]

WORD_ERRORS: Final = 0.25
"""Share of words that a recogniser's errors are given to, in the spoiled words."""
SPOILING_SEED: Final = 17
EVERYTHING: Final = "+".join(MODALITIES)
WORDS: Final = "text"
SPOILED: Final = "spoiled "
"""Before the name of a condition: its words are spoiled."""
LATER: Final = ", looked at again after "
"""Behind the name of a condition, before a number: so many later utterances are seen."""


class PairingRecord(BaseModel):
    """How a bundle's training paired: exchanged shares per split, label shares, test seeds."""

    model_config = ConfigDict(frozen=True)

    exchange: dict[str, Exchange]
    shares: Annotated[list[float], Field(min_length=len(LABELS), max_length=len(LABELS))]
    seeds: Annotated[list[int], Field(min_length=1)]


@dataclass(frozen=True)
class Corpora:
    """What is measured on."""

    train: list[Dialogue]
    dev: list[Dialogue]
    test: list[Dialogue]
    clips: list[Clip]
    faces: NDArray[np.uint8]
    face_labels: NDArray[np.int64]
    face_shares: NDArray[np.float64]
    """How often each label occurs among the faces that were trained on."""

    @classmethod
    def read(cls, data: Path) -> Corpora:
        """Read MELD, RAVDESS actors 21-24 and FER2013 under `data`.

        Raises:
            DataError: one is missing.
        """
        faces, labels = read_fer2013(data, "test")
        trained = np.bincount(read_fer2013(data, "train")[1], minlength=len(LABELS))
        return cls(
            train=read_meld(data, "train"),
            dev=read_meld(data, "dev"),
            test=read_meld(data, "test"),
            clips=read_ravdess(data, "test"),
            faces=faces,
            face_labels=labels,
            face_shares=trained / trained.sum(),
        )


@dataclass(frozen=True)
class Spoiled:
    """The test's words with a recogniser's errors, and which utterances still have any."""

    turns: list[list[Turn]]
    spoken: NDArray[np.bool_]
    word_error_rate: float


def measure(
    recogniser: Recogniser, corpora: Corpora, pairing: PairingRecord, rounds: int, bar: Progress
) -> Results:
    """All conditions."""
    spoiled = spoil(corpora)
    dev = encode_words(recogniser, corpora.dev, said(corpora.dev), bar, "words, dev")
    words = encode_words(recogniser, corpora.test, said(corpora.test), bar, "words")
    bad_words = encode_words(recogniser, corpora.test, spoiled.turns, bar, "spoiled words")
    voices = encode_voices(recogniser, corpora.clips, bar, "voices")
    faces = encode_faces(recogniser, corpora.faces, corpora.face_labels, bar, "faces")

    exchange, shares = pairing.exchange["test"], np.array(pairing.shares)
    split = Split(corpora.test, [words], voices, faces, exchange)
    clean, bad = (
        [replace(split, texts=[text]).pair(shares, seed) for seed in pairing.seeds]
        for text in (words, bad_words)
    )
    fused, revised = fuse(recogniser, clean, bad, spoiled.spoken, bar)
    paper = see_everything(recogniser, clean, bar)

    dialogue_of = _dialogue_numbers(corpora.test)
    jobs: list[tuple[Kind, str, Bank, list[Logits], Groups]] = [
        ("text", "test", words, [words.logits], dialogue_of),
        ("text", "dev", dev, [dev.logits], _dialogue_numbers(corpora.dev)),
        ("text", "spoiled", bad_words, [bad_words.logits], dialogue_of),
        ("audio", "test", voices, [voices.logits], None),
        ("video", "test", faces, [faces.logits], None),
        *(("fused", name, words, runs, dialogue_of) for name, runs in fused.items()),
        *(("revised", name, words, runs, dialogue_of) for name, runs in revised.items()),
        *(("paper", name, words, runs, dialogue_of) for name, runs in paper.items()),
    ]
    scored: dict[str, dict[str, Scores]] = {}
    for kind, name, bank, runs, groups in track(bar, jobs, "scores"):
        # The paper mode has no temperature of its own: its probabilities are as they come.
        answers = [
            metrics.softmax(run)
            if kind == "paper"
            else recogniser.calibrate("fused" if kind == "revised" else kind, run).astype(float)
            for run in runs
        ]
        scored.setdefault(kind, {})[name] = score(bank.labels, answers, rounds, groups)

    differences = compare(words, bad_words, fused, revised, paper, rounds, dialogue_of)
    kinds = (*MODALITIES, "fused", "revised", "paper")
    return {
        **{kind: _plain(scored.get(kind, {})) for kind in kinds},
        "changed": {
            name: changed(words.labels, fused[causal_of(name)], runs)
            for name, runs in revised.items()
        },
        "actors": recall_per_actor(voices),
        "pairing": {
            "test_exchange": asdict(exchange),
            "label_shares": pairing.shares,
            "seeds": pairing.seeds,
            "borrowed_alone_weighted_f1": borrowed_alone(
                clean[0], split, shares, corpora.face_shares
            ),
        },
        "spoiling": {
            "asked_for": WORD_ERRORS,
            "word_error_rate": spoiled.word_error_rate,
            "utterances_without_words": int((~spoiled.spoken).sum()),
            "seed": SPOILING_SEED,
        },
        "differences": _plain(differences),
    }


def said(dialogues: list[Dialogue]) -> list[list[Turn]]:
    """The words as they were written down."""
    return [[Turn(u.speaker, u.text) for u in dialogue] for dialogue in dialogues]


def spoil(corpora: Corpora) -> Spoiled:
    """Give the test's words the errors that training knows, from the training's vocabulary."""
    errors = RecogniserErrors.of([u.text for dialogue in corpora.train for u in dialogue])
    random = Random(SPOILING_SEED)
    turns = [
        [Turn(u.speaker, errors.spoil(u.text, WORD_ERRORS, random)) for u in dialogue]
        for dialogue in corpora.test
    ]
    heard = [turn.text for dialogue in turns for turn in dialogue]
    meant = [errors.spoil(u.text, 0.0, random) for dialogue in corpora.test for u in dialogue]
    with_words = [(m, h) for m, h in zip(meant, heard, strict=True) if m]
    rate = jiwer.wer([m for m, _ in with_words], [h for _, h in with_words])
    return Spoiled(turns, np.array([bool(text) for text in heard]), float(rate))


def fuse(
    recogniser: Recogniser,
    clean: list[list[Paired]],
    spoiled: list[list[Paired]],
    spoken: NDArray[np.bool_],
    bar: Progress,
) -> tuple[dict[str, list[Logits]], dict[str, list[Logits]]]:
    """Stream every combination of modalities, once per pairing; look again where all are there.

    As in the runtime, an utterance of which the errors left no words has no text.
    """
    conditions: dict[str, tuple[list[list[Paired]], Presence]] = {}
    for keep in product((True, False), repeat=len(MODALITIES)):
        name = "+".join(m for m, kept in zip(MODALITIES, keep, strict=True) if kept)
        present = np.tile(keep, (len(spoken), 1))
        if name:
            conditions[name] = (clean, present)
        if name in (EVERYTHING, WORDS):
            heard = present.copy()
            heard[:, MODALITIES.index("text")] = spoken
            conditions[SPOILED + name] = (spoiled, heard)
    runs: dict[str, list[Logits]] = {name: [] for name in conditions}
    jobs = [(n, one, there) for n, (paired, there) in conditions.items() for one in paired]
    revised: dict[str, list[Logits]] = {}
    for name, dialogues, present in track(bar, jobs, "fused"):
        right = recogniser.right_context if name.endswith(EVERYTHING) else 0
        causal, *again = stream(recogniser, dialogues, present, right)
        runs[name].append(causal)
        for ahead, logits in enumerate(again, start=1):
            revised.setdefault(f"{name}{LATER}{ahead}", []).append(logits)
    return runs, revised


def causal_of(revised: str) -> str:
    """The causal condition of one that was looked at again."""
    return revised.partition(LATER)[0]


def difference_of(revised: str) -> str:
    """What the difference is called between a second look and the first."""
    what = f"looked at again after {revised.partition(LATER)[2]} - fused"
    return f"spoiled: {what}" if revised.startswith(SPOILED) else what


def changed(labels: NDArray[np.int64], causal: list[Logits], again: list[Logits]) -> Results:
    """Shares of utterances whose label a second look changes, to the right one and from it."""
    before, after = (np.stack([run.argmax(axis=1) for run in runs]) for runs in (causal, again))
    moved = before != after
    return {
        "share": float(moved.mean()),
        "to_right": float((moved & (after == labels)).mean()),
        "from_right": float((moved & (before == labels)).mean()),
    }


def see_everything(
    recogniser: Recogniser, clean: list[list[Paired]], bar: Progress
) -> dict[str, list[Logits]]:
    """The paper mode, if the bundle has its graph: everything, and the words alone."""
    if "paper" not in recogniser.bundle.manifest.graphs:
        return {}
    check_golden(recogniser.bundle, recogniser.engine, graphs=["paper"])
    count = sum(len(dialogue.labels) for dialogue in clean[0])
    kept: dict[str, Presence] = {
        EVERYTHING: np.tile((True, True, True), (count, 1)),
        WORDS: np.tile((True, False, False), (count, 1)),
    }
    return {
        name: [whole_dialogues(recogniser, one, kept[name]) for one in clean]
        for name in track(bar, list(kept), "paper mode")
    }


def compare(
    words: Bank,
    spoiled: Bank,
    fused: dict[str, list[Logits]],
    revised: dict[str, list[Logits]],
    paper: dict[str, list[Logits]],
    rounds: int,
    groups: NDArray[np.int64],
) -> dict[str, Measured]:
    """Differences of W-F1 between conditions, paired by dialogue."""
    pairs = {
        "fused - text alone": (fused[EVERYTHING], [words.logits]),
        "fused - words through the fusion": (fused[EVERYTHING], fused[WORDS]),
        "words through the fusion - text alone": (fused[WORDS], [words.logits]),
        "spoiled: fused - text alone": (fused[SPOILED + EVERYTHING], [spoiled.logits]),
        "spoiled: fused - words through the fusion": (
            fused[SPOILED + EVERYTHING],
            fused[SPOILED + WORDS],
        ),
    }
    for name, runs in revised.items():
        pairs[difference_of(name)] = (runs, fused[causal_of(name)])
    if paper:
        pairs["paper mode - fused"] = (paper[EVERYTHING], fused[EVERYTHING])
        pairs["paper mode - fused, words only"] = (paper[WORDS], fused[WORDS])
    return {
        name: measured(
            weighted_f1,
            words.labels,
            [run.argmax(axis=1) for run in those],
            rounds,
            groups,
            minus=[run.argmax(axis=1) for run in others],
        )
        for name, (those, others) in pairs.items()
    }


def recall_per_actor(voices: Bank) -> dict[str, float]:
    """UAR of each actor's clips alone: shows how much a figure from few actors swings."""
    return {
        str(actor): metrics.uar(
            voices.labels[voices.owner == actor],
            voices.logits[voices.owner == actor].argmax(axis=1),
        )
        for actor in voices.owners
    }


def _plain(named: dict[str, Scores] | dict[str, Measured]) -> Results:
    return {name: asdict(one) for name, one in named.items()}


def _dialogue_numbers(dialogues: list[Dialogue]) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(dialogues)), [len(dialogue) for dialogue in dialogues])
