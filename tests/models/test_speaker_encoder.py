"""The speaker encoder: its front end against the package's own words, and what does not matter."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from magtkd_rt.models.speaker import SAMPLES, MelPower, SpeakerEncoder, slaney_filters

RANDOM = np.random.default_rng(8)


@pytest.fixture(scope="module")
def encoder() -> SpeakerEncoder:
    torch.manual_seed(3)
    return SpeakerEncoder(size=16, layers=2).eval()


def mel_power(sound: NDArray[np.float64]) -> NDArray[np.float64]:
    """librosa's definition, frame by frame: centred, padded with zeros, Hann, power, mel."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    padded = np.pad(sound, 200)
    frames = [padded[at : at + 400] * window for at in range(0, len(sound) + 1, 160)]
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    return power @ slaney_filters().double().numpy()


def test_bands_are_slaneys() -> None:
    filters = slaney_filters().double().numpy()
    assert filters.shape == (201, 40)
    peaks = filters.argmax(axis=0) * 40.0  # Hz
    # Equal steps below 1 kHz (66.7 Hz a mel, 45.2 mel up to 8 kHz in 41 steps), then growing ones.
    np.testing.assert_allclose(peaks[:12], 73.57 * np.arange(1, 13), atol=20.1)
    assert peaks[-1] == pytest.approx(8000 / 1.0786, abs=40)
    # Triangles of area one: 40 Hz a bin.
    np.testing.assert_allclose(40 * filters[:, 20:].sum(axis=0), 1, atol=0.06)


def test_the_front_end_is_librosas() -> None:
    sound = RANDOM.standard_normal(SAMPLES) * 0.05
    got = MelPower()(torch.from_numpy(sound).float()[None])[0].numpy()
    wanted = mel_power(sound)
    assert got.shape == wanted.shape == (122, 40)
    np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-7)


@torch.no_grad()
def test_vectors_have_length_one_and_rows_stand_alone(encoder: SpeakerEncoder) -> None:
    sound = torch.randn(3, SAMPLES) * torch.tensor([[0.3], [0.01], [0.0]])  # the last is silent
    together = encoder(sound)
    assert together.shape == (3, 16)
    assert bool((together >= 0).all())
    torch.testing.assert_close(together.norm(dim=1), torch.ones(3))
    alone = torch.cat([encoder(row[None]) for row in sound])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("gain", [0.01, 0.1, 3.0])
def test_loudness_does_not_count(encoder: SpeakerEncoder, gain: float) -> None:
    sound = 0.2 * torch.randn(1, SAMPLES)
    torch.testing.assert_close(encoder(sound), encoder(gain * sound), atol=1e-5, rtol=0)
