"""Several seeds of one recipe, and every way to ask what they trained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Final

from rich.progress import Progress

from magtkd_rt.labels import MODALITIES
from magtkd_rt.train.stage2.features import FeatureSet, hold_out
from magtkd_rt.train.stage2.judge import EVERYTHING, PAST, System, right_context
from magtkd_rt.train.stage2.training import IMBALANCE, Stage2Recipe, Trained, train_stage2

Keep = tuple[bool, bool, bool]
ALL: Final[Keep] = (True, True, True)


@dataclass(frozen=True)
class Seeded:
    """One recipe, trained with several seeds."""

    recipe: Stage2Recipe
    trained: list[Trained]

    def answer(self, given: FeatureSet, keep: Keep = ALL, ahead: int = 0) -> System:
        """What all seeds say of `given`."""
        runs = [one.probabilities(given, keep, ahead) for one in self.trained]
        if self.recipe.mode == "paper":
            return System(runs, EVERYTHING)
        return System(runs, right_context(ahead) if ahead else PAST)

    def looks(self, given: FeatureSet, name: str) -> dict[str, System]:
        """At once, and, if it can, after each later utterance up to its right context."""
        systems = {name: self.answer(given)}
        if self.recipe.mode == "streaming" and self.recipe.looked_again:
            for ahead in range(1, self.recipe.right + 1):
                systems[f"{name}, R = {ahead}"] = self.answer(given, ahead=ahead)
        return systems

    def missing(self, given: FeatureSet, name: str) -> dict[str, System]:
        """Every combination of the modalities that occur, but all of them."""
        return {
            f"{name}: {plain(keep)}": self.answer(given, keep)
            for keep in combinations(given.modalities)
            if sum(keep) < sum(given.modalities)
        }


def combinations(there: tuple[bool, ...]) -> list[Keep]:
    """Every non-empty choice of the modalities that are there, fullest first."""
    choices = [
        (text, audio, video)
        for text, audio, video in product((True, False), repeat=3)
        if any((text, audio, video))
        and all(a or not b for a, b in zip(there, (text, audio, video), strict=True))
    ]
    return sorted(choices, key=lambda keep: -sum(keep))


def plain(keep: tuple[bool, ...]) -> str:
    """`text + audio`."""
    return " + ".join(name for name, there in zip(MODALITIES, keep, strict=True) if there)


def train_seeds(
    train: FeatureSet,
    dev: FeatureSet | None,
    out: Path,
    recipe: Stage2Recipe,
    seeds: int,
    bar: Progress | None = None,
) -> Seeded:
    """Train with the seeds 1 to `seeds`; each in a folder of its own under `out`.

    Without a dev split each seed holds out other training dialogues.
    """
    trained = []
    for seed in range(1, seeds + 1):
        learned, chosen_by = (train, dev) if dev else hold_out(train, recipe.held_out, seed)
        trained.append(
            train_stage2(learned, chosen_by, out / f"seed-{seed}", replace(recipe, seed=seed), bar)
        )
    return Seeded(recipe, trained)


def choose_imbalance(
    train: FeatureSet,
    dev: FeatureSet | None,
    out: Path,
    recipe: Stage2Recipe,
    bar: Progress | None = None,
) -> tuple[Stage2Recipe, dict[str, float]]:
    """The way to treat rare labels that dev likes best, with one seed; and its W-F1 for each."""
    scores: dict[str, float] = {}
    for imbalance in IMBALANCE:
        option = replace(recipe, imbalance=imbalance)
        seeded = train_seeds(train, dev, out / imbalance, option, 1, bar)
        scores[imbalance] = seeded.trained[0].dev_score
    best = max(IMBALANCE, key=lambda name: scores[name])
    return replace(recipe, imbalance=best), scores
