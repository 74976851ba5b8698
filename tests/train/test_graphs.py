"""Exported graphs say what their modules say, and nothing of where they were made."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from magtkd_rt.models.audio import MIN_SAMPLES
from magtkd_rt.models.magt import MagtConfig, PaperMagt, StreamingMagt
from magtkd_rt.train.cases import paper_cases, step_graph
from magtkd_rt.train.export import Trained, dev_cases
from magtkd_rt.train.fusion import Split
from magtkd_rt.train.graphs import (
    Exportable,
    PaperGraph,
    input_arrays,
    module_cases,
    run_onnx,
    same_decisions,
    to_onnx,
)


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch's own, of itself
def test_the_fusion_steps_and_looks_again_as_an_onnx_file(tmp_path: Path) -> None:
    torch.manual_seed(3)
    config = MagtConfig(feature_size=12, size=16, heads=2, feed_forward=24, window=5)
    magt = StreamingMagt(config).eval()
    graph, path = step_graph(magt), tmp_path / "fusion.onnx"
    to_onnx(graph, path)
    assert b"stack_trace" not in path.read_bytes()  # nor where on whose machine the code lies
    cases = module_cases("fusion", graph)
    assert [case.inputs["ahead"].tolist() for case in cases] == [[0, 0]] * 3 + [[1, 1], [2, 1]]
    for case in cases:
        for got, wanted in zip(run_onnx(path, case.inputs), case.outputs.values(), strict=True):
            np.testing.assert_allclose(got, wanted, atol=1e-5)
        alone = {name: array[1:] for name, array in case.inputs.items()}  # any number of rows
        got = run_onnx(path, alone)[0]
        np.testing.assert_allclose(got, case.outputs["logits"][1:], atol=1e-5)

    # The same as the dialogue at once.
    rows = [inputs for inputs in input_arrays(graph) if not inputs["ahead"].any()]
    told = {
        name: torch.from_numpy(np.stack([r[name][:1] for r in rows], axis=1)) for name in rows[0]
    }
    features = torch.stack([told["text"], told["audio"], told["video"]], dim=2)
    present, speaker = told["present"].float(), told["speaker"]
    with torch.no_grad():
        causal, cached = magt.whole(features, present, speaker)
        for case, ahead in zip(cases, (0, 0, 0, 1, 2), strict=True):
            place = cases.index(case) if not ahead else 2 - ahead
            again = magt.look_again(features, present, speaker, cached, ahead) if ahead else causal
            wanted = again[0, 0, place].numpy()
            np.testing.assert_allclose(case.outputs["logits"][0], wanted, atol=1e-4)


@torch.no_grad()
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch's own, of itself
def test_what_is_stored_in_bytes_is_judged_by_decisions(
    tmp_path: Path, corpora_folder: Path, small_split: Split
) -> None:
    torch.manual_seed(4)
    paper = PaperMagt(MagtConfig(feature_size=8, size=16, heads=2, feed_forward=24)).eval()
    trained = Mock(spec=Trained, paper=paper, splits={"dev": small_split}, shares=np.full(7, 1 / 7))
    dialogues = list(dev_cases("paper", trained, corpora_folder))
    assert [len(case["speaker"]) for case in dialogues] == [3] * 8
    rows = dict.fromkeys(dialogues[0], 0)
    graph, path = (
        Exportable(PaperGraph(paper), paper_cases(paper), ["logits"], rows),
        tmp_path / "p",
    )
    to_onnx(graph, path)
    assert same_decisions(path, graph, dialogues) == 1
    main = paper.classify[0]
    assert isinstance(main, torch.nn.Linear)
    main.bias[0] = 100  # now the module has one answer
    assert same_decisions(path, graph, dialogues) < 0.9

    voices = list(dev_cases("audio", trained, corpora_folder))
    assert [case["waveform"].shape for case in voices] == [(1, MIN_SAMPLES)] * 16
    first = next(dev_cases("text", trained, corpora_folder))
    assert first["input_ids"].shape[0] == first["mask_position"].shape[0] == 1
