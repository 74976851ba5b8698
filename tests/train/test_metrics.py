"""Scores against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from magtkd_rt.train import metrics, scoring
from magtkd_rt.train.metrics import (
    accuracy,
    bootstrap_interval,
    expected_calibration_error,
    fit_temperature,
    softmax,
    uar,
    weighted_f1,
)

LABELS = np.array([0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 1, 1, 0, 0])


def test_weighted_f1() -> None:
    # F1 of class 0: 2*2/(4+3) = 4/7, of class 1: 2*1/(2+2) = 1/2, of class 2: 0
    assert weighted_f1(LABELS, PREDICTED) == pytest.approx((3 * 4 / 7 + 2 * 1 / 2) / 6)


def test_accuracy_and_uar() -> None:
    assert accuracy(LABELS, PREDICTED) == pytest.approx(3 / 6)
    assert uar(LABELS, PREDICTED) == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)


def test_uar_counts_only_classes_that_occur() -> None:
    assert uar(np.array([0, 0, 1]), np.array([0, 5, 1])) == pytest.approx((1 / 2 + 1) / 2)


def test_softmax() -> None:
    np.testing.assert_allclose(softmax(np.array([[0.0, math.log(3)]])), [[0.25, 0.75]])
    np.testing.assert_allclose(softmax(np.array([[1e4, 1e4, -1e4]])), [[0.5, 0.5, 0.0]])


def test_calibration_error() -> None:
    # bins: .9 and .9 share one (half of them right), .6 and .55 have one each
    sure = np.array([0.9, 0.9, 0.6, 0.55])
    probabilities = np.stack([sure, 1 - sure], axis=1)
    labels = np.array([0, 1, 0, 1])
    wanted = 0.5 * abs(0.5 - 0.9) + 0.25 * abs(1 - 0.6) + 0.25 * abs(0 - 0.55)
    assert expected_calibration_error(labels, probabilities) == pytest.approx(wanted)


def test_calibration_error_of_certainty() -> None:
    certain = np.array([[1.0, 0.0], [1.0, 0.0]])
    assert expected_calibration_error(np.array([0, 0]), certain) == 0.0
    assert expected_calibration_error(np.array([1, 1]), certain) == 1.0


def test_temperature_makes_confidence_what_is_right() -> None:
    # Always log(9) apart, so 90 % sure, but right three times of four: log(3) apart is honest.
    logits = np.tile([math.log(9), 0.0], (400, 1))
    labels = np.repeat([0, 0, 0, 1], 100)
    temperature = fit_temperature(labels, logits)
    assert temperature == pytest.approx(2.0, rel=0.02)
    assert expected_calibration_error(labels, softmax(logits / temperature)) < 0.01


def test_interval_of_a_mean() -> None:
    values = np.random.default_rng(1).standard_normal(400)
    low, high = bootstrap_interval(lambda rows: float(values[rows].mean()), 400, rounds=2000)
    error = values.std() / 20
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_groups_are_drawn_whole() -> None:
    groups = np.repeat(np.arange(20), 10)

    def whole(rows: NDArray[np.int64]) -> float:
        times = np.bincount(rows, minlength=200).reshape(20, 10)
        assert (times == times[:, :1]).all()
        assert times[:, 0].sum() == 20
        return 0.0

    assert bootstrap_interval(whole, 200, rounds=50, groups=groups) == (0.0, 0.0)


def test_rows_that_depend_on_each_other_widen_the_interval() -> None:
    groups = np.repeat(np.arange(30), 20)
    right = (groups % 2 == 0).astype(float)

    def width(groups: NDArray[np.int64] | None) -> float:
        low, high = bootstrap_interval(
            lambda rows: float(right[rows].mean()), 600, rounds=400, groups=groups
        )
        return high - low

    assert width(groups) > 3 * width(None)


def test_intervals_repeat() -> None:
    def score(rows: NDArray[np.int64]) -> float:
        return float(rows.mean())

    assert bootstrap_interval(score, 50, 30, seed=3) == bootstrap_interval(score, 50, 30, seed=3)
    assert bootstrap_interval(score, 50, 30, seed=3) != bootstrap_interval(score, 50, 30, seed=4)


pairs = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=40)


@settings(max_examples=15, deadline=None)
@given(pairs)
@pytest.mark.filterwarnings("ignore:A single label was found")
def test_scores_from_counts_are_the_same(pairs: list[tuple[int, int]]) -> None:
    labels, predicted = np.array(pairs).T
    counts = scoring.confusion_of(labels, predicted)
    assert counts.sum() == len(labels)
    assert counts[labels[0], predicted[0]] >= 1
    for name in ("weighted_f1", "accuracy", "uar"):
        wanted = getattr(metrics, name)(labels, predicted)
        assert getattr(scoring, name)(counts) == pytest.approx(wanted)


def test_a_paired_difference_knows_what_is_shared() -> None:
    random = np.random.default_rng(2)
    labels = random.integers(0, 7, 300)
    guesses = np.where(random.random(300) < 0.5, labels, 0)
    better = np.where(random.random(300) < 0.2, labels, guesses)
    same = scoring.measured(scoring.accuracy, labels, [guesses], 100, None, minus=[guesses])
    assert (same.value, same.low, same.high, same.runs) == (0.0, 0.0, 0.0, [0.0])
    gain = scoring.measured(scoring.accuracy, labels, [better, guesses], 200, None, minus=[guesses])
    one = accuracy(labels, better) - accuracy(labels, guesses)
    assert gain.runs == pytest.approx([one, 0.0])
    assert gain.value == pytest.approx(one / 2)
    assert 0 < gain.low < gain.value < gain.high
    alone = scoring.measured(scoring.accuracy, labels, [better], 200, None)
    assert gain.high - gain.low < alone.high - alone.low


def test_scores_of_one_condition() -> None:
    sure = np.full((4, 7), 0.05)
    sure[np.arange(4), [0, 0, 1, 2]] = 0.7
    unsure = np.full((4, 7), 0.1)
    unsure[np.arange(4), [0, 1, 1, 1]] = 0.4
    scores = scoring.score(np.array([0, 1, 1, 1]), [sure, unsure], rounds=10)
    assert scores.count == 4
    assert scores.accuracy.runs == [0.5, 1.0]
    assert scores.accuracy.value == 0.75
    joy = scores.per_class["joy"]
    assert (joy.count, joy.precision) == (3, 1.0)
    assert joy.recall == pytest.approx((1 / 3 + 1) / 2)
    assert joy.f1 == pytest.approx((0.5 + 1) / 2)
    assert np.array(scores.confusion)[:2, :3].tolist() == [[2, 0, 0], [1, 4, 1]]
    assert scores.ece == pytest.approx((abs(0.5 - 0.7) + abs(1 - 0.4)) / 2)
    bins = [(b.confidence, b.accuracy, b.count) for b in scores.reliability]
    assert bins == [(pytest.approx(0.4), 1.0, 4), (pytest.approx(0.7), 0.5, 4)]


def test_calibration_noise_falls_with_the_rows() -> None:
    random = np.random.default_rng(1)
    probabilities = random.dirichlet(np.ones(7), 4000)
    few, many = (metrics.calibration_noise(probabilities[:count]) for count in (100, 4000))
    assert 0.05 < few < 0.15
    assert 0.005 < many < 0.02
    sure = np.eye(7)[random.integers(0, 7, 50)]
    assert metrics.calibration_noise(sure) == 0
