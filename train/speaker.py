"""Recipe: the speaker encoder, a public network whose vectors are made comparable on RAVDESS."""

from __future__ import annotations

import importlib.util
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from magtkd_rt.core.media import SAMPLE_RATE
from magtkd_rt.errors import DataError, ExtraMissing
from magtkd_rt.models.identity import IdentityEncoder
from magtkd_rt.models.speaker import SAMPLES, SpeakerEncoder
from magtkd_rt.train.corpora.starter import read_ravdess, read_sound
from magtkd_rt.train.loop import save_atomically

Floats = NDArray[np.float32]

ORIGIN = "Resemblyzer 0.1.4, GE2E; vectors whitened on RAVDESS"
LICENCE = "Apache-2.0"
_REMEDY = "pip install --no-deps resemblyzer==0.1.4"

SHRINKAGE = 0.5
"""Share of the identity in the covariance within one voice: actors are few and act."""
SEED = 17


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
    """The speaker encoder with Resemblyzer's weights, its vectors as they are.

    Args:
        file: its `pretrained.pt`; by default that of the installed package.

    Raises:
        ExtraMissing: the package is not installed.
        DataError: the file cannot be read, or holds another network.
    """
    file = weights_file() if file is None else file
    encoder = SpeakerEncoder()
    own = encoder.state_dict()
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)["model_state"]
        # What else is there, a scale and a bias of the similarity, served its training only.
        lifted = {name: found[name] for name in own if name not in ("mean", "whiten")}
        encoder.load_state_dict(own | lifted)
    except (OSError, EOFError, KeyError, TypeError, RuntimeError, pickle.UnpicklingError) as error:
        raise DataError(
            f"{file} does not hold Resemblyzer's voice encoder ({type(error).__name__})",
            remedy=f"{_REMEDY} brings it",
        ) from error
    return encoder.eval()


def as_by_telephone(sound: Floats, random: np.random.Generator) -> Floats:
    """A telephone's band, 8 kHz and 8 bits on a logarithmic scale."""
    spectrum, hertz = np.fft.rfft(sound), np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE)
    spectrum[(hertz < random.uniform(150, 400)) | (hertz > random.uniform(3000, 3700))] = 0
    narrow = np.fft.irfft(spectrum, n=len(sound))
    peak = np.abs(narrow).max() + 1e-9
    bits = np.round(np.log1p(255 * np.abs(narrow) / peak) / np.log(256) * 127) / 127
    coarse: Floats = (np.sign(narrow) * (256**bits - 1) / 255 * peak).astype(np.float32)
    return coarse


def in_noise(sound: Floats, random: np.random.Generator) -> Floats:
    """White noise, or rather the rumble of a street, 8 to 25 dB under the voice."""
    noise = random.standard_normal(len(sound))
    if random.random() < 0.6:
        spectrum = np.fft.rfft(noise)
        hertz = np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE)
        noise = np.fft.irfft(spectrum / np.maximum(hertz, 50), n=len(sound))
    level = np.sqrt(np.mean(np.square(sound))) * 10 ** (-random.uniform(8, 25) / 20)
    noisy: Floats = (sound + noise * level / noise.std()).astype(np.float32)
    return noisy


def in_a_room(sound: Floats, random: np.random.Generator) -> Floats:
    """An echo of 0.1 to 0.3 s, and a microphone that prefers high or low tones."""
    length = int(SAMPLE_RATE * random.uniform(0.1, 0.3))
    echo = random.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
    echo /= np.sqrt(np.square(echo).sum())
    echo[0] = random.uniform(1, 3)
    heard = np.convolve(sound, echo)[: len(sound)]
    heard[1:] += random.uniform(-0.6, 0.6) * heard[:-1]
    return heard.astype(np.float32)


def read_voices(data: Path, split: str, seed: int = SEED) -> tuple[Floats, NDArray[np.int64]]:
    """A piece of each RAVDESS clip: as it is, by telephone, and in noise or in a room.

    Returns:
        Waveforms (n, SAMPLES) and the actor of each (n,).
    """

    def piece_of(sound: Floats, random: np.random.Generator) -> Floats:
        start = int(random.integers(0, max(1, len(sound) - SAMPLES + 1)))
        return np.resize(sound[start : start + SAMPLES], SAMPLES)

    return read_pieces(data, split, seed, piece_of)


def read_pieces(
    data: Path, split: str, seed: int, piece_of: Callable[[Floats, np.random.Generator], Floats]
) -> tuple[Floats, NDArray[np.int64]]:
    """What `piece_of` takes of each RAVDESS clip: plain, by telephone, and in noise or a room.

    Returns:
        Waveforms (n, samples) and the actor of each (n,).
    """
    random = np.random.default_rng(seed)
    pieces, actors = [], []
    for number, clip in enumerate(read_ravdess(data, split)):
        piece = piece_of(read_sound(clip.path), random)
        around: Callable[[Floats, np.random.Generator], Floats]
        around = in_noise if number % 2 else in_a_room
        pieces += [piece, as_by_telephone(piece, random), around(piece, random)]
        actors += [clip.actor] * 3
    return np.stack(pieces), np.array(actors)


@torch.no_grad()
def voices_of(encode: Callable[[Tensor], Tensor], sounds: Floats, batch: int = 32) -> Floats:
    """(n, samples) waveforms -> (n, d) vectors."""
    parts = [encode(torch.from_numpy(sounds[i : i + batch])) for i in range(0, len(sounds), batch)]
    return torch.cat(parts).numpy()


def whitening(
    voices: Floats, actors: NDArray[np.int64], shrinkage: float = SHRINKAGE
) -> tuple[Floats, Floats]:
    """What makes distances comparable: the mean (d,), and a map (d, d) to be applied after it.

    After the map, what varies within one voice varies alike in all directions.
    """
    centred = voices.astype(np.float64) - voices.mean(axis=0, dtype=np.float64)
    size = voices.shape[1]
    within = np.zeros((size, size))
    for actor in np.unique(actors):
        own = centred[actors == actor]
        own = own - own.mean(axis=0)
        within += own.T @ own
    within /= len(centred)
    within = (1 - shrinkage) * within + shrinkage * np.trace(within) / size * np.eye(size)
    powers, directions = np.linalg.eigh(within)
    # Back in the old directions: symmetric, so that the same data gives the same map anywhere.
    whiten = (directions / np.sqrt(powers)) @ directions.T
    return voices.mean(axis=0), whiten.astype(np.float32)


def equal_error_rate(voices: Floats, actors: NDArray[np.int64]) -> float:
    """Share of pairs judged wrongly where same and different voices are mistaken equally often."""
    first, second = np.triu_indices(len(voices), 1)
    likeness = (voices @ voices.T)[first, second]
    same = actors[first] == actors[second]
    levels = np.quantile(likeness[same], np.linspace(0, 1, 501))  # so many of `same` lie below
    others = np.sort(likeness[~same])
    accepted = 1 - np.searchsorted(others, levels) / len(others)
    return float(np.maximum(np.linspace(0, 1, 501), accepted).min())


def train_speaker(data: Path, out: Path) -> SpeakerEncoder:
    """Lift the encoder and learn its whitening, or load what an earlier run learned.

    Raises:
        ExtraMissing: the package with the weights is not installed.
        DataError: RAVDESS is missing.
    """
    encoder = lift_speaker()
    learn_whitening(encoder, "speaker", partial(read_voices, data), out)
    return encoder


def learn_whitening(
    encoder: SpeakerEncoder | IdentityEncoder,
    name: str,
    read: Callable[[str], tuple[Floats, NDArray[np.int64]]],
    out: Path,
) -> None:
    """Learn `mean` and `whiten` of an encoder, or load what an earlier run learned.

    Args:
        encoder: with lifted weights; changed.
        name: of its graph, under which it is kept.
        read: gives the waveforms of a split and the actor of each.
        out: the folder of the run.
    """
    best = out / name / "best.pt"
    if best.exists():
        encoder.load_state_dict(torch.load(best, weights_only=True))
        return
    sounds, actors = read("train")
    mean, whiten = whitening(voices_of(encoder.embed, sounds), actors)
    encoder.mean.copy_(torch.from_numpy(mean))
    encoder.whiten.copy_(torch.from_numpy(whiten))
    sounds, actors = read("dev")
    plain = voices_of(encoder.embed, sounds)
    before, after = (
        equal_error_rate(voices / np.linalg.norm(voices, axis=1, keepdims=True), actors)
        for voices in (plain, voices_of(encoder, sounds))
    )
    Console().log(f"{name}: equal error rate of two dev actors {before:.3f} -> {after:.3f}")
    save_atomically(encoder.state_dict(), best)


def made_vowel(samples: int) -> Tensor:
    """A buzz with the resonances of a vowel, louder and softer: (samples,)."""
    time = torch.arange(samples) / SAMPLE_RATE
    harmonics = torch.arange(1, 40)[:, None] * 120.0
    resonance = sum(1 / (1 + ((harmonics - at) / 90) ** 2) for at in (700, 1200, 2600))
    vowel = (resonance * torch.sin(2 * torch.pi * harmonics * time)).sum(dim=0)
    return vowel / vowel.abs().max() * (0.5 + 0.5 * torch.sin(2 * torch.pi * 4 * time))


def speaker_cases() -> list[dict[str, Tensor]]:
    """Made sound: a vowel and noise beside it, near silence."""
    random = torch.Generator().manual_seed(6)
    noise = 0.1 * torch.randn(SAMPLES, generator=random)
    return [
        {"waveform": torch.stack([made_vowel(SAMPLES), noise])},
        {"waveform": 1e-4 * noise.unsqueeze(0)},
    ]
