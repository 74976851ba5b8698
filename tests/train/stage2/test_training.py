"""Stage 2 on tiny data: it learns, resumes exactly, and hides what it shall not see."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from magtkd_rt.models.magt import MagtConfig, StreamingMagt
from magtkd_rt.train.fusion import predict
from magtkd_rt.train.loop import Run
from magtkd_rt.train.metrics import accuracy, softmax
from magtkd_rt.train.stage2.features import FeatureSet, hold_out
from magtkd_rt.train.stage2.model import Adapter, Padded
from magtkd_rt.train.stage2.reliability import accuracy_under, noise_for, noise_like
from magtkd_rt.train.stage2.seeds import train_seeds
from magtkd_rt.train.stage2.training import (
    Stage2Recipe,
    criterion_of,
    learn_alone,
    new_stage2,
    train_stage2,
)

QUICK = Stage2Recipe(
    epochs=6, batch=4, learning_rate=5e-3, average=0.5, size=8, feature_size=8, heads=2, views=2,
    dropout=0.1,
)  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"mode": "paper", "imbalance": "weighted"},
        {"imbalance": "focal", "noise": (0.3, 0.3, 0.0)},
        {"principal": (6, 4, 5), "linear_first": 1.0, "select": "weighted_f1"},
    ],
)
def test_it_learns(
    changes: dict[str, Any], tiny: FeatureSet, tiny_test: FeatureSet, tmp_path: Path
) -> None:
    train, dev = hold_out(tiny, 0.25, 0)
    trained = train_stage2(train, dev, tmp_path / "run", replace(QUICK, **changes))
    probabilities = trained.probabilities(tiny_test)
    assert probabilities.shape == (len(tiny_test), 3)
    assert accuracy(tiny_test.labels, probabilities.argmax(1)) > 0.6
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    unseen = trained.probabilities(tiny_test, (False, False, True))
    assert not np.allclose(probabilities, unseen, atol=1e-3)
    assert 1 <= trained.epoch <= QUICK.epochs


def test_an_interrupted_run_ends_as_one_that_was_not(
    tiny: FeatureSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, dev = hold_out(tiny, 0.25, 0)
    recipe = replace(QUICK, epochs=3, noise=(0.5, 0.0, 0.0))
    whole = train_stage2(train, dev, tmp_path / "whole", recipe)
    finish = Run.finish_epoch

    def cut_off(run: Run, *args: Any, **numbers: Any) -> bool:
        finish(run, *args, **numbers)
        if run.epoch == 2:
            raise KeyboardInterrupt
        return True

    with monkeypatch.context() as patch:
        patch.setattr(Run, "finish_epoch", cut_off)
        with pytest.raises(KeyboardInterrupt):
            train_stage2(train, dev, tmp_path / "cut", recipe)
    resumed = train_stage2(train, dev, tmp_path / "cut", recipe)
    assert resumed.epoch == whole.epoch
    np.testing.assert_allclose(resumed.probabilities(dev), whole.probabilities(dev), atol=1e-6)


def test_causal_answers_do_not_know_the_future(
    tiny: FeatureSet, tiny_test: FeatureSet, tmp_path: Path
) -> None:
    """Asked for the first half of each dialogue only, it says the same; R = 2 does not."""
    train, dev = hold_out(tiny, 0.25, 0)
    trained = train_stage2(train, dev, tmp_path / "run", replace(QUICK, epochs=2))
    half = np.concatenate([rows[: (len(rows) + 1) // 2] for rows in tiny_test.rows()])
    cut = FeatureSet(
        tuple(one[half] for one in tiny_test.features),
        tiny_test.present[half],
        tiny_test.labels[half],
        tiny_test.dialogue[half],
        tiny_test.speaker[half],
        tiny_test.classes,
    )
    np.testing.assert_allclose(
        trained.probabilities(tiny_test)[half], trained.probabilities(cut), atol=1e-5
    )
    later, cut_later = (trained.probabilities(one, ahead=2) for one in (tiny_test, cut))
    assert not np.allclose(later[half], cut_later, atol=1e-5)


def test_words_alone_are_judged_in_the_light_of_the_conversation() -> None:
    config = MagtConfig(feature_size=4, size=8, heads=2, feed_forward=8, words_alone=False)
    magt = StreamingMagt(config).eval()
    features, speaker = torch.randn(1, 3, 3, 4), torch.zeros(1, 3, dtype=torch.long)
    present = torch.zeros(1, 3, 3)
    present[..., 0] = 1
    with torch.no_grad():
        said = magt(features, present, speaker)[0]
        features[0, 0, 0, 0] += 3
        assert not torch.allclose(said[0, 2], magt(features, present, speaker)[0][0, 2])


def test_spoiling_leaves_mean_and_width() -> None:
    random = np.random.default_rng(0)
    values = random.standard_normal((2000, 3)) @ random.standard_normal((3, 3)) + 5
    given = one_modality(values.astype(np.float32), random.integers(0, 2, 2000))
    adapter = Adapter(given.sizes, 2, 0.0, (2.0, 0.0, 0.0))
    adapter.fit(given)
    torch.manual_seed(0)
    raw = [torch.from_numpy(one)[None] for one in given.features]
    clean, spoiled = (adapter.standardise(raw, how)[0][0].numpy() for how in (False, True))
    np.testing.assert_allclose(np.cov(clean.T), np.cov(spoiled.T), atol=0.1)
    assert abs(np.corrcoef(clean[:, 0], spoiled[:, 0])[0, 1] - 1 / 5**0.5) < 0.05


def test_principal_components_keep_the_widest_directions() -> None:
    random = np.random.default_rng(0)
    wide = random.standard_normal(500)
    values = np.stack([wide, wide + 0.1 * random.standard_normal(500), random.random(500)], 1)
    given = one_modality(values.astype(np.float32), random.integers(0, 2, 500))
    adapter = Adapter(given.sizes, 2, 0.0, (0.0,) * 3, principal=(2, 0, 0)).eval()
    adapter.fit(given)
    raw = [torch.from_numpy(one)[None] for one in given.features]
    projected = adapter(raw)[0, :, 0].detach().numpy()
    assert abs(np.corrcoef(projected[:, 0], wide)[0, 1]) > 0.99
    np.testing.assert_allclose(projected.var(axis=0), [1.0, 0.5], atol=0.1)
    assert not adapter.project[0].weight.requires_grad


def one_modality(values: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> FeatureSet:
    count = len(labels)
    present = np.zeros((count, 3), dtype=np.bool_)
    present[:, 0] = True
    empty = np.zeros((count, 0), dtype=np.float32)
    return FeatureSet(
        (values, empty, empty), present, labels, np.arange(count) // 10, np.zeros(count, int),
        ("no", "yes"),
    )  # fmt: skip


def test_noise_is_found_that_gives_the_wanted_accuracy() -> None:
    random = np.random.default_rng(1)
    labels = random.integers(0, 2, 1500)
    values = (labels[:, None] * 2 - 1) * np.ones((1, 4)) + 0.3 * random.standard_normal((1500, 4))
    given = one_modality(values.astype(np.float32), labels)
    assert accuracy_under(given, 0, 0.0) > 0.99
    noise = noise_for(given, 0, 0.75)
    assert abs(accuracy_under(given, 0, noise) - 0.75) < 0.03
    assert noise_for(given, 0, 1.0) == 0.0
    # 84 of 100 is what one standard deviation of noise leaves
    blurred = values + random.standard_normal((1500, 1)) * np.ones((1, 4))
    dev = one_modality(blurred.astype(np.float32), random.permutation(labels)[:1500])
    dev = replace(dev, labels=labels)
    found = noise_like(given, dev)
    assert found[1:] == (0.0, 0.0)
    assert abs(accuracy_under(given, 0, found[0]) - 0.84) < 0.04


def test_losses_by_hand() -> None:
    logits, labels = torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([1, 0])
    shares = np.array([0.75, 0.25])
    unlikely = torch.tensor([np.log(1 + np.e**2), np.log(2)])
    focal = criterion_of(replace(QUICK, imbalance="focal"), shares)(logits, labels)
    expected = ((1 - (-unlikely).exp()) ** 2 * unlikely).mean()
    assert focal.item() == pytest.approx(expected.item(), abs=1e-6)
    recipe = replace(QUICK, imbalance="weighted", smoothing=0.0)
    weighted = criterion_of(recipe, shares)(logits, labels)  # weights 2 and 2/3 of 0.75, 0.25
    expected = (2.0 * unlikely[0] + 2 / 3 * unlikely[1]) / (2 + 2 / 3)
    assert weighted.item() == pytest.approx(expected.item(), abs=1e-6)


def test_batches_are_padded_and_unknown_speakers_known(tiny: FeatureSet) -> None:
    padded = Padded(replace(tiny, speaker=np.full(len(tiny), -1)), unknown=9)
    features, present, speaker, labels = padded.batch(np.array([0, 1]))
    rows = tiny.rows()[:2]
    longest = max(map(len, rows))
    assert features[0].shape == (2, longest, 6)
    assert (speaker == 9).all()
    for number, one in enumerate(rows):
        assert labels[number, : len(one)].tolist() == tiny.labels[one].tolist()
        assert (labels[number, len(one) :] == -100).all()
        assert not present[number, len(one) :].any()


def test_magt_begins_as_logistic_regression(tiny: FeatureSet, tmp_path: Path) -> None:
    recipe = replace(QUICK, principal=(6, 4, 5), linear_first=0.5)
    model = new_stage2(tiny.sizes, 3, recipe)
    model.adapter.fit(tiny)
    learn_alone(model, tiny, 0.5)
    features = np.concatenate([one.features for one in model.adapted(tiny)]).reshape(len(tiny), -1)
    alone = LogisticRegression(C=0.5, max_iter=1000).fit(features, tiny.labels)
    logits = predict(model.magt, model.adapted(tiny))
    np.testing.assert_allclose(softmax(logits), alone.predict_proba(features), atol=1e-5)
    again = train_seeds(tiny, None, tmp_path, replace(recipe, epochs=1, held_out=0.3), 1)
    trained = again.trained[0].model.magt
    assert not trained.words.weight.requires_grad
    added = next(trained.classify.parameters())  # by the conversation
    assert added.abs().max() > 0


def test_a_head_start_that_is_told(tiny: FeatureSet, tmp_path: Path) -> None:
    train, dev = hold_out(tiny, 0.25, 0)
    biases = []
    for start in (0.0, 0.5):
        recipe = replace(QUICK, epochs=1, head_start=start)
        trained = train_stage2(train, dev, tmp_path / str(start), recipe)
        biases.append(trained.model.magt.classify.get_parameter("0.bias").detach().numpy())
    np.testing.assert_allclose(biases[1] - biases[0], -0.5 * np.log(train.shares), atol=1e-6)
