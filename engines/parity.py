"""The gate: a graph runs on another engine only if it says what the same graph says in 32 bits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
Run = Callable[[Arrays], Mapping[str, NDArray[Any]]]


@dataclass(frozen=True, slots=True)
class Limits:
    """Largest difference of any logit, and least share of equal decisions."""

    logits: float
    decisions: float


LIMITS: Final[Mapping[str, Limits]] = {
    "float32": Limits(1e-3, 0.995),
    "float16": Limits(2e-2, 0.995),
    "bfloat16": Limits(2e-2, 0.995),
    "int8": Limits(0.3, 0.99),  # what exporting a bundle allows its 8-bit weights
}
"""By the precision that an engine computes in."""


ALIKE: Final = 0.95
"""Least cosine of a voice's vector, which decides nothing by itself, to count as the same."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How a graph on an engine compares with itself in 32 bits.

    Attributes:
        precision: what the engine computed in.
        cases: how many inputs were compared; each row of a batch counts.
        logits: largest difference of a logit, of a voice's vector where there are none.
        other: largest difference of any other output, such as features and state.
        decisions: share of the rows whose largest logit was the same one; of a voice's vectors,
            share of those that were alike.
    """

    precision: str
    cases: int
    logits: float
    other: float
    decisions: float

    @property
    def passed(self) -> bool:
        """Whether it is within the limits of its precision; numbers that are none never are."""
        limits = LIMITS[self.precision]
        return (
            self.logits <= limits.logits
            and np.isfinite(self.other).item()
            and self.decisions >= limits.decisions
        )

    def __str__(self) -> str:
        limits = LIMITS[self.precision]
        return (
            f"logits {self.logits:.2g} away (at most {limits.logits:g}), "
            f"{self.decisions:.1%} of {self.cases} decisions equal "
            f"(at least {limits.decisions:.1%})"
        )


def compare(precision: str, cases: Iterable[Arrays], exact: Run, other: Run) -> Parity:
    """Run all cases both ways.

    Args:
        precision: a key of :data:`LIMITS`.
        cases: inputs of the graph.
        exact: runs it in 32 bits.
        other: runs it on the engine in question.

    Raises:
        EngineError: one of the two failed.
    """
    logits, rest, equal = 0.0, 0.0, []
    for case in cases:
        wanted, got = exact(case), other(case)
        # A graph without classes, a voice's, is judged by its first output.
        judged = "logits" if "logits" in wanted else next(iter(wanted))
        for name, right in wanted.items():
            apart = _apart(right, got.get(name))
            if name == judged:
                logits = max(logits, apart)
            else:
                rest = max(rest, apart)
        if judged == "logits" and logits < np.inf:
            equal += (wanted[judged].argmax(-1) == got[judged].argmax(-1)).tolist()
        elif logits < np.inf:
            equal += (_cosines(wanted[judged], got[judged]) >= ALIKE).tolist()
        else:
            equal += [False] * len(wanted[judged])
    return Parity(precision, len(equal), logits, rest, float(np.mean(equal)) if equal else 0.0)


def _cosines(right: NDArray[Any], got: NDArray[Any]) -> NDArray[Any]:
    """Of each row, (rows, size) twice."""
    lengths = np.linalg.norm(right, axis=-1) * np.linalg.norm(got, axis=-1)
    cosines: NDArray[Any] = (right * got).sum(-1) / np.maximum(lengths, 1e-12)
    return cosines


def _apart(right: NDArray[Any], got: NDArray[Any] | None) -> float:
    """Largest difference; infinite where the shape is another, or a number is none."""
    if got is None or got.shape != right.shape or got.dtype != right.dtype:
        return float("inf")
    apart = np.abs(got.astype(np.float64) - right.astype(np.float64)).max(initial=0.0)
    return float(apart) if np.isfinite(apart) else float("inf")
