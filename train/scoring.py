"""What evaluation says of a set of answers: scores with intervals, per class, reliability.

Several runs over the same rows (the fused results, once per pairing) are averaged; their
confusion matrices and reliability bins are pooled. `labels` are (n,), each run is (n, classes)
probabilities, `groups` (n,) names what belongs together, such as a dialogue.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.labels import LABELS
from magtkd_rt.train.metrics import (
    Labels,
    Probabilities,
    bootstrap_interval,
    calibration_noise,
    expected_calibration_error,
)

Counts = NDArray[np.int64]
"""A confusion matrix (classes, classes): rows are the true labels, columns the predicted ones."""
Groups = NDArray[np.int64] | None
BINS = 15


@dataclass(frozen=True)
class Measured:
    """A mean over runs with its 95 % bootstrap interval, and what each run had."""

    value: float
    low: float
    high: float
    runs: list[float]


@dataclass(frozen=True)
class ClassScore:
    """One class; `count` is how often it is true, in one run."""

    precision: float
    recall: float
    f1: float
    count: int


@dataclass(frozen=True)
class Bin:
    """Answers of about the same confidence: how sure on average, how often right, how many."""

    confidence: float
    accuracy: float
    count: int


@dataclass(frozen=True)
class Scores:
    """Everything about one condition.

    `count` is of rows in one run, `ece` the mean over runs, `ece_noise` what chance alone would
    give in one run.
    """

    count: int
    weighted_f1: Measured
    accuracy: Measured
    uar: Measured
    ece: float
    ece_noise: float
    per_class: dict[str, ClassScore]
    confusion: list[list[int]]
    reliability: list[Bin]


def confusion_of(labels: Labels, predicted: Labels, size: int = len(LABELS)) -> Counts:
    """Count pairs of true and predicted label, of which there are `size`."""
    counts: Counts = np.bincount(labels * size + predicted, minlength=size * size)
    return counts.reshape(size, size)


def f1_per_class(counts: Counts) -> NDArray[np.float64]:
    """(classes,); 0 where a class is neither true nor predicted."""
    both = counts.sum(axis=0) + counts.sum(axis=1)
    scores: NDArray[np.float64] = 2 * np.diag(counts) / np.maximum(both, 1)
    return scores


# The scores of metrics.py again, but from counts: a bootstrap asks for them a thousand times.
def weighted_f1(counts: Counts) -> float:
    """F1 per class, weighted with the true labels' shares."""
    return float(f1_per_class(counts) @ counts.sum(axis=1) / counts.sum())


def accuracy(counts: Counts) -> float:
    """Share of right answers."""
    return float(np.trace(counts) / counts.sum())


def uar(counts: Counts) -> float:
    """Unweighted average recall over the classes that occur."""
    true = counts.sum(axis=1)
    return float((np.diag(counts)[true > 0] / true[true > 0]).mean())


def measured(
    score: Callable[[Counts], float],
    labels: Labels,
    runs: Sequence[Labels],
    rounds: int,
    groups: Groups,
    minus: Sequence[Labels] = (),
    size: int = len(LABELS),
) -> Measured:
    """Mean of a score over the runs' predictions; with `minus`, less that of other predictions.

    A difference is paired: both sides are scored on the same resampled rows. `size` is how many
    labels there are.
    """

    def mean(predictions: Sequence[Labels], rows: NDArray[np.int64]) -> float:
        scores = [score(confusion_of(labels[rows], one[rows], size)) for one in predictions]
        return float(np.mean(scores)) if scores else 0.0

    everything = np.arange(len(labels))
    other = mean(minus, everything)
    each = [mean([one], everything) - other for one in runs]
    low, high = bootstrap_interval(
        lambda rows: mean(runs, rows) - mean(minus, rows), len(labels), rounds, groups=groups
    )
    return Measured(float(np.mean(each)), low, high, each)


def reliability(labels: Labels, probabilities: Probabilities) -> list[Bin]:
    """The bins behind the calibration error, empty ones left out."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    which = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        Bin(float(confidence[inside].mean()), float(right[inside].mean()), int(inside.sum()))
        for inside in (which == index for index in range(BINS))
        if inside.any()
    ]


def permutation_test(
    score: Callable[[Counts], float],
    labels: Labels,
    runs: Sequence[Labels],
    others: Sequence[Labels],
    rounds: int,
    groups: Groups = None,
    size: int = len(LABELS),
    seed: int = 0,
) -> float:
    """How likely a mean difference as large as that of two systems is, were they alike (two-sided).

    Which system said what is exchanged at random, for whole groups at once and in all runs alike
    (approximate randomisation, Noreen 1989). Both systems have as many runs.
    """
    random = np.random.default_rng(seed)
    _, member = np.unique(np.arange(len(labels)) if groups is None else groups, return_inverse=True)

    def difference(swap: NDArray[np.bool_]) -> float:
        pairs = zip(runs, others, strict=True)
        return float(
            np.mean(
                [
                    score(confusion_of(labels, np.where(swap, b, a), size))
                    - score(confusion_of(labels, np.where(swap, a, b), size))
                    for a, b in pairs
                ]
            )
        )

    seen = abs(difference(np.zeros(len(labels), dtype=np.bool_)))
    as_large = sum(
        abs(difference((random.random(member.max() + 1) < 0.5)[member])) >= seen - 1e-12
        for _ in range(rounds)
    )
    return (1 + as_large) / (1 + rounds)


def score(
    labels: Labels,
    runs: Sequence[Probabilities],
    rounds: int,
    groups: Groups = None,
    classes: Sequence[str] = LABELS,
) -> Scores:
    """Score one condition."""
    size = len(classes)
    predicted = [run.argmax(axis=1) for run in runs]
    counts = [confusion_of(labels, one, size) for one in predicted]
    true = counts[0].sum(axis=1)
    recall = np.mean([np.diag(c) / np.maximum(true, 1) for c in counts], axis=0)
    precision = np.mean([np.diag(c) / np.maximum(c.sum(axis=0), 1) for c in counts], axis=0)
    f1 = np.mean([f1_per_class(c) for c in counts], axis=0)
    return Scores(
        count=len(labels),
        weighted_f1=measured(weighted_f1, labels, predicted, rounds, groups, size=size),
        accuracy=measured(accuracy, labels, predicted, rounds, groups, size=size),
        uar=measured(uar, labels, predicted, rounds, groups, size=size),
        ece=float(np.mean([expected_calibration_error(labels, run, BINS) for run in runs])),
        ece_noise=calibration_noise(runs[0], BINS),
        per_class={
            label: ClassScore(float(p), float(r), float(f), int(n))
            for label, p, r, f, n in zip(classes, precision, recall, f1, true, strict=True)
        },
        confusion=np.sum(counts, axis=0).tolist(),
        reliability=reliability(np.tile(labels, len(runs)), np.concatenate(runs)),
    )
