"""Scores used everywhere: weighted F1, UAR, calibration error, bootstrap intervals, temperature.

Labels are (n,) integers, probabilities (n, classes) floats that sum to 1 per row.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score

Labels = NDArray[np.int64]
Probabilities = NDArray[np.float64]


def softmax(logits: NDArray[np.floating]) -> Probabilities:
    """Row-wise softmax of (n, classes)."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    exponent = np.exp(shifted)
    return np.asarray(exponent / exponent.sum(axis=-1, keepdims=True))


def weighted_f1(labels: Labels, predicted: Labels) -> float:
    """F1 per class, averaged with the classes' shares as weights (W-F1)."""
    return float(f1_score(labels, predicted, average="weighted", zero_division=0))


def accuracy(labels: Labels, predicted: Labels) -> float:
    """Share of right predictions."""
    return float(accuracy_score(labels, predicted))


def uar(labels: Labels, predicted: Labels) -> float:
    """Unweighted average recall over the classes that occur in `labels`."""
    return float(np.mean([(predicted[labels == c] == c).mean() for c in np.unique(labels)]))


def expected_calibration_error(
    labels: Labels, probabilities: Probabilities, bins: int = 15
) -> float:
    """ECE of the top label (Guo et al. 2017): |accuracy - confidence| over equal-width bins."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    error = 0.0
    for index in range(bins):
        inside = which == index
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return float(error)


def calibration_noise(
    probabilities: Probabilities, bins: int = 15, rounds: int = 100, seed: int = 0
) -> float:
    """The ECE that chance alone gives: the median if every answer were as sure as it should be.

    ECE never reaches 0 on few rows, and is the larger the fewer they are (Roelofs et al. 2022).
    """
    random = np.random.default_rng(seed)
    reached = probabilities.cumsum(axis=1)
    errors = []
    for _ in range(rounds):
        drawn = (random.random((len(reached), 1)) * reached[:, -1:] > reached).sum(axis=1)
        errors.append(expected_calibration_error(drawn, probabilities, bins))
    return float(np.median(errors))


def fit_temperature(labels: Labels, logits: NDArray[np.floating]) -> float:
    """The temperature that minimises the negative log-likelihood of `labels` (dev split only)."""
    candidates = np.exp(np.linspace(np.log(0.25), np.log(8.0), 141))

    def loss(temperature: float) -> float:
        probabilities = softmax(logits / temperature)
        return float(-np.log(probabilities[np.arange(len(labels)), labels] + 1e-12).mean())

    return float(min(candidates, key=loss))


def adjust(
    views: list[NDArray[np.float32]], labels: Labels, shares: NDArray[np.float64]
) -> tuple[NDArray[np.float32], float]:
    """Logit adjustment (Menon et al. 2021): rare labels get a head start, as much as dev likes.

    Args:
        views: logits of the dev split, each (n, classes): one or several ways to look at it.
        labels: of the dev split, (n,).
        shares: of the labels in the training split, (classes,).

    Returns:
        what to add to the logits, (classes,), and the mean W-F1 over the views that it gives.
    """
    options = [-strength * np.log(shares) for strength in np.linspace(0.0, 0.5, 11)]
    scores = [
        float(np.mean([weighted_f1(labels, (view + option).argmax(1)) for view in views]))
        for option in options
    ]
    best = int(np.argmax(scores))
    return options[best].astype(np.float32), scores[best]


def bootstrap_interval(
    score: Callable[[NDArray[np.int64]], float],
    size: int,
    rounds: int = 1000,
    seed: int = 0,
    groups: NDArray[np.int64] | None = None,
) -> tuple[float, float]:
    """The 95 % percentile interval of `score(rows)` over resampled rows.

    With `groups` (one id per row) whole groups are drawn, e.g. dialogues or actors, since rows
    inside one are not independent.
    """
    random = np.random.default_rng(seed)
    if groups is None:
        draws = [random.integers(0, size, size) for _ in range(rounds)]
    else:
        members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
        draws = [
            np.concatenate([members[i] for i in random.integers(0, len(members), len(members))])
            for _ in range(rounds)
        ]
    scores = [score(rows) for rows in draws]
    low, high = np.percentile(scores, [2.5, 97.5])
    return float(low), float(high)
