"""The settings of a full-size run, as `configs/*.toml` hold them. Unknown names are refused."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from magtkd_rt.errors import InputError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RunSettings(_Strict):
    """What all stages share."""

    seed: int = 11
    precision: Literal["auto", "no", "bf16", "fp16"] = "auto"
    """`auto` is bf16 on a GPU that has it, else no mixed precision."""
    workers: Annotated[int, Field(ge=1)] = 8
    """Media decoded side by side, before training."""
    dev_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    """Of IEMOCAP's training dialogues."""
    size: Annotated[int, Field(ge=1)] = 768
    """d, the size of every feature vector."""


class Learning(_Strict):
    """How one encoder learns."""

    epochs: Annotated[int, Field(ge=1)] = 10
    batch: Annotated[int, Field(ge=1)] = 4
    """Utterances to one step of the optimiser, over all processes."""
    accumulate: Annotated[int, Field(ge=1)] = 1
    """Parts that a batch is computed in, one after the other, to save memory."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-5
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warm_up: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the steps until the learning rate is at its highest; then it falls to zero."""
    clip: Annotated[float, Field(gt=0)] = 1.0
    """The gradient's greatest norm."""
    save_every: Annotated[int, Field(ge=1)] = 1000
    """Steps between two checkpoints inside an epoch."""


class TextSettings(Learning):
    """The teacher."""

    model: str = "roberta-large"
    max_tokens: Annotated[int, Field(ge=16)] = 512


class AudioSettings(Learning):
    """The voice student."""

    model: str = "facebook/data2vec-audio-base-960h"
    longest: Annotated[float, Field(gt=0, le=60)] = 25.0
    """Seconds of an utterance that are heard."""
    frozen_convolutions: bool = True
    """Whether the first layers, on the waveform, keep their pretrained weights."""


class VideoSettings(Learning):
    """The face student."""

    model: str = "facebook/timesformer-base-finetuned-k400"
    frames: Annotated[int, Field(ge=1, le=64)] = 8
    view: Literal["whole", "face", "live"] = "whole"
    """Whole pictures, the largest face of each, or `live`: that face as the live runtime gives it,
    grey and 48 pixels wide, which a bundle needs."""


class DistilSettings(_Strict):
    """Weights of the two losses that the teacher adds; how the students learn is theirs."""

    logits: Annotated[float, Field(ge=0)] = 0.1
    features: Annotated[float, Field(ge=0)] = 1.0


class FuseConfig(_Strict):
    """Stage 2: what `magtkd train fuse` takes as options, with the same defaults."""

    mode: Literal["streaming", "paper", "both"] = "both"
    seeds: Annotated[int, Field(ge=1)] = 5
    imbalance: Literal["auto", "none", "weighted", "focal", "adjusted"] = "auto"
    right: Annotated[int, Field(ge=1, le=8)] = 2
    window: Annotated[int, Field(ge=2, le=512)] = 24
    size: Annotated[int, Field(ge=8, multiple_of=8)] = 64
    epochs: Annotated[int, Field(ge=1)] = 30
    batch: Annotated[int, Field(ge=1)] = 16
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    dropout: Annotated[float, Field(ge=0, le=0.9)] = 0.4
    input_dropout: Annotated[float, Field(ge=0, le=0.9)] = 0.2
    absent: Annotated[float, Field(ge=0, le=0.9)] = 0.15
    noise: tuple[float, float, float] | None = None
    alone: bool = True
    rounds: Annotated[int, Field(ge=1)] = 1000


class Settings(_Strict):
    """A whole configuration."""

    run: RunSettings = RunSettings()
    text: TextSettings = TextSettings()
    audio: AudioSettings = AudioSettings()
    video: VideoSettings = VideoSettings()
    distil: DistilSettings = DistilSettings()
    fuse: FuseConfig = FuseConfig()


def read_settings(path: Path) -> Settings:
    """Read a configuration.

    Raises:
        InputError: it cannot be read, or a name or value is wrong.
    """
    remedy = f"see configs/meld.toml and docs/training.md, and mend {path}"
    try:
        with path.open("rb") as file:
            return Settings.model_validate(tomllib.load(file))
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror})", remedy="name one with --config FILE"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no TOML ({error})", remedy=remedy) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"{path}: {where}: {first['msg']}", remedy=remedy) from error
