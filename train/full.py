"""Recipe: from a corpus to a full-size bundle: stage 1, stage 2 on its features, the bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import numpy as np
from accelerate import PartialState
from rich.console import Console
from torch import Tensor, nn

from magtkd_rt.bundle.manifest import Corpus
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.errors import InputError
from magtkd_rt.train.stage1.export import Fused, export_run, read_record
from magtkd_rt.train.stage1.recipe import FEATURES, train_stage1
from magtkd_rt.train.stage1.settings import FuseConfig, read_settings
from magtkd_rt.train.stage1.voices import voices_of
from magtkd_rt.train.stage2.features import read_features
from magtkd_rt.train.stage2.fuse import FuseSettings, dev_score, fuse, load_model
from magtkd_rt.train.stage2.model import FARTHEST, Adapter
from magtkd_rt.train.stage2.training import Stage2Recipe, Trained

FUSION: Final = "fusion"
BUNDLE: Final = "bundle"
LICENCES: Final = {
    "MELD": "GPL-3.0 repository; dialogue of a TV series, research use",
    "IEMOCAP": "the release agreement of IEMOCAP; research use",
}


def train_all(config: Path, data: Path, out: Path, voices: bool = True) -> None:
    """Every stage: text, audio, video, distil, fuse, and where the live runtime can use it, export.

    Args:
        config: a TOML file, see `configs/`.
        data: the corpus.
        out: everything goes there; the bundle into its folder `bundle`.
        voices: see `export`.

    Raises:
        DataError: the corpus cannot be used.
        InputError: the configuration, a checkpoint or the folder cannot be used.
    """
    settings = read_settings(config)
    train_stage1(config, data, out)
    if not PartialState().is_main_process:  # what follows is small
        return
    fuse_run(out, settings.fuse)
    if settings.video.view == "live" and settings.fuse.mode != "paper":
        bundle = export(out, out / BUNDLE, voices)
        Console(markup=False, log_path=False).log(f"the bundle is in {bundle.directory}")
    else:
        Console(markup=False, log_path=False).log(
            'no bundle: for one, [video] view = "live" and a streaming fusion are needed'
        )


def fuse_run(run: Path, chosen: FuseConfig) -> None:
    """Train and judge MAGT on the features of a run; goes on where it was interrupted."""
    recipe = Stage2Recipe(
        size=chosen.size,
        feature_size=chosen.size,
        right=chosen.right,
        window=max(chosen.window, chosen.right + 2),
        epochs=chosen.epochs,
        batch=chosen.batch,
        learning_rate=chosen.learning_rate,
        dropout=chosen.dropout,
        input_dropout=chosen.input_dropout,
        absent=chosen.absent,
        average=0.98,
    )
    settings = FuseSettings(
        chosen.mode, chosen.seeds, chosen.imbalance, chosen.noise, chosen.alone, chosen.rounds
    )
    fuse(run / FEATURES, run / FUSION, recipe, settings)


def export(run: Path, target: Path, voices: bool = True) -> Bundle:
    """The run's best streaming MAGT by dev, and its encoders, as a bundle.

    Args:
        run: the folder of a `magtkd train all`.
        target: the bundle's directory.
        voices: take the starter's voice graph along, which tells speakers apart.

    Raises:
        InputError: a stage has not been run, or its pictures are not those of the live runtime.
        EngineError: a graph does not say what its module says.
    """
    read_record(run)
    seeds = sorted((run / FUSION / "runs" / "streaming" / "everything").glob("seed-*/model.json"))
    if not seeds:
        raise InputError(
            f"no streaming fusion in {run}", remedy="run `magtkd train all`, with mode = streaming"
        )
    best = max((path.parent for path in seeds), key=dev_score)
    model, temperature = load_model(best)
    dev = read_features(run / FEATURES)["dev"]
    sure = Trained(model, temperature, 0.0, 0).probabilities(dev).max(axis=1)
    text, audio, video = (Adapted(model.adapter, index).eval() for index in range(3))
    fused = Fused(
        model.magt,  # type: ignore[arg-type]
        (text, audio, video),
        temperature,
        round(float(np.percentile(sure, 10)), 3),
    )
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    name = record["corpus"]["name"]
    corpus = Corpus(
        name=name,
        licence=LICENCES.get(name, "that of its makers"),
        use="train, dev for selection, test for the report",
    )
    licence = "research use only: trained on data for research, see the model card"
    return export_run(
        run,
        fused,
        target,
        licence=licence,
        corpus=corpus,
        voices=voices_of() if voices else None,
    )


class Adapted(nn.Module):
    """Stage 2's adapter for one modality, without noise and dropout.

    Args:
        adapter: of all three.
        index: which one.
    """

    def __init__(self, adapter: Adapter, index: int) -> None:
        super().__init__()
        self.project = adapter.project[index]
        self.register_buffer("mean", adapter.get_buffer(f"mean_{index}").clone())
        self.register_buffer("scale", adapter.get_buffer(f"scale_{index}").clone())

    def forward(self, feature: Tensor) -> Tensor:
        """(b, d of stage 1) -> (b, feature size of MAGT)."""
        standard = (feature - self.get_buffer("mean")) / self.get_buffer("scale")
        adapted: Tensor = self.project(standard.clamp(-FARTHEST, FARTHEST))
        return adapted
