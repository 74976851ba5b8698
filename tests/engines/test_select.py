"""Choosing an engine: it says which and why, and does not take one that is wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from magtkd_rt.bundle.golden import GoldenCase, read_golden, write_golden
from magtkd_rt.bundle.manifest import Manifest
from magtkd_rt.bundle.store import Bundle, write_bundle
from magtkd_rt.engines.select import select
from magtkd_rt.errors import BundleError, EngineError


@pytest.mark.parametrize(
    ("prefer", "threads", "why"),
    [("auto", 2, "on the CPU, 2 threads: the default"), ("onnx", 1, "1 thread: asked for")],
)
def test_says_which_and_why(tiny_bundle: Bundle, prefer: str, threads: int, why: str) -> None:
    selected = select(tiny_bundle, prefer, threads=threads)
    assert selected.engine.name == "onnx"
    assert selected.reason.startswith("onnxruntime ")
    assert why in selected.reason
    assert selected.reason.endswith("it reproduces the bundle's golden outputs")


def test_unknown_engine(tiny_bundle: Bundle) -> None:
    with pytest.raises(EngineError, match="there is no engine 'steam'; choose auto or onnx"):
        select(tiny_bundle, "steam")


def test_absent_library_names_the_remedy(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EngineError, match=r"onnxruntime cannot be imported .*; pip install"):
        select(tiny_bundle)


def test_engine_that_disagrees_is_not_taken(
    tiny_bundle: Bundle,
    tiny_manifest: Manifest,
    tiny_files: dict[str, bytes | Path],
    tmp_path: Path,
) -> None:
    cases = [
        GoldenCase(c.graph, c.name, c.inputs, {name: a + (a == a) for name, a in c.outputs.items()})
        if c.graph == "video"
        else c
        for c in read_golden(tiny_bundle)
    ]
    files = {**tiny_files, "golden.npz": write_golden(cases)}
    bundle = write_bundle(tmp_path / "bundle", tiny_manifest, files)
    with pytest.raises(BundleError, match="graph 'video', golden case 'random', output 'feature'"):
        select(bundle)
