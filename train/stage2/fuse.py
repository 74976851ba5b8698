"""`magtkd train fuse`: MAGT from a feature file, several seeds, judged on its test split."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import torch

from magtkd_rt.errors import DataError
from magtkd_rt.train.files import write_json
from magtkd_rt.train.loop import progress_bar, save_atomically
from magtkd_rt.train.stage2.evaluate import make_folder, publish
from magtkd_rt.train.stage2.features import FeatureSet, read_features
from magtkd_rt.train.stage2.judge import Results, System, describe
from magtkd_rt.train.stage2.model import Stage2
from magtkd_rt.train.stage2.reliability import noise_like
from magtkd_rt.train.stage2.seeds import choose_imbalance, plain, train_seeds
from magtkd_rt.train.stage2.training import Imbalance, Stage2Recipe, Trained, new_stage2

Modes = Literal["streaming", "paper", "both"]
MODEL: Final = "model.pt"
"""Weights of a seed, in its folder beside `model.json`, which says how to build it."""


@dataclass(frozen=True)
class FuseSettings:
    """What `magtkd train fuse` may be told.

    Attributes:
        mode: streaming, paper or both.
        seeds: how many.
        imbalance: how rare labels are treated, or `auto`: dev chooses, with one seed.
        noise: how much text, audio and video are spoiled in training; None finds it: where the
            file has a dev split, as much as makes training as hard as dev.
        alone: also train on each modality alone, to see what the fusion adds.
        rounds: of bootstrap and permutation.
    """

    mode: Modes = "both"
    seeds: int = 5
    imbalance: Imbalance | Literal["auto"] = "auto"
    noise: tuple[float, float, float] | None = None
    alone: bool = True
    rounds: int = 1000


def fuse(
    features: Path, out: Path, recipe: Stage2Recipe, settings: FuseSettings | None = None
) -> Results:
    """Train MAGT on a feature file, or go on where an earlier run stopped; judge it on test.

    Args:
        features: see `features.py`; without a dev split each seed holds out training dialogues.
        out: gets results, pages and plots, and under `runs` each seed's model.
        recipe: settings of the training.
        settings: what is trained and judged.

    Returns:
        what `results.json` holds.

    Raises:
        DataError: the file is missing or not as it should be.
        InputError: `out` cannot be made.
    """
    settings = settings or FuseSettings()
    splits = read_features(features)
    train, dev, test = splits["train"], splits.get("dev"), splits["test"]
    make_folder(out)
    began = time.monotonic()
    noise = settings.noise
    if noise is None:
        noise = noise_like(train, dev) if dev else (0.0, 0.0, 0.0)
    recipe = replace(recipe, noise=noise, spoil_dev=dev is None)
    modes: Sequence[Any] = ("streaming", "paper") if settings.mode == "both" else (settings.mode,)
    every = plain(train.modalities)
    systems: dict[str, System] = {}
    missing: dict[str, System] = {}
    compared: list[tuple[str, str]] = []
    told: dict[str, Any] = {}
    with progress_bar() as bar:
        for mode in modes:
            chosen = replace(recipe, mode=mode)
            runs = out / "runs" / mode
            if settings.imbalance == "auto":
                chosen, scores = choose_imbalance(train, dev, runs / "imbalance", chosen, bar)
                told[f"imbalance, {mode}"] = f"{chosen.imbalance} of {scores}"
            else:
                chosen = replace(chosen, imbalance=settings.imbalance)
            told[f"recipe, {mode}"] = repr(chosen)
            how = "causal" if mode == "streaming" else "paper mode"
            fitted = train_seeds(train, dev, runs / "everything", chosen, settings.seeds, bar)
            for number, one in enumerate(fitted.trained, start=1):
                save_model(one, chosen, train, runs / "everything" / f"seed-{number}")
            systems |= fitted.looks(test, f"{every}, {how}")
            missing |= fitted.missing(test, how)
            if not settings.alone or sum(train.modalities) < 2:
                continue
            for index, there in enumerate(train.modalities):
                if not there:
                    continue
                keep = (index == 0, index == 1, index == 2)
                seeded = train_seeds(
                    train.only(keep),
                    dev.only(keep) if dev else None,
                    runs / plain(keep),
                    chosen,
                    settings.seeds,
                    bar,
                )
                name = f"{plain(keep)} alone, {how}"
                systems[name] = seeded.answer(test.only(keep))
                compared.append((f"{every}, {how}", name))
    if len(modes) == 2:
        compared.append((f"{every}, causal", f"{every}, paper mode"))
    labels = (test.labels, test.classes, test.dialogue)
    name = f"{features.name}, test"
    results = describe(name, "weighted_f1", *labels, systems, compared, settings.rounds)
    if missing:
        results["parts"] = [
            describe(
                f"{name}, modalities missing", "weighted_f1", *labels, missing, [], settings.rounds
            )
        ]
    results["settings"] = told
    return publish(f"MAGT on {features.name}", [results], settings.rounds, began, out)


def save_model(trained: Trained, recipe: Stage2Recipe, train: FeatureSet, folder: Path) -> None:
    """Write a finished model, as :func:`load_model` reads it."""
    save_atomically(trained.model.state_dict(), folder / MODEL)
    described = {
        "recipe": asdict(recipe),
        "sizes": train.sizes,
        "classes": train.classes,
        "temperature": trained.temperature,
        "dev_score": trained.dev_score,
        "epoch": trained.epoch,
    }
    write_json(folder / "model.json", described)


def dev_score(folder: Path) -> float:
    """How good dev says that the model in a folder is; -1 where it does not tell."""
    try:
        described = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        return float(described["dev_score"])
    except (OSError, ValueError, KeyError, TypeError):
        return -1.0


def load_model(folder: Path) -> tuple[Stage2, float]:
    """A model that :func:`save_model` wrote, and its temperature.

    Raises:
        DataError: it is missing or damaged.
    """
    try:
        described = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        settings = described["recipe"]
        tuples = {name: tuple(settings[name]) for name in ("noise", "principal")}
        recipe = Stage2Recipe(**settings | tuples)
        model = new_stage2(described["sizes"], len(described["classes"]), recipe)
        model.load_state_dict(torch.load(folder / MODEL, weights_only=True))
        return model.eval(), float(described["temperature"])
    except Exception as error:  # what a damaged file raises in torch.load is anything
        raise DataError(
            f"no usable model in {folder} ({error})", remedy="train one with `magtkd train fuse`"
        ) from error
