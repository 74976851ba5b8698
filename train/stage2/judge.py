"""What is said of systems that answered the same utterances: scores, differences, tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.train import scoring
from magtkd_rt.train.metrics import Probabilities

Results = dict[str, Any]
Score = Callable[[scoring.Counts], float]
SCORES: Final[dict[str, Score]] = {
    "weighted_f1": scoring.weighted_f1,
    "accuracy": scoring.accuracy,
    "uar": scoring.uar,
}


@dataclass(frozen=True)
class System:
    """Answers of one system.

    Attributes:
        runs: (n, classes) probabilities each, one per seed.
        sees: how far it looks: nothing, past, right context, or everything.
        note: what else a reader has to know.
    """

    runs: list[Probabilities]
    sees: str
    note: str = ""

    @property
    def labels(self) -> list[NDArray[np.int64]]:
        """(n,) of each run, the likeliest label."""
        return [run.argmax(axis=1) for run in self.runs]

    @property
    def sees_future(self) -> bool:
        """Whether a live conversation could not have known it at once."""
        return self.sees not in (NOTHING, PAST)


NOTHING: Final = "the utterance alone"
PAST: Final = "the past"
EVERYTHING: Final = "the whole dialogue"


def right_context(ahead: int) -> str:
    """What a second look sees."""
    return f"the past and {ahead} later"


def describe(
    corpus: str,
    metric: str,
    labels: NDArray[np.int64],
    classes: Sequence[str],
    groups: NDArray[np.int64],
    systems: Mapping[str, System],
    compared: Sequence[tuple[str, str]],
    rounds: int,
) -> Results:
    """Score every system and test pairs of them.

    Args:
        corpus: and split, for a reader.
        metric: that is compared, of :data:`SCORES`.
        labels: (n,).
        classes: their names.
        groups: (n,), what is drawn together: dialogues, actors.
        systems: by name.
        compared: names of two systems each; the first less the second is told.
        rounds: of bootstrap and permutation.
    """
    scored = {}
    for name, system in systems.items():
        one = asdict(scoring.score(labels, system.runs, rounds, groups, classes))
        for score in SCORES:
            runs = one[score]["runs"]
            one[score]["sd"] = float(np.std(runs, ddof=1)) if len(runs) > 1 else 0.0
        scored[name] = one | {
            "sees": system.sees,
            "sees_future": system.sees_future,
            "note": system.note,
        }
    tests = [
        _compare(first, second, systems, SCORES[metric], labels, len(classes), groups, rounds)
        for first, second in compared
    ]
    return {
        "corpus": corpus,
        "metric": metric,
        "utterances": len(labels),
        "groups": len(np.unique(groups)),
        "majority": float(np.bincount(labels).max() / len(labels)),
        "systems": scored,
        "tests": tests,
    }


def _compare(
    first: str,
    second: str,
    systems: Mapping[str, System],
    score: Score,
    labels: NDArray[np.int64],
    size: int,
    groups: NDArray[np.int64],
    rounds: int,
) -> Results:
    one, other = systems[first].labels, systems[second].labels
    if len(one) != len(other):  # a system without seeds stands against each seed of the other
        most = max(len(one), len(other))
        one, other = one * (most // len(one)), other * (most // len(other))
    difference = scoring.measured(score, labels, one, rounds, groups, other, size)
    return {
        "first": first,
        "second": second,
        "value": difference.value,
        "low": difference.low,
        "high": difference.high,
        "p": scoring.permutation_test(score, labels, one, other, rounds, groups, size),
    }


def goal(
    what: str,
    value: float,
    wanted: float,
    interval: Sequence[float],
    *,
    strictly: bool = False,
) -> Results:
    """One row of what was to be reached: `value` is to be `wanted` or more, `strictly` more."""
    return {
        "what": what,
        "value": value,
        "wanted": wanted,
        "strictly": strictly,
        "interval": list(interval),
        "reached": bool(value > wanted if strictly else value >= wanted),
    }
