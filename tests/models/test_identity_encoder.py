"""The identity encoder: its front end against plain numpy, its layers against convolutions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from magtkd_rt.engines.torch_graph import TorchGraph
from magtkd_rt.models.identity import SAMPLES, DenseLayer, IdentityEncoder, LogMel, mel_filters
from magtkd_rt.train.graphs import Exportable, module_cases, run_onnx, to_onnx
from magtkd_rt.train.identity import identity_cases

RANDOM = np.random.default_rng(8)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def encoder() -> IdentityEncoder:
    torch.manual_seed(3)
    return IdentityEncoder(size=16).eval()


def log_mel(sound: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kaldi's definition, frame by frame, without dither: (80, frames)."""
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399)) ** 0.85
    frames = []
    for at in range(0, len(sound) - 399, 160):
        frame = sound[at : at + 400] - sound[at : at + 400].mean()
        before = np.concatenate([frame[:1], frame[:-1]])
        frames.append(np.fft.rfft((frame - 0.97 * before) * window, 512))
    power = np.abs(np.array(frames)) ** 2 @ mel_filters()[:, :, 0].double().numpy().T
    bands = np.log(np.maximum(power, 1.1920929e-07)).T
    centred: NDArray[np.float64] = bands - bands.mean(axis=1, keepdims=True)
    return centred


def test_the_front_end_is_kaldis() -> None:
    sound = 0.02 * RANDOM.standard_normal(SAMPLES) + 0.1  # with a constant to be taken off
    sound[-8000:] = 0  # and silence, which the floor bounds
    got = LogMel()(torch.from_numpy(sound).float()[None])[0].numpy()
    wanted = log_mel(sound)
    assert got.shape == wanted.shape == (80, 198)
    np.testing.assert_allclose(got, wanted, atol=2e-3)


def test_bands_reach_from_20_hz_to_8_khz_in_equal_steps() -> None:
    filters = mel_filters()[:, :, 0].numpy()
    assert filters.shape == (80, 257) and filters.min() == 0 and 0.5 < filters.max() <= 1
    steps = 1127 * np.log((1 + 8000 / 700) / (1 + 20 / 700)) / 81
    centre = 700 * np.expm1((1127 * np.log1p(20 / 700) + 70 * steps) / 1127)
    assert filters[69].argmax() * 31.25 == pytest.approx(centre, abs=16)
    assert not filters[:, [0, 256]].any()


def test_a_dense_layer_is_a_dilated_convolution_masked_by_its_context() -> None:
    torch.manual_seed(4)
    layer, x = DenseLayer(48, dilation=2), torch.randn(2, 99, 48)
    with torch.no_grad():
        layer.scale.weight.uniform_(-1, 1)
        inner = functional.relu(layer.linear(functional.relu(x * layer.scale.weight)))
        kernel = layer.local.weight.unflatten(1, (3, -1)).transpose(1, 2)
        local = functional.conv1d(inner.transpose(1, 2), kernel, padding=2, dilation=2)
        context = inner.mean(dim=1) + inner.mean(dim=1)
        mask = torch.sigmoid(layer.mask(functional.relu(layer.context(context))))
        wanted = (local * mask.unsqueeze(2)).transpose(1, 2)
        torch.testing.assert_close(layer(x), wanted)


@torch.no_grad()
def test_vectors_have_length_one_and_rows_stand_alone(encoder: IdentityEncoder) -> None:
    sound = torch.randn(3, SAMPLES) * torch.tensor([[0.3], [0.01], [0.0]])  # the last is silent
    together = encoder(sound)
    assert together.shape == (3, 16)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(3))
    alone = torch.cat([encoder(row[None]) for row in sound])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@torch.no_grad()
def test_loudness_does_not_count(encoder: IdentityEncoder) -> None:
    sound = 0.2 * torch.randn(1, SAMPLES)
    torch.testing.assert_close(encoder(sound), encoder(0.1 * sound), atol=1e-4, rtol=0)


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::FutureWarning"
)  # torch's own, in export
def test_exported_it_says_the_same(encoder: IdentityEncoder, tmp_path: Path) -> None:
    graph = Exportable(encoder, identity_cases(), ["voice"], {"waveform": 0})
    path = tmp_path / "identity.onnx"
    to_onnx(graph, path)
    in_torch = TorchGraph(path).eval()  # every engine has its operators
    for case in module_cases("identity", graph):
        waveform = torch.from_numpy(np.array(case.inputs["waveform"]))
        with torch.no_grad():
            again = in_torch(waveform)[0].numpy()
        for voice in (run_onnx(path, case.inputs)[0], again):
            assert np.abs(voice - case.outputs["voice"]).max() < 1e-4
