"""The audio recipe: altered copies, the head, and clips that a head has not heard."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from magtkd_rt.models.audio import AudioStudent
from magtkd_rt.train.audio import AudioRecipe, Pooled, alter, fit_head, likelihood, read_out
from magtkd_rt.train.loop import Run, digest
from magtkd_rt.train.metrics import uar

RECIPE = AudioRecipe(epochs=3, batch=16, altered=1)


def made(actors: list[int], seed: int) -> Pooled:
    """Clips whose label can be told from some of their numbers, with an altered copy of each."""
    random = np.random.default_rng(seed)
    size = AudioStudent().mean.shape[0]
    labels = np.tile(np.arange(7), 4 * len(actors))
    versions = random.standard_normal((2, len(labels), size)).astype(np.float32)
    versions[:, np.arange(len(labels)), labels * 10] += 40
    return Pooled(torch.from_numpy(versions), labels, np.repeat(actors, 28))


def test_altered_sound_is_another_but_of_the_same_level() -> None:
    sound = np.sin(np.arange(40_000) / 20).astype(np.float32) * 0.1
    for seed in range(12):
        other = alter(sound, np.random.default_rng(seed))
        assert other.dtype == np.float32 and np.isfinite(other).all()
        assert 1.0 * 16_000 < len(other) < 46_000
        if other.std() > 1e-3:  # the telephone's band may leave nothing of a low tone
            assert 0.3 < other.std() / sound.std() < 3
    first, again = (alter(sound, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_the_head_learns_and_the_encoders_stay(tmp_path: Path) -> None:
    learned, dev = made([1, 2], 1), made([3], 2)
    student = AudioStudent()
    before = digest(student.timbre, student.melody)
    run = Run(tmp_path)
    fit_head(student, learned, dev, run, replace(RECIPE, epochs=40))
    assert digest(student.timbre, student.melody) == before
    assert uar(dev.labels, read_out(student, dev)[1].argmax(1)) > 0.6
    assert run.best_score == pytest.approx(likelihood(dev.labels, read_out(student, dev)[1]))


def test_a_head_that_imitates_keeps_the_last_layer(tmp_path: Path) -> None:
    learned, dev = made([1, 2], 1), made([3], 2)
    student = AudioStudent()
    last = digest(student.classify)
    wanted = torch.randn(len(learned.labels), student.project.out_features).tanh()
    fit_head(student, learned, dev, Run(tmp_path), RECIPE, wanted)
    assert digest(student.classify) == last


def test_an_interrupted_head_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    learned, dev = made([1, 2], 1), made([3], 2)

    class Interrupted(Run):
        def finish_epoch(
            self, score: float, best: dict[str, Tensor], *parts: Any, **numbers: float
        ) -> bool:
            super().finish_epoch(score, best, *parts, **numbers)
            raise KeyboardInterrupt

    def start() -> AudioStudent:
        torch.manual_seed(4)
        return AudioStudent()

    whole = fit_head(start(), learned, dev, Run(tmp_path / "whole"), RECIPE)
    with pytest.raises(KeyboardInterrupt):
        fit_head(start(), learned, dev, Interrupted(tmp_path / "cut"), RECIPE)
    resumed = fit_head(start(), learned, dev, Run(tmp_path / "cut"), RECIPE)
    assert digest(resumed) == digest(whole)


def test_likelihood_is_a_geometric_mean() -> None:
    logits = np.log(np.array([[0.9, 0.1], [0.6, 0.4]], np.float32))
    assert likelihood(np.array([0, 1]), logits) == pytest.approx((0.9 * 0.4) ** 0.5, rel=1e-5)
