"""A tiny feature corpus: two speakers, three classes, vectors that tell the label, noisily."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from magtkd_rt.train.stage2.features import FeatureSet, build

CLASSES = ("down", "level", "up")


def arrays(dialogues: int, seed: int, modalities: str = "tav") -> dict[str, np.ndarray[Any, Any]]:
    random = np.random.default_rng(seed)
    lengths = random.integers(2, 7, dialogues)
    labels = random.integers(0, 3, lengths.sum())
    told = np.eye(3)[labels]
    made: dict[str, np.ndarray[Any, Any]] = {
        "label": labels,
        "dialogue": np.repeat([f"d{i}" for i in range(dialogues)], lengths),
        "order": np.concatenate([np.arange(length) * 2 for length in lengths]),
        "speaker": random.choice(["Ross", "Joey"], lengths.sum()),
    }
    for name, size, noise in (("text", 6, 0.5), ("audio", 4, 1.0), ("video", 5, 2.0)):
        if name[0] in modalities:
            axes = np.random.default_rng(len(name) + size).standard_normal((3, size))
            values = told @ axes + noise * random.standard_normal((len(labels), size))
            made[name] = values.astype(np.float32)
    return made


@pytest.fixture
def tiny() -> FeatureSet:
    return build(arrays(24, 1), CLASSES, "tiny")


@pytest.fixture
def tiny_test() -> FeatureSet:
    return build(arrays(12, 2), CLASSES, "tiny")


@pytest.fixture
def feature_file(tmp_path: Path) -> Path:
    """A feature file with all three splits."""
    path = tmp_path / "tiny.npz"
    parts = {"train": arrays(16, 1), "dev": arrays(8, 3), "test": arrays(8, 2)}
    np.savez(
        path,
        allow_pickle=False,
        classes=np.array(CLASSES),
        **{f"{split}_{name}": one for split, made in parts.items() for name, one in made.items()},
    )
    return path
