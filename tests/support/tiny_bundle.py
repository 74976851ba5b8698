"""A bundle small enough for any test: real ONNX graphs with random weights, a real tokenizer.

The numbers mean nothing; shapes, names and the flow of the state are as in a trained bundle.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from magtkd_rt.bundle.golden import GoldenCase, read_golden, write_golden
from magtkd_rt.bundle.manifest import OPTIONAL_GRAPHS, Manifest
from magtkd_rt.bundle.store import Bundle, write_bundle
from magtkd_rt.core.jobs import Turn
from magtkd_rt.features.prompt import (
    SPEAKER_TOKENS,
    PromptEncoder,
    PromptWords,
    build_tokenizer,
)
from magtkd_rt.labels import LABELS


@pytest.fixture(scope="session")
def bert_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `tokenizer.json` like that of all-MiniLM-L6-v2, with a vocabulary of 82 pieces."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = "for now feels i am you are fine not what the".split()  # noqa: SIM905
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = [*special, *words, *",.'[]", *letters, *(f"##{letter}" for letter in letters)]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(special)
    # Like the real file, which pads and cuts unless told not to.
    tokenizer.enable_padding(length=16)
    tokenizer.enable_truncation(16)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


_HEADER = '<ir_version: 10, opset_import: ["" : 20]>'

_TINY_GRAPHS = {
    "text": """text (int64[1,n] input_ids, int64[1] mask_position)
        => (float[1,8] feature, float[1,7] logits) {
        tokens = Gather <axis=1> (input_ids, mask_position)
        ids = Concat <axis=1> (input_ids, tokens)
        numbers = Cast <to=1> (ids)
        column = Unsqueeze (numbers, two)
        waves = Mul (column, frequencies)
        bounded = Sin (waves)
        feature = ReduceMean <keepdims=0> (bounded, one)
        logits = MatMul (feature, classify)
    }""",
    "audio": """audio (float[1,samples] waveform) => (float[1,8] feature, float[1,7] logits) {
        column = Unsqueeze (waveform, two)
        waves = Mul (column, frequencies)
        bounded = Sin (waves)
        feature = ReduceMean <keepdims=0> (bounded, one)
        logits = MatMul (feature, classify)
    }""",
    "video": """video (uint8[n,48,48] faces) => (float[1,8] feature, float[1,7] logits) {
        pixels = Cast <to=1> (faces)
        rows = ReduceMean <keepdims=0> (pixels, two)
        mean = ReduceMean <keepdims=1> (rows, zero)
        feature = MatMul (mean, project)
        logits = MatMul (feature, classify)
    }""",
    "speaker": """speaker (float[b,samples] waveform) => (float[b,8] voice) {
        column = Unsqueeze (waveform, two)
        waves = Mul (column, frequencies)
        bounded = Cos (waves)
        mean = ReduceMean <keepdims=0> (bounded, one)
        mixed = MatMul (mean, mix)
        voice = LpNormalization <axis=1, p=2> (mixed)
    }""",
    "identity": """identity (float[b,samples] waveform) => (float[b,8] voice) {
        column = Unsqueeze (waveform, two)
        waves = Mul (column, frequencies)
        bounded = Sin (waves)
        mean = ReduceMean <keepdims=0> (bounded, one)
        mixed = MatMul (mean, mix)
        voice = LpNormalization <axis=1, p=2> (mixed)
    }""",
    # One layer, one head: the window's mean key stands for attention, a constant for looking ahead.
    "fusion": """fusion (float[b,8] text, float[b,8] audio, float[b,8] video, bool[b,3] present,
        int64[b] speaker, float[b,1,1,4,8] keys, bool[b,3,4] valid, int64[b] ahead)
        => (float[b,7] logits, float[b,1,1,4,8] keys_out, bool[b,3,4] valid_out) {
        t = Unsqueeze (text, one)
        a = Unsqueeze (audio, one)
        v = Unsqueeze (video, one)
        stacked = Concat <axis=1> (t, a, v)
        here = Unsqueeze (present, two)
        taken = Where (here, stacked, absent)
        fused = ReduceMean <keepdims=0> (taken, one)
        who = Gather (speakers, speaker)
        key = Add (fused, who)
        placed = Unsqueeze (key, one_two_three)
        kept = Slice (keys, one, four, three)
        keys_out = Concat <axis=3> (kept, placed)
        old = Slice (valid, one, four, two)
        valid_out = Concat <axis=2> (old, here)
        context = ReduceMean <keepdims=0> (keys_out, one_two_three)
        moved = Gather (places, ahead)
        placed_context = Add (context, moved)
        logits = MatMul (placed_context, classify)
    }""",
}


def _tiny_graph(name: str) -> bytes:
    random = np.random.default_rng(7)
    constants: dict[str, NDArray[Any]] = {
        "frequencies": np.linspace(0.1, 3.0, 8, dtype=np.float32),
        "classify": random.standard_normal((8, 7), dtype=np.float32),
        "project": random.standard_normal((48, 8), dtype=np.float32) / 255,
        "absent": random.standard_normal((1, 3, 8), dtype=np.float32),
        "speakers": random.standard_normal((10, 8), dtype=np.float32),
        "places": np.concatenate([np.zeros((1, 8)), np.eye(8)[:2]]).astype(np.float32),
        "mix": random.standard_normal((8, 8), dtype=np.float32),
        "one_two_three": np.array([1, 2, 3]),
        **{w: np.array([i]) for i, w in enumerate(("zero", "one", "two", "three", "four"))},
    }
    model = onnx.parser.parse_model(f"{_HEADER} {_TINY_GRAPHS[name]}")
    used = {given for node in model.graph.node for given in node.input}
    model.graph.initializer.extend(
        numpy_helper.from_array(array, constant)
        for constant, array in constants.items()
        if constant in used
    )
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


@pytest.fixture(scope="session")
def tiny_manifest(bert_tokenizer: Path) -> Manifest:
    """What `tiny_bundle` says of itself, without hashes."""
    encoder = PromptEncoder(build_tokenizer(bert_tokenizer), max_tokens=24)
    turns = (Turn(0, "What?"), Turn(1, "I am fine."))
    features = ["text", "audio", "video"]
    signatures = {
        "text": (["input_ids", "mask_position"], ["feature", "logits"]),
        "audio": (["waveform"], ["feature", "logits"]),
        "video": (["faces"], ["feature", "logits"]),
        "fusion": (
            [*features, "present", "speaker", "keys", "valid", "ahead"],
            ["logits", "keys_out", "valid_out"],
        ),
        "speaker": (["waveform"], ["voice"]),
        "identity": (["waveform"], ["voice"]),
    }
    return Manifest.model_validate(
        {
            "name": "tiny",
            "version": "1",
            "licence": "Apache-2.0",
            "data": [],
            "created": "2026-01-01T00:00:00Z",
            "labels": list(LABELS),
            "feature_size": 8,
            "preprocessing": {
                "text": {
                    "max_tokens": encoder.max_tokens,
                    "words": asdict(PromptWords()),
                    "speakers": len(SPEAKER_TOKENS),
                    "examples": [
                        {
                            "turns": [asdict(turn) for turn in turns],
                            "input_ids": encoder.encode(turns).input_ids,
                        }
                    ],
                },
                "audio": {"min_samples": 400, "max_seconds": 1.0},
                "video": {"max_faces": 4},
                "speaker": {"vector_size": 8, "front_end": "none"},
                "identity": {"vector_size": 8, "front_end": "none"},
            },
            "graphs": {
                graph: {
                    "file": f"{graph}.onnx",
                    "inputs": inputs,
                    "outputs": outputs,
                    "precision": "float32",
                    "tolerance": 1e-5,
                }
                for graph, (inputs, outputs) in signatures.items()
            },
            "fusion": {
                "window": 4,
                "right_context": 2,
                "speakers": 9,
                "state": [
                    {"name": "keys", "shape": [1, 1, 4, 8], "dtype": "float32"},
                    {"name": "valid", "shape": [3, 4], "dtype": "bool"},
                ],
            },
            "calibration": {
                "temperature": {"fused": 1.5, "text": 1.0, "audio": 1.0, "video": 1.0},
                "abstain_threshold": 0.3,
                "text_confidence_threshold": 0.5,
            },
        }
    )


def tiny_inputs(graph: str) -> dict[str, np.ndarray]:
    """Inputs that a graph of the tiny bundle takes."""
    random = np.random.default_rng(3)
    features = {
        modality: random.standard_normal((2, 8), dtype=np.float32)
        for modality in ("text", "audio", "video")
    }
    state = {
        "keys": random.standard_normal((2, 1, 1, 4, 8), dtype=np.float32),
        "valid": random.random((2, 3, 4)) < 0.5,
    }
    return {
        "text": {"input_ids": np.array([[2, 9, 12, 4, 3]]), "mask_position": np.array([3])},
        "audio": {"waveform": random.standard_normal((1, 500), dtype=np.float32)},
        "video": {"faces": random.integers(0, 256, (3, 48, 48), dtype=np.uint8)},
        "speaker": {"waveform": random.standard_normal((2, 19_456), dtype=np.float32)},
        "identity": {"waveform": random.standard_normal((2, 32_000), dtype=np.float32)},
        "fusion": {
            **features,
            "present": np.array([[True, True, True], [False, True, False]]),
            "speaker": np.array([0, 8]),
            **state,
            "ahead": np.array([0, 2]),
        },
    }[graph]


@pytest.fixture(scope="session")
def tiny_files(bert_tokenizer: Path, tiny_manifest: Manifest) -> dict[str, bytes | Path]:
    """The files of `tiny_bundle`; the golden outputs come from onnx's reference evaluator."""
    graphs = {graph: _tiny_graph(graph) for graph in tiny_manifest.graphs}
    cases = []
    for graph, content in graphs.items():
        names, inputs = tiny_manifest.graphs[graph].outputs, tiny_inputs(graph)
        outputs: Any = ReferenceEvaluator(onnx.load_from_string(content)).run(names, inputs)
        cases.append(GoldenCase(graph, "random", inputs, dict(zip(names, outputs, strict=True))))
    return {
        **{f"{graph}.onnx": content for graph, content in graphs.items()},
        "tokenizer.json": bert_tokenizer,
        "golden.npz": write_golden(cases),
        "MODEL_CARD.md": b"# tiny\n\nRandom weights, for tests.\n",
    }


@pytest.fixture(scope="session")
def tiny_bundle(
    tiny_manifest: Manifest,
    tiny_files: dict[str, bytes | Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Bundle:
    """A whole bundle on disk. Not to be changed: it is shared by all tests."""
    return write_bundle(tmp_path_factory.mktemp("bundles") / "tiny", tiny_manifest, tiny_files)


@pytest.fixture(scope="session")
def deaf_bundle(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny bundle without the graphs that tell voices apart. Not to be changed either."""
    described = tiny_bundle.manifest.model_dump(mode="json")
    for graph in OPTIONAL_GRAPHS:
        del described["graphs"][graph]
        described["preprocessing"][graph] = None
    files: dict[str, bytes | Path] = {
        file: tiny_bundle.path(file) for file in tiny_bundle.manifest.files
    }
    for graph in OPTIONAL_GRAPHS:
        del files[f"{graph}.onnx"]
    cases = [case for case in read_golden(tiny_bundle) if case.graph not in OPTIONAL_GRAPHS]
    return write_bundle(
        tmp_path_factory.mktemp("bundles") / "deaf",
        Manifest.model_validate(described),
        files | {"golden.npz": write_golden(cases)},
    )


@pytest.fixture(scope="session")
def causal_bundle(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny bundle as bundles were before there was right context. Not to be changed either."""
    described = tiny_bundle.manifest.model_dump(mode="json")
    described["graphs"]["fusion"]["inputs"].remove("ahead")
    del described["fusion"]["right_context"]
    model = onnx.load(tiny_bundle.graph_path("fusion"))
    del model.graph.input[-1]
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes[:-3])
    nodes[-1].input[0] = "context"
    model.graph.node.append(nodes[-1])
    onnx.checker.check_model(model)
    content = model.SerializeToString()
    cases = [case for case in read_golden(tiny_bundle) if case.graph != "fusion"]
    inputs = {name: array for name, array in tiny_inputs("fusion").items() if name != "ahead"}
    names = tiny_bundle.manifest.graphs["fusion"].outputs
    outputs: Any = ReferenceEvaluator(onnx.load_from_string(content)).run(names, inputs)
    cases.append(GoldenCase("fusion", "random", inputs, dict(zip(names, outputs, strict=True))))
    files: dict[str, bytes | Path] = {
        file: tiny_bundle.path(file) for file in tiny_bundle.manifest.files
    }
    return write_bundle(
        tmp_path_factory.mktemp("bundles") / "causal",
        Manifest.model_validate(described),
        files | {"fusion.onnx": content, "golden.npz": write_golden(cases)},
    )
