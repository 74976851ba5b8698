"""RAVDESS: action units of the face and statistics of the voice; actors 21 to 24 are test."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from rich.progress import Progress

from magtkd_rt.train.stage2 import baselines
from magtkd_rt.train.stage2.given import actors_of, read_ravdess_units
from magtkd_rt.train.stage2.judge import NOTHING, Results, System, describe, goal
from magtkd_rt.train.stage2.seeds import train_seeds
from magtkd_rt.train.stage2.training import Stage2Recipe

AUDIO, VIDEO = (False, True, False), (False, False, True)
BOTH = (False, True, True)
RECIPE: Final = Stage2Recipe(
    epochs=25,
    batch=128,
    learning_rate=2e-3,
    average=0.98,
    size=64,
    feature_size=64,
    no_words=0.0,
    looked_again=0.0,
    imbalance="none",
)


def run_ravdess(data: Path, out: Path, seeds: int, rounds: int, bar: Progress) -> Results:
    """Train voice alone, face alone and both; actors 19 and 20 choose, then 21 to 24 are asked."""
    splits = read_ravdess_units(data)
    systems: dict[str, System] = {}
    for name, keep in (("voice alone", AUDIO), ("action units alone", VIDEO), ("fused", BOTH)):
        train, dev, test = (splits[split].only(keep) for split in ("train", "dev", "test"))
        folder = out / f"ravdess-{name.replace(' ', '-')}"
        fitted = train_seeds(train, dev, folder, RECIPE, seeds, bar)
        answered = fitted.answer(test)
        systems[name] = System(answered.runs, NOTHING)
        systems[f"logistic regression, {name}"] = baselines.logistic(train, test, keep, 0.01)
        if keep == BOTH:
            missing = fitted.missing(test, "fused")
    test = splits["test"]
    labels = (test.labels, test.classes, np.arange(len(test)))
    compared = [("fused", "action units alone"), ("fused", "voice alone")]
    results = describe("RAVDESS, actors 21 to 24", "uar", *labels, systems, compared, rounds)
    results["parts"] = [
        describe("RAVDESS, modalities missing", "uar", *labels, missing, [], rounds)
    ]
    actors = actors_of(data, "test")
    results["actors"] = {
        name: {
            str(actor): float(
                np.mean([_uar(test.labels[actors == actor], run[actors == actor])
                         for run in system.labels])
            )
            for actor in np.unique(actors)
        }
        for name, system in systems.items()
    }  # fmt: skip
    results["settings"] = {"recipe": repr(RECIPE)}
    alone = max(
        ("voice alone", "action units alone"),
        key=lambda name: float(results["systems"][name]["uar"]["value"]),
    )
    gain = next(one for one in results["tests"] if one["second"] == alone)
    results["goals"] = [
        goal(
            f"RAVDESS, fused less {alone}: UAR",
            gain["value"],
            0.0,
            [gain["low"], gain["high"]],
            strictly=True,
        )
    ]
    return results


def _uar(labels: np.ndarray, predicted: np.ndarray) -> float:
    return float(np.mean([(predicted[labels == c] == c).mean() for c in np.unique(labels)]))
