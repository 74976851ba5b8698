"""The face student: pictures as training shows them, its recipe and its figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from magtkd_rt.models.video import FACE_SIZE
from magtkd_rt.train import video
from magtkd_rt.train.corpora.starter import FER_SPLITS
from magtkd_rt.train.faces import judged, train_faces
from magtkd_rt.train.loop import Run
from magtkd_rt.train.video import VideoRecipe, augment

EMOTIONS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
QUICK = VideoRecipe(epochs=2, batch=16, learning_rate=0.02, average=0.5, dropout=0.0)
LONGER = replace(QUICK, epochs=6, batch=8)


@pytest.fixture
def faces_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """FER2013 in its shape: of two labels, bright above or bright below."""
    monkeypatch.setattr(video, "bf16_is_faster", lambda: False)
    random = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {"classes": np.array(EMOTIONS)}
    for name in FER_SPLITS.values():
        labels = np.arange(64) % 2
        pictures = random.integers(0, 120, (64, FACE_SIZE, FACE_SIZE), dtype=np.uint8)
        pictures[labels == 0, : FACE_SIZE // 2] += 120
        pictures[labels == 1, FACE_SIZE // 2 :] += 120
        arrays |= {f"{name}_x": pictures, f"{name}_y": np.where(labels == 0, 3, 6)}
    (tmp_path / "fer2013").mkdir()
    np.savez(tmp_path / "fer2013" / "fer2013.npz", **arrays)  # type: ignore[arg-type]
    return tmp_path


def test_a_student_learns_and_is_judged_on_what_is_asked_for(
    faces_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    results = train_faces(faces_folder, out, LONGER)
    assert results["dev"]["accuracy"] > 0.9 and "test" not in results
    written = (out / "video" / "best.pt").stat().st_mtime_ns
    again = train_faces(faces_folder, out, LONGER, test=True)  # trained already: only judged
    assert (out / "video" / "best.pt").stat().st_mtime_ns == written
    assert again["dev"] == results["dev"] and again["test"]["accuracy"] > 0.9
    assert json.loads((out / "faces.json").read_text()) == json.loads(json.dumps(again))


def test_a_run_that_was_cut_off_goes_on_as_if_it_had_not_been(
    faces_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_faces(faces_folder, tmp_path / "whole", QUICK)
    finish, ends = Run.finish_epoch, iter((True,))

    def cut_off(run: Run, *args: object, **numbers: float) -> bool:
        better = finish(run, *args, **numbers)  # type: ignore[arg-type]
        if next(ends, False):
            raise KeyboardInterrupt
        return better

    monkeypatch.setattr(Run, "finish_epoch", cut_off)
    with pytest.raises(KeyboardInterrupt):
        train_faces(faces_folder, tmp_path / "cut", QUICK)
    train_faces(faces_folder, tmp_path / "cut", QUICK)
    whole, cut = (
        json.loads((tmp_path / name / "video" / "history.json").read_text())
        for name in ("whole", "cut")
    )
    assert len(cut) == QUICK.epochs and cut == whole


def test_pictures_are_shown_changed_but_within_bounds() -> None:
    torch.manual_seed(3)
    square = torch.zeros(200, FACE_SIZE, FACE_SIZE, dtype=torch.uint8)
    square[:, 16:32, 16:32] = 200
    shown = augment(square)
    assert shown.shape == square.shape and shown.min() >= 0 and shown.max() <= 255
    changed = (shown - square).abs().mean(dim=(1, 2))
    assert (changed > 1).float().mean() > 0.9
    across = torch.arange(FACE_SIZE, dtype=torch.float32)
    lit = (shown > 100).float()
    centre = (lit.sum(1) * across).sum(1) / lit.sum((1, 2)).clamp(min=1)
    assert (centre - 23.5).abs().median() < 4  # a face stays about where it was


def test_figures_by_hand() -> None:
    labels, said = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0])
    figures = judged(labels, said)
    assert figures["accuracy"] == 0.75
    low, high = figures["interval"]
    assert 0 <= low < 0.75 < high <= 1
    assert figures["macro_f1"] == pytest.approx((4 / 5 + 2 / 3) / 7)


def test_dropout_is_the_recipes(faces_folder: Path, tmp_path: Path) -> None:
    losses = []
    for dropout in (0.0, 0.9):
        out = tmp_path / f"dropout-{dropout}"
        train_faces(faces_folder, out, replace(QUICK, epochs=1, dropout=dropout))
        losses.append(json.loads((out / "video" / "history.json").read_text())[0]["loss"])
    assert losses[0] != losses[1]
