"""Recipe: the face student alone, and how good it is on faces that it was not trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from magtkd_rt.train.corpora.starter import read_fer2013
from magtkd_rt.train.files import write_json
from magtkd_rt.train.metrics import accuracy, bootstrap_interval
from magtkd_rt.train.scoring import confusion_of, f1_per_class
from magtkd_rt.train.video import VideoRecipe, features_of, train_video


def train_faces(
    data: Path, out: Path, recipe: VideoRecipe | None = None, test: bool = False
) -> dict[str, Any]:
    """Train the stage `video` of the starter in `out`, or go on with it, and judge its student.

    Args:
        data: folder with `fer2013`.
        out: the OUT of `magtkd train starter`.
        recipe: settings of the stage.
        test: look at the private test as well: once, after everything is chosen.

    Returns:
        what is written to `out / "faces.json"`.
    """
    student = train_video(data, out, recipe)
    results: dict[str, Any] = {}
    for split in ("dev", "test") if test else ("dev",):
        faces, labels = read_fer2013(data, split)
        results[split] = judged(labels, features_of(student, faces)[1].argmax(1))
        Console().log(f"faces, {split}: {results[split]}")
    write_json(out / "faces.json", results)
    return results


def judged(labels: NDArray[np.int64], said: NDArray[np.int64]) -> dict[str, Any]:
    """Accuracy with its interval over pictures, and macro F1, of what was said of (n,) labels."""

    def right(rows: NDArray[np.int64]) -> float:
        return accuracy(labels[rows], said[rows])

    return {
        "accuracy": accuracy(labels, said),
        "interval": bootstrap_interval(right, len(labels)),
        "macro_f1": float(f1_per_class(confusion_of(labels, said)).mean()),
    }
