"""Recipe: the text student again, by several seeds, from labels that others have softened.

Many of MELD's labels could as well be others. The students of the stage `others` have each not
seen a part of the dialogues; what they expect there, mixed with the label, says so. (Distillation
from students that are cross-fitted: Dao et al. 2021.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from magtkd_rt.errors import InputError
from magtkd_rt.train.banks import cached, text_bank
from magtkd_rt.train.corpora.starter import read_meld
from magtkd_rt.train.files import write_json
from magtkd_rt.train.loop import bf16_is_faster, digest
from magtkd_rt.train.metrics import bootstrap_interval, softmax
from magtkd_rt.train.scoring import confusion_of, f1_per_class, weighted_f1
from magtkd_rt.train.text import (
    PARTS,
    TextRecipe,
    features_of,
    load_text,
    prompt_encoder,
    prompts_of,
    train_text,
)

SEEDS = (11, 12, 13)
RECIPE = TextRecipe(batch=32, learning_rate=1.4e-4, average=0.996, max_tokens=64)
"""Prompts of 64 tokens: the student of 96 says as much of dev at 64, for a quarter less time."""


def train_words(
    data: Path, out: Path, seeds: Sequence[int] = SEEDS, test: bool = False
) -> dict[str, Any]:
    """Train a text student per seed into `out / "again-SEED"` and judge all of them.

    Args:
        data: folder of the corpora.
        out: the OUT of `magtkd train starter`, whose stages `text` and `others` have been run.
        seeds: one student each; those that are finished are only judged.
        test: look at the test split as well: once, after everything is chosen.

    Returns:
        what is written to `out / "words.json"`.

    Raises:
        InputError: the stage `others` has not been run.
    """
    expected = expected_labels(data, out)
    recipes = [replace(RECIPE, seed=seed) for seed in seeds]
    students = [train_text(data, out, recipe, expected=expected) for recipe in recipes]
    results: dict[str, Any] = {"recipe": asdict(recipes[0]), "seeds": list(seeds)}
    for split in ("dev", "test") if test else ("dev",):
        dialogues = read_meld(data, split)
        encoder = prompt_encoder(RECIPE.max_tokens)
        prompts = [prompt for dialogue in dialogues for prompt in prompts_of(dialogue, encoder)]
        logits = [features_of(student, prompts, bf16_is_faster())[1] for student in students]
        labels = np.array([u.label for dialogue in dialogues for u in dialogue])
        owner = np.repeat(np.arange(len(dialogues)), [len(dialogue) for dialogue in dialogues])
        results[split] = judged(logits, labels, owner)
        Console().log(f"text, {len(seeds)} seeds, {split}: {results[split]}")
    write_json(out / "words.json", results)
    return results


def expected_labels(data: Path, out: Path) -> NDArray[np.float32]:
    """What the students of the stage `others` expect of MELD's training split, (n, classes).

    Each utterance is judged by the student that has not seen its dialogue.
    """
    if not all((out / f"text-without-{part}" / "best.pt").exists() for part in range(PARTS)):
        raise InputError(
            f"{out} holds no students that leave a part out",
            remedy=f"magtkd train starter --out {out} --stages text --stages others",
        )
    others = [load_text(out, f"text-without-{part}") for part in range(PARTS)]
    bank = cached(
        out / "encoded" / f"text-train-0.0-{digest(*others)}.npz",
        partial(text_bank, others, prompt_encoder(), data, "train", 0.0, 0),
    )
    return softmax(bank.logits).astype(np.float32)


def judged(
    logits: Sequence[NDArray[np.float32]], labels: NDArray[np.int64], owner: NDArray[np.int64]
) -> dict[str, Any]:
    """Figures of each seed, their mean, and the mean's interval over dialogues.

    Args:
        logits: (n, classes) of each seed.
        labels: (n,).
        owner: (n,), which dialogue an utterance is of.
    """
    said = [seed.argmax(1) for seed in logits]

    def mean(rows: NDArray[np.int64]) -> float:
        return float(np.mean([weighted_f1(confusion_of(labels[rows], one[rows])) for one in said]))

    everything = np.arange(len(labels))
    counts = [confusion_of(labels, one) for one in said]
    return {
        "weighted_f1": [weighted_f1(one) for one in counts],
        "macro_f1": [float(f1_per_class(one).mean()) for one in counts],
        "negative_log_likelihood": [
            float(-np.log(softmax(seed)[everything, labels]).mean()) for seed in logits
        ],
        "mean_weighted_f1": mean(everything),
        "interval": bootstrap_interval(mean, len(labels), groups=owner),
    }
