"""Small made corpora in the shapes of the real ones, and a tiny bundle that can be evaluated."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import onnx.parser
import pytest
import soundfile
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from magtkd_rt.bundle.golden import GoldenCase, read_golden, write_golden
from magtkd_rt.bundle.manifest import Manifest
from magtkd_rt.bundle.store import Bundle, write_bundle
from magtkd_rt.train.corpora.starter import FER_SPLITS, Utterance
from magtkd_rt.train.fusion import Split
from magtkd_rt.train.pairing import Bank, Exchange

MELD_EMOTIONS = ("neutral", "joy", "sadness", "anger", "surprise", "fear", "disgust")
RAVDESS_EMOTIONS = (
    "neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised",
)  # fmt: skip
FER_EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
WORDS = "i you we are am fine not what the see sea son sun know no right write hear here".split()  # noqa: SIM905


def write_meld(folder: Path, dialogues: int, random: np.random.Generator) -> None:
    folder.mkdir()
    columns = ("Sr No.", "Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID")
    for split in ("train", "dev", "test"):
        with (folder / f"{split}_sent_emo.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            for dialogue in range(dialogues):
                for utterance in range(int(random.integers(1, 6))):
                    row = (
                        1,
                        " ".join(random.choice(WORDS, random.integers(1, 6))) + "!",
                        random.choice(("Ross", "Monica", "Joey")),
                        random.choice(MELD_EMOTIONS),
                        dialogue,
                        utterance,
                    )
                    writer.writerow(dict(zip(columns, row, strict=True)))


def write_ravdess(folder: Path, random: np.random.Generator) -> None:
    folder.mkdir()
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ("file", "emotion", "actor"))
        writer.writeheader()
        for actor in range(19, 25):
            for number, emotion in enumerate(RAVDESS_EMOTIONS):
                name = f"Actor_{actor}-{number}.flac"
                sound = 0.3 * random.standard_normal(1600)
                soundfile.write(folder / name, sound.clip(-1, 1), 16_000, subtype="PCM_16")
                writer.writerow({"file": name, "emotion": emotion, "actor": actor})


def write_fer2013(folder: Path, random: np.random.Generator) -> None:
    folder.mkdir()
    arrays: dict[str, np.ndarray] = {"classes": np.array(FER_EMOTIONS)}
    for split in FER_SPLITS.values():
        arrays[f"{split}_x"] = random.integers(0, 256, (21, 48, 48), dtype=np.uint8)
        arrays[f"{split}_y"] = np.arange(21) % 7
    np.savez(folder / "fer2013.npz", allow_pickle=False, **arrays)


@pytest.fixture(scope="session")
def corpora_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`--data` of a small evaluation."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(4)
    write_meld(folder / "meld", 20, random)
    write_ravdess(folder / "ravdess", random)
    write_fer2013(folder / "fer2013", random)
    return folder


# Every utterance gets the mean of its dialogue: it sees the future.
_PAPER = """<ir_version: 10, opset_import: ["" : 20]>
    paper (float[n,8] text, float[n,8] audio, float[n,8] video, bool[n,3] present,
        int64[n] speaker) => (float[n,7] logits) {
        t = Unsqueeze (text, one)
        a = Unsqueeze (audio, one)
        v = Unsqueeze (video, one)
        stacked = Concat <axis=1> (t, a, v)
        here = Unsqueeze (present, two)
        taken = Where (here, stacked, absent)
        fused = ReduceMean <keepdims=0> (taken, one)
        who = Gather (speakers, speaker)
        said = Add (fused, who)
        mean = ReduceMean <keepdims=1> (said, zero)
        mixed = Add (said, mean)
        logits = MatMul (mixed, classify)
    }"""


def paper_graph() -> bytes:
    random = np.random.default_rng(8)
    constants = {
        "classify": random.standard_normal((8, 7), dtype=np.float32),
        "absent": random.standard_normal((1, 3, 8), dtype=np.float32),
        "speakers": random.standard_normal((9, 8), dtype=np.float32),
        **{w: np.array([i]) for i, w in enumerate(("zero", "one", "two"))},
    }
    model = onnx.parser.parse_model(_PAPER)
    model.graph.initializer.extend(
        numpy_helper.from_array(a, name) for name, a in constants.items()
    )
    onnx.checker.check_model(model)
    return model.SerializeToString()


PAIRING = {
    "exchange": {
        "train": {"audio": 0.5, "video": 0.5},
        "dev": {"audio": 0.25, "video": 0.5},
        "test": {"audio": 0.25, "video": 0.5},
    },
    "shares": [0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1],
    "seeds": [11, 12],
}


@pytest.fixture(scope="session")
def paired_bundle(
    tiny_manifest: Manifest,
    tiny_files: dict[str, bytes | Path],
    tiny_bundle: Bundle,
    tmp_path_factory: pytest.TempPathFactory,
) -> Bundle:
    """The tiny bundle with a record of its pairing and a graph of the paper mode."""
    random = np.random.default_rng(6)
    inputs: dict[str, np.ndarray] = {
        **{m: random.standard_normal((3, 8), dtype=np.float32) for m in ("text", "audio", "video")},
        "present": np.array([[True, True, True], [False, True, False], [True, False, False]]),
        "speaker": np.array([0, 1, 8]),
    }
    graph = paper_graph()
    outputs = ReferenceEvaluator(onnx.load_from_string(graph)).run(["logits"], inputs)
    assert isinstance(outputs, list)
    case = GoldenCase("paper", "random", inputs, {"logits": outputs[0]})
    described = tiny_manifest.model_dump(mode="json")
    described["licence"] = "research <only>"
    described["graphs"]["paper"] = {
        "file": "paper.onnx",
        "inputs": list(inputs),
        "outputs": ["logits"],
        "precision": "float32",
        "tolerance": 1e-5,
    }
    files = tiny_files | {
        "paper.onnx": graph,
        "golden.npz": write_golden([*read_golden(tiny_bundle), case]),
        "pairing.json": json.dumps(PAIRING).encode(),
    }
    return write_bundle(
        tmp_path_factory.mktemp("bundles") / "paired", Manifest.model_validate(described), files
    )


@pytest.fixture
def small_split() -> Split:
    """Eight short dialogues with random features of size 8."""
    random = np.random.default_rng(9)
    dialogues = [
        [Utterance("so", i % 2, int(random.integers(0, 7))) for i in range(3)] for _ in range(8)
    ]

    def bank(labels: list[int], owners: list[int]) -> Bank:
        features, logits = (
            random.standard_normal((len(labels), size), dtype=np.float32) for size in (8, 7)
        )
        return Bank(features, logits, np.array(labels), np.array(owners))

    return Split(
        dialogues,
        [bank([u.label for d in dialogues for u in d], [0] * 24) for _ in range(2)],
        bank([*range(7), *range(7)], [1] * 7 + [2] * 7),
        bank([*range(7)], [0] * 7),
        Exchange(audio=0.5, video=0.5),
    )
