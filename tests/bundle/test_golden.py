"""The golden check: passes on the true graphs, and names what differs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from magtkd_rt.bundle.golden import GoldenCase, check_golden, read_golden, write_golden
from magtkd_rt.bundle.manifest import GRAPHS, OPTIONAL_GRAPHS, GraphName, Manifest
from magtkd_rt.bundle.store import Bundle, write_bundle
from magtkd_rt.engines.onnx import OnnxEngine
from magtkd_rt.errors import BundleError

Files = dict[str, bytes | Path]


class Bent(OnnxEngine):
    """An engine that changes one output of one graph."""

    def __init__(self, bundle: Bundle, graph: str, output: str, change: Any) -> None:
        super().__init__(bundle, threads=1)
        self._what = (graph, output, change)

    def run(self, graph: GraphName, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        outputs = super().run(graph, inputs)
        bent, output, change = self._what
        if graph == bent:
            outputs[output] = change(outputs[output])
        return outputs


def test_true_graphs_pass(tiny_bundle: Bundle) -> None:
    assert [case.graph for case in read_golden(tiny_bundle)] == [*GRAPHS, *OPTIONAL_GRAPHS]
    check_golden(tiny_bundle, OnnxEngine(tiny_bundle, threads=1))


def test_a_bundle_need_not_tell_voices_apart(deaf_bundle: Bundle) -> None:
    assert [case.graph for case in read_golden(deaf_bundle)] == list(GRAPHS)
    check_golden(deaf_bundle, OnnxEngine(deaf_bundle, threads=1))


def test_a_wrong_voice_is_found(tiny_bundle: Bundle) -> None:
    bent = Bent(tiny_bundle, "speaker", "voice", lambda voice: voice[:, ::-1])
    with pytest.raises(BundleError, match="graph 'speaker', golden case 'random', output 'voice'"):
        check_golden(tiny_bundle, bent)


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_difference_is_named(tiny_bundle: Bundle, graph: GraphName) -> None:
    def change(logits: NDArray[Any]) -> NDArray[Any]:
        logits = logits.copy()
        logits[0, 3] += 0.25
        return logits

    bent = Bent(tiny_bundle, graph, "logits", change)
    wanted = f"graph '{graph}', golden case 'random', output 'logits': onnx is 0.25 away, 1e-05 is"
    with pytest.raises(BundleError, match=wanted):
        check_golden(tiny_bundle, bent)
    check_golden(tiny_bundle, bent, tolerance=0.3)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda array: array * np.nan, "nan away"),
        (lambda array: array[:, :6], r"gives float32\[2, 6\], wanted float32\[2, 7\]"),
        (lambda array: array.astype(np.float64), "gives float64"),
    ],
)
def test_what_is_no_number_or_misshapen(tiny_bundle: Bundle, change: Any, problem: str) -> None:
    with pytest.raises(BundleError, match=problem):
        check_golden(tiny_bundle, Bent(tiny_bundle, "fusion", "logits", change))


def test_a_flipped_flag_of_the_state_is_found(tiny_bundle: Bundle) -> None:
    bent = Bent(tiny_bundle, "fusion", "valid_out", np.logical_not)
    with pytest.raises(BundleError, match="output 'valid_out': onnx is 1 away"):
        check_golden(tiny_bundle, bent)


def rewritten(tiny_manifest: Manifest, files: Files, golden: bytes, to: Path) -> Bundle:
    return write_bundle(to / "bundle", tiny_manifest, {**files, "golden.npz": golden})


@pytest.mark.parametrize("graph", GRAPHS)
def test_every_graph_needs_a_whole_case(
    tiny_bundle: Bundle,
    tiny_manifest: Manifest,
    tiny_files: Files,
    tmp_path: Path,
    graph: GraphName,
) -> None:
    cases = read_golden(tiny_bundle)
    without = write_golden(case for case in cases if case.graph != graph)
    with pytest.raises(BundleError, match=f"no whole golden case of the graph '{graph}'"):
        read_golden(rewritten(tiny_manifest, tiny_files, without, tmp_path))
    hollow = write_golden(
        GoldenCase(case.graph, case.name, case.inputs, {"logits": case.outputs["logits"]})
        for case in cases
        if case.graph not in OPTIONAL_GRAPHS
    )
    with pytest.raises(BundleError, match="no whole golden case"):
        read_golden(rewritten(tiny_manifest, tiny_files, hollow, tmp_path))


def test_unreadable_golden_files(
    tiny_manifest: Manifest, tiny_files: Files, tmp_path: Path
) -> None:
    whole = tiny_files["golden.npz"]
    assert isinstance(whole, bytes)
    foreign = write_golden([GoldenCase("smell", "a", {}, {"logits": np.zeros(1)})])  # type: ignore[arg-type]
    for content in (b"", b"no zip", whole[: len(whole) // 2], foreign):
        bundle = rewritten(tiny_manifest, tiny_files, content, tmp_path)
        with pytest.raises(BundleError, match=r"golden.npz of the bundle .* cannot be read") as e:
            read_golden(bundle)
        assert "\n" not in str(e.value)


def test_a_pickle_is_not_run(tiny_manifest: Manifest, tiny_files: Files, tmp_path: Path) -> None:
    import io

    file = io.BytesIO()
    arrays: dict[str, Any] = {"text/a/in/input_ids": np.array([{"an": "object"}], dtype=object)}
    np.savez(file, **arrays)
    bundle = rewritten(tiny_manifest, tiny_files, file.getvalue(), tmp_path)
    with pytest.raises(BundleError, match="allow_pickle=False"):
        read_golden(bundle)


def test_paper_mode_is_optional_and_checked_on_demand(
    tiny_bundle: Bundle, tiny_manifest: Manifest, tiny_files: Files, tmp_path: Path
) -> None:
    """Any graph will do here: the audio one stands in, with one wrong golden output."""
    described = tiny_manifest.model_dump(mode="json")
    described["graphs"]["paper"] = described["graphs"]["audio"] | {"file": "paper.onnx"}
    manifest = Manifest.model_validate(described)
    files: Files = {**tiny_files, "paper.onnx": tiny_files["audio.onnx"]}
    with pytest.raises(BundleError, match="no whole golden case of the graph 'paper'"):
        read_golden(write_bundle(tmp_path / "bundle", manifest, files))

    cases = read_golden(tiny_bundle)
    audio = next(case for case in cases if case.graph == "audio")
    wrong = {name: array + 1 for name, array in audio.outputs.items()}
    golden = write_golden([*cases, GoldenCase("paper", "random", audio.inputs, wrong)])
    bundle = rewritten(manifest, files, golden, tmp_path)
    engine = OnnxEngine(bundle, threads=1)
    check_golden(bundle, engine)
    with pytest.raises(BundleError, match="graph 'paper', golden case 'random'"):
        check_golden(bundle, engine, graphs=["paper"])
