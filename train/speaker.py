"""The speaker encoder, untrained here: its weights come from a package that carries them."""

from __future__ import annotations

import importlib.util
import pickle
from pathlib import Path

import torch
from torch import Tensor

from magtkd_rt.errors import DataError, ExtraMissing
from magtkd_rt.models.speaker import SAMPLES, SpeakerEncoder

ORIGIN = "Resemblyzer 0.1.4, GE2E"
LICENCE = "Apache-2.0"
_REMEDY = "pip install --no-deps resemblyzer==0.1.4"


def weights_file() -> Path:
    """Where the package Resemblyzer keeps its weights; it is not imported.

    Raises:
        ExtraMissing: it is not installed.
    """
    spec = importlib.util.find_spec("resemblyzer")
    if spec is None or not spec.submodule_search_locations:
        raise ExtraMissing("resemblyzer", remedy=_REMEDY)
    return Path(spec.submodule_search_locations[0]) / "pretrained.pt"


def lift_speaker(file: Path | None = None) -> SpeakerEncoder:
    """The speaker encoder with Resemblyzer's weights.

    Args:
        file: its `pretrained.pt`; by default that of the installed package.

    Raises:
        ExtraMissing: the package is not installed.
        DataError: the file cannot be read, or holds another network.
    """
    file = weights_file() if file is None else file
    encoder = SpeakerEncoder()
    wanted = encoder.state_dict()
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)["model_state"]
        # What else is there, a scale and a bias of the similarity, served its training only.
        encoder.load_state_dict({name: found[name] for name in wanted})
    except (OSError, EOFError, KeyError, TypeError, RuntimeError, pickle.UnpicklingError) as error:
        raise DataError(
            f"{file} does not hold Resemblyzer's voice encoder ({type(error).__name__})",
            remedy=f"{_REMEDY} brings it",
        ) from error
    return encoder.eval()


def speaker_cases() -> list[dict[str, Tensor]]:
    """Made sound: a buzz with the resonances of a vowel and noise beside it, near silence."""
    random = torch.Generator().manual_seed(6)
    time = torch.arange(SAMPLES) / 16_000
    harmonics = torch.arange(1, 40)[:, None] * 120.0
    resonance = sum(1 / (1 + ((harmonics - at) / 90) ** 2) for at in (700, 1200, 2600))
    vowel = (resonance * torch.sin(2 * torch.pi * harmonics * time)).sum(dim=0)
    vowel = vowel / vowel.abs().max() * (0.5 + 0.5 * torch.sin(2 * torch.pi * 4 * time))
    noise = 0.1 * torch.randn(SAMPLES, generator=random)
    return [
        {"waveform": torch.stack([vowel, noise])},
        {"waveform": 1e-4 * noise.unsqueeze(0)},
    ]
