"""MELD's dev split as given embeddings: cross-validated by dialogue.

The encoders have learned from MELD's train split, not from this one, so nothing is spoiled. Each
fold's model is trained and chosen on the other dialogues; the fold's own are answered once.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from rich.progress import Progress

from magtkd_rt.train.stage2 import baselines
from magtkd_rt.train.stage2.features import FeatureSet, folds
from magtkd_rt.train.stage2.given import read_meld_embeddings
from magtkd_rt.train.stage2.judge import Results, System, describe, goal
from magtkd_rt.train.stage2.seeds import train_seeds
from magtkd_rt.train.stage2.training import Stage2Recipe

FOLDS: Final = 5
LOGISTIC: Final = 0.584
"""W-F1 of logistic regression on the words, as the documentation of the data gives it."""
TEXT = (True, False, False)
RECIPE: Final = Stage2Recipe(
    epochs=30, batch=8, learning_rate=1e-3, average=0.98, size=32, feature_size=32
)


def run_meld(data: Path, out: Path, seeds: int, rounds: int, bar: Progress) -> Results:
    """Train all folds of all systems, then score what they say of the dialogues held out."""
    given = read_meld_embeddings(data)
    pairs = folds(given, FOLDS, seed=0)
    told: list[dict[str, System]] = []
    for number, (rest, held) in enumerate(pairs):
        recipes = {
            "text + audio, causal": (RECIPE, (True, True, False)),
            "text alone, causal": (RECIPE, TEXT),
            "text + audio, paper mode": (replace(RECIPE, mode="paper"), (True, True, False)),
        }
        answers: dict[str, System] = {
            "logistic regression, text": baselines.logistic(rest, held, TEXT),
            "logistic regression, text + audio": baselines.logistic(rest, held),
        }
        for name, (recipe, keep) in recipes.items():
            folder = out / f"meld-{name.replace(' + ', '-').replace(', ', '-').replace(' ', '-')}"
            fitted = train_seeds(
                rest.only(keep), None, folder / f"fold-{number + 1}", recipe, seeds, bar
            )
            answers |= fitted.looks(held.only(keep), name)
            if name == "text + audio, causal":
                answers |= fitted.missing(held, "causal")
        told.append(answers)
    systems = {name: _joined(given, pairs, told, name) for name in told[0]}
    missing = {name: systems.pop(name) for name in list(systems) if name.startswith("causal: ")}
    best = "text + audio, causal"
    compared = [
        (best, "logistic regression, text"),
        (best, "logistic regression, text + audio"),
        (best, "text alone, causal"),
        (f"{best}, R = 2", best),
        ("text + audio, paper mode", best),
    ]
    labels = (given.labels, given.classes, given.dialogue)
    results = describe(
        "MELD dev, given embeddings, five folds by dialogue", "weighted_f1", *labels, systems,
        compared, rounds,
    )  # fmt: skip
    results["parts"] = [
        describe("MELD dev, modalities missing", "weighted_f1", *labels, missing, [], rounds)
    ]
    results["settings"] = {"recipe": repr(RECIPE)}
    scored = results["systems"][best]["weighted_f1"]
    results["goals"] = [
        goal(
            "MELD embeddings, causal: W-F1 (logistic regression on text + 3 points)",
            scored["value"],
            LOGISTIC + 0.03,
            [scored["low"], scored["high"]],
        )
    ]
    return results


def _joined(
    given: FeatureSet,
    pairs: list[tuple[FeatureSet, FeatureSet]],
    told: list[dict[str, System]],
    name: str,
) -> System:
    """A system's answers of all folds, in the order of the corpus."""
    parts = [answers[name] for answers in told]
    runs = []
    for run in range(len(parts[0].runs)):
        joined = np.zeros((len(given), len(given.classes)))
        for (_, held), part in zip(pairs, parts, strict=True):
            joined[np.isin(given.dialogue, held.dialogue)] = part.runs[run]
        runs.append(joined)
    return System(runs, parts[0].sees, parts[0].note)
