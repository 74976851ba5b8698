"""The audio student: any length, any level, and one LSTM operator in its graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from magtkd_rt.models.audio import MIN_SAMPLES, AudioStudent
from magtkd_rt.models.lstm import Lstm
from magtkd_rt.train.cases import audio_cases
from magtkd_rt.train.graphs import Exportable, run_onnx, to_onnx


@pytest.fixture(scope="module")
def student() -> AudioStudent:
    torch.manual_seed(3)
    return AudioStudent().eval()


@torch.no_grad()
def test_level_does_not_matter(student: AudioStudent) -> None:
    sound = torch.randn(1, 2 * MIN_SAMPLES) * 0.1
    loud, quiet = student(sound)[1], student(0.3 * sound)[1]
    torch.testing.assert_close(loud, quiet, atol=1e-3, rtol=0)


@torch.no_grad()
def test_scores_of_silence_are_numbers(student: AudioStudent) -> None:
    assert torch.isfinite(student(torch.zeros(1, MIN_SAMPLES))[1]).all()


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch.export's own
@torch.no_grad()
def test_the_graph_takes_any_length(student: AudioStudent, tmp_path: Path) -> None:
    path = tmp_path / "audio.onnx"
    to_onnx(Exportable(student, audio_cases(), ["feature", "logits"], {"waveform": 1}), path)
    kinds = [node.op_type for node in onnx.load(path).graph.node]
    assert kinds.count("LSTM") == 2
    for count in (MIN_SAMPLES, 3 * MIN_SAMPLES + 77):
        sound = torch.randn(1, count) * 0.1
        got = run_onnx(path, {"waveform": sound.numpy()})
        for wanted, found in zip(student(sound), got, strict=True):
            np.testing.assert_allclose(found, wanted.numpy(), atol=1e-4)


def test_an_lstm_gives_its_last_layers_outputs() -> None:
    torch.manual_seed(1)
    ours = Lstm(3, 4, layers=2)
    theirs = torch.nn.LSTM(3, 4, 2, batch_first=True)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 5, 3)
    torch.testing.assert_close(ours(x), theirs(x)[0])
