"""The speaker encoder with its real weights: lifted, exported, and telling voices apart."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from magtkd_rt.errors import DataError, ExtraMissing
from magtkd_rt.models.speaker import SAMPLES, SpeakerEncoder
from magtkd_rt.train import speaker
from magtkd_rt.train.corpora.starter import read_ravdess
from magtkd_rt.train.graphs import Exportable, module_cases, run_onnx, to_onnx
from magtkd_rt.train.speaker import (
    Floats,
    as_by_telephone,
    equal_error_rate,
    in_a_room,
    in_noise,
    lift_speaker,
    read_voices,
    speaker_cases,
    train_speaker,
    voices_of,
    weights_file,
    whitening,
)
from magtkd_rt.train.stored import store_bases, store_half


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def encoder() -> SpeakerEncoder:
    return lift_speaker()


def test_every_weight_is_lifted(encoder: SpeakerEncoder) -> None:
    found = torch.load(weights_file(), map_location="cpu", weights_only=True)["model_state"]
    own = dict(encoder.named_parameters())
    assert len(own) == 14
    for name, weight in own.items():
        assert torch.equal(weight, found[name]), name


def made_voices(count: int, seed: int) -> tuple[Floats, NDArray[np.int64]]:
    """Vectors of six voices, which differ in one direction and vary in another, stronger one."""
    random = np.random.default_rng(seed)
    actors = np.repeat(np.arange(6), count)
    voices = 0.05 * random.standard_normal((6 * count, 8))
    voices[:, 0] += 1
    voices[:, 1] += np.linspace(-0.3, 0.3, 6)[actors]
    voices[:, 2] += 0.5 * random.standard_normal(6 * count)
    voices /= np.linalg.norm(voices, axis=1, keepdims=True)
    return voices.astype(np.float32), actors


def test_whitening_makes_one_voice_vary_alike_in_all_directions() -> None:
    voices, actors = made_voices(200, seed=1)
    mean, whiten = whitening(voices, actors, shrinkage=0.0)
    mapped = (voices - mean) @ whiten
    own = np.concatenate([m - m.mean(axis=0) for m in (mapped[actors == a] for a in range(6))])
    np.testing.assert_allclose(own.T @ own / len(own), np.eye(8), atol=0.01)


def test_whitened_voices_are_told_apart_better() -> None:
    mean, whiten = whitening(*made_voices(60, seed=1))
    voices, actors = made_voices(20, seed=2)
    mapped = (voices - mean) @ whiten
    mapped = (mapped / np.linalg.norm(mapped, axis=1, keepdims=True)).astype(np.float32)
    before, after = equal_error_rate(voices, actors), equal_error_rate(mapped, actors)
    assert after < before - 0.05


def test_equal_error_rate() -> None:
    actors = np.array([0, 0, 1, 1])
    apart = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32)
    assert equal_error_rate(apart, actors) == 0
    assert equal_error_rate(apart[[0, 2, 0, 2]], actors) == 1


def test_places_change_the_sound_but_not_its_length() -> None:
    random = np.random.default_rng(3)
    sound = (0.1 * random.standard_normal(SAMPLES)).astype(np.float32)
    hertz = np.fft.rfftfreq(SAMPLES, 1 / 16_000)
    for _ in range(5):
        for place in (as_by_telephone, in_noise, in_a_room):
            changed = place(sound, random)
            assert (changed.shape, changed.dtype) == ((SAMPLES,), np.float32)
            assert np.isfinite(changed).all()
        power = np.abs(np.fft.rfft(as_by_telephone(sound, random))) ** 2
        assert power[hertz > 3900].sum() < 0.01 * power.sum()
        noise = in_noise(sound, random) - sound
        assert 7.9 < 10 * np.log10(np.mean(sound**2) / np.mean(noise**2)) < 25.1


def test_what_was_learned_is_loaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def few(data: Path, split: str) -> tuple[Floats, NDArray[np.int64]]:
        asked.append(split)
        sounds = np.random.default_rng(len(split)).standard_normal((8, SAMPLES // 4))
        return sounds.astype(np.float32), np.repeat([1, 2], 4)

    monkeypatch.setattr(speaker, "read_voices", few)
    first = train_speaker(tmp_path, tmp_path)
    again = train_speaker(tmp_path, tmp_path)
    assert asked == ["train", "dev"]
    assert not torch.equal(first.whiten, torch.eye(256))
    assert all(
        torch.equal(a, b)
        for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True)
    )


def test_voices_of_ravdess(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = read_ravdess(shared / "data", "dev")[:3]
    monkeypatch.setattr(speaker, "read_ravdess", lambda *_: clips)
    sounds, actors = read_voices(shared / "data", "dev")
    assert sounds.shape == (9, SAMPLES)
    assert actors.tolist() == [clips[0].actor] * 9
    again, _ = read_voices(shared / "data", "dev")
    np.testing.assert_array_equal(sounds, again)


def test_voices_lie_closer_to_themselves_than_to_others(
    encoder: SpeakerEncoder, shared: Path
) -> None:
    speech = shared / "media/speech"
    voices = []
    for name in ("librivox_0870.wav", "6930-75918-0000.flac", "7902-96591-0000.flac"):
        sound, rate = soundfile.read(speech / name, dtype="float32")
        assert rate == 16_000
        windows = np.lib.stride_tricks.sliding_window_view(sound, SAMPLES)[::4000].copy()
        voices.append(voices_of(encoder, windows))
    same = min(float((voice @ voice.T).mean()) for voice in voices)
    other = max(float((a @ b.T).mean()) for a in voices for b in voices if a is not b)
    assert other + 0.1 < same


@torch.no_grad()
@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::FutureWarning"
)  # torch's own, in export
def test_exported_in_16_bits_it_says_the_same(
    encoder: SpeakerEncoder, tmp_path: Path, shared: Path
) -> None:
    graph = Exportable(encoder, speaker_cases(), ["voice"], {"waveform": 0})
    path = tmp_path / "speaker.onnx"
    to_onnx(graph, path)
    for case in module_cases("speaker", graph):
        assert np.abs(run_onnx(path, case.inputs)[0] - case.outputs["voice"]).max() < 1e-5
    store_bases(path)
    store_half(path, {name for name, _ in encoder.named_buffers()})
    assert path.stat().st_size < 3_300_000
    sound, _ = soundfile.read(shared / "media/speech/two_speaker_call.wav", dtype="float32")
    windows = sound[: 8 * SAMPLES].reshape(8, SAMPLES)
    for batch in (windows, windows[:1]):
        cosine = run_onnx(path, {"waveform": batch})[0] * encoder(torch.from_numpy(batch)).numpy()
        assert cosine.sum(axis=1).min() > 0.9999


@pytest.mark.parametrize("content", [b"", b"no weights", None])
def test_no_such_weights(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "pretrained.pt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DataError, match=r"pretrained.pt does not hold .*; pip install --no-deps"):
        lift_speaker(file)


def test_another_network(tmp_path: Path) -> None:
    file = tmp_path / "pretrained.pt"
    torch.save({"model_state": SpeakerEncoder(size=8).state_dict()}, file)
    with pytest.raises(DataError, match="RuntimeError"):
        lift_speaker(file)
    torch.save({"weights": {}}, file)
    with pytest.raises(DataError, match="KeyError"):
        lift_speaker(file)


def test_the_package_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", {}.get)
    with pytest.raises(ExtraMissing, match="pip install --no-deps resemblyzer==0.1.4"):
        lift_speaker()
