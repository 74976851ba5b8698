"""What MAGT has to beat: logistic regression on single utterances; and seeds put together."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from magtkd_rt.train.stage2.features import FeatureSet
from magtkd_rt.train.stage2.judge import NOTHING, System


def logistic(
    train: FeatureSet,
    test: FeatureSet,
    keep: tuple[bool, bool, bool] = (True, True, True),
    strength: float = 1.0,
) -> System:
    """Logistic regression on the standardised vectors, one beside the other.

    Args:
        train: what is learned from.
        test: what is answered.
        keep: which modalities.
        strength: the inverse of how much is regularised; 1 is the library's own.
    """

    def inputs(given: FeatureSet) -> np.ndarray:
        return np.concatenate(
            [one for one, kept in zip(given.features, keep, strict=True) if kept], axis=1
        )

    fitted = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
    fitted.fit(inputs(train), train.labels)
    probabilities = np.full((len(test), len(test.classes)), 0.0)
    probabilities[:, fitted.classes_] = fitted.predict_proba(inputs(test))
    return System([probabilities], NOTHING, "one fit, no seeds")


def averaged(system: System) -> System:
    """The mean of all seeds' probabilities as one system: as dear as all of them."""
    note = f"{len(system.runs)} models in one"
    return System([np.mean(system.runs, axis=0)], system.sees, note)
