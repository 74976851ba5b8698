"""A run that was interrupted goes on as if it had not been."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from magtkd_rt.errors import InputError
from magtkd_rt.train import fusion
from magtkd_rt.train.fusion import FusionRecipe, train_fusion
from magtkd_rt.train.loop import Average, Run, digest, seed_everything

EPOCHS = 5


def train(folder: Path, stop_in: int | None = None) -> tuple[Run, dict[str, Tensor], nn.Module]:
    """A small recipe in the form of the real ones; `stop_in`: an epoch that is cut off halfway."""
    seed_everything(7)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 2))
    optimizer = torch.optim.AdamW(model.parameters(), 0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=EPOCHS * 6)
    averaged = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 2))
    averaged.load_state_dict(model.state_dict())
    run = Run(folder)
    run.resume(model, averaged, optimizer, schedule)
    average = Average(averaged, 0.9)
    while run.epoch < EPOCHS:
        seed_everything(7 + 1000 * (run.epoch + 1))
        model.train()
        summed = 0.0
        for step in range(6):
            if run.epoch == stop_in and step == 3:
                raise KeyboardInterrupt
            x = torch.randn(16, 4)
            loss = nn.functional.cross_entropy(model(x), (x.sum(1) > 0).long())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            average.update(model)
            summed += float(loss.detach())
        averaged.load_state_dict(average.state)
        run.finish_epoch(
            1 / (1 + summed),
            averaged.state_dict(),
            model,
            averaged,
            optimizer,
            schedule,
            loss=summed,
        )
    return run, run.best(), model


@pytest.mark.parametrize("stop_in", [0, 1, EPOCHS - 1])
def test_resumed_equals_uninterrupted(tmp_path: Path, stop_in: int) -> None:
    whole, best, model = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", stop_in)
    resumed, best_again, model_again = train(tmp_path / "cut")
    assert resumed.history == whole.history
    assert [row["epoch"] for row in whole.history] == [1, 2, 3, 4, 5]
    assert len({row["loss"] for row in whole.history}) == EPOCHS
    assert resumed.best_score == whole.best_score
    torch.testing.assert_close(best_again, best, rtol=0, atol=0)
    torch.testing.assert_close(model_again.state_dict(), model.state_dict(), rtol=0, atol=0)
    assert json.loads((tmp_path / "cut" / "history.json").read_text()) == whole.history


def test_a_finished_run_does_nothing_more(tmp_path: Path) -> None:
    first, _, _ = train(tmp_path)
    before = (tmp_path / "last.pt").stat().st_mtime_ns
    again, _, _ = train(tmp_path)
    assert again.history == first.history
    assert (tmp_path / "last.pt").stat().st_mtime_ns == before


def test_the_best_is_the_first_of_the_highest_dev_scores(tmp_path: Path) -> None:
    run = Run(tmp_path)
    kept = [
        run.finish_epoch(score, {"epoch": torch.tensor(number)})
        for number, score in enumerate((0.2, 0.5, 0.4, 0.5))
    ]
    assert kept == [True, True, False, False]
    assert int(run.best()["epoch"]) == 1
    assert run.best_score == 0.5


def test_the_fusions_recipe_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_split: fusion.Split
) -> None:
    recipe = FusionRecipe(epochs=2, batch=16)
    shares = torch.full((7,), 1 / 7, dtype=torch.float64).numpy()
    train = partial(
        train_fusion, "streaming", small_split, small_split, shares, nn.Linear(8, 7), recipe=recipe
    )
    whole = train(out=tmp_path / "a")

    monkeypatch.setattr(fusion, "drop_modalities", _interrupt_in_second_epoch())
    with pytest.raises(KeyboardInterrupt):
        train(out=tmp_path / "b")
    monkeypatch.undo()
    resumed = train(out=tmp_path / "b")
    torch.testing.assert_close(resumed.state_dict(), whole.state_dict(), rtol=0, atol=0)
    histories = [(tmp_path / f / "fusion-streaming" / "history.json").read_text() for f in "ab"]
    assert histories[0] == histories[1]
    assert len(json.loads(histories[0])) == 2


def _interrupt_in_second_epoch() -> object:
    real, calls = fusion.drop_modalities, []

    def drop(there: Tensor, recipe: FusionRecipe) -> Tensor:
        calls.append(1)
        if len(calls) == 2:  # one batch an epoch
            raise KeyboardInterrupt
        return real(there, recipe)

    return drop


def test_a_run_of_something_else_starts_anew(tmp_path: Path) -> None:
    first = Run(tmp_path, digest(1))
    first.finish_epoch(0.5, {"a": torch.ones(1)})
    again = Run(tmp_path, digest(1))
    again.resume()
    assert again.epoch == 1
    other = Run(tmp_path, digest(2))
    other.resume()
    assert other.epoch == 0
    assert not (tmp_path / "best.pt").exists()


@pytest.mark.parametrize("name", ["last.pt", "best.pt"])
@pytest.mark.parametrize("cut", [0, 100, -100])
def test_a_damaged_checkpoint_is_told(tmp_path: Path, name: str, cut: int) -> None:
    train(tmp_path)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match=f"{name} is damaged") as told:
        train(tmp_path)
    assert "delete" in str(told.value.remedy)


def test_digests_tell_weights_and_arrays_apart() -> None:
    layer = nn.Linear(2, 2)
    before = digest(layer)
    assert before == digest(layer)
    with torch.no_grad():
        layer.weight += 1
    assert digest(layer) != before
    assert digest(np.zeros(2)) != digest(np.ones(2))
