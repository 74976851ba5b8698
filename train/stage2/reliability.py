"""How much to spoil features whose encoders have learned from the same utterances.

Such an encoder recognises its own training material far more surely than anything new (MOSI's text
vectors tell the label of held-out training videos in 98 % of cases, those of test videos in 75 %).
A fusion that learns from them trusts them too much, and a dev split cut out of them says nothing.
So they are spoiled until a plain classifier is as often right on them as on material that the
encoder did not see.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from magtkd_rt.labels import MODALITIES
from magtkd_rt.train.stage2.features import FeatureSet, folds
from magtkd_rt.train.stage2.model import Adapter

MOST: Final = 6.0
"""Standard deviations of noise at which nothing much is left."""
_HALVINGS, _FOLDS = 7, 4


def noise_for(train: FeatureSet, modality: int, wanted: float) -> float:
    """The noise with which logistic regression is right on a share `wanted` of held-out dialogues.

    Args:
        train: the training split.
        modality: index of text, audio or video.
        wanted: accuracy; 0 noise is returned where it is no better than that to begin with.
    """
    if accuracy_under(train, modality, 0.0) <= wanted:
        return 0.0
    low, high = 0.0, MOST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if accuracy_under(train, modality, middle) > wanted:
            low = middle
        else:
            high = middle
    return round((low + high) / 2, 2)


def noise_like(train: FeatureSet, dev: FeatureSet) -> tuple[float, float, float]:
    """For each modality, the noise that makes `train` as hard as `dev` is for what it teaches.

    For a dev split that the encoders have not learned from.
    """
    found = []
    for index in range(len(MODALITIES)):
        there = train.present[:, index].any() and dev.present[:, index].any()
        wanted = _fitted(train, dev, index, 0.0) if there else 1.0
        found.append(noise_for(train, index, wanted) if there else 0.0)
    return found[0], found[1], found[2]


def accuracy_under(train: FeatureSet, modality: int, noise: float) -> float:
    """Accuracy of logistic regression on held-out dialogues, all of them spoiled alike."""
    parts = folds(train, min(_FOLDS, len(train.rows())), seed=0)
    rights = [(_fitted(rest, held, modality, noise), len(held)) for rest, held in parts]
    return float(np.average([right for right, _ in rights], weights=[n for _, n in rights]))


def _fitted(train: FeatureSet, held: FeatureSet, modality: int, noise: float) -> float:
    levels = [noise if index == modality else 0.0 for index in range(len(MODALITIES))]
    adapter = Adapter(train.sizes, 1, 0.0, levels)
    adapter.fit(train)

    def ready(given: FeatureSet) -> tuple[np.ndarray, np.ndarray]:
        there = given.present[:, modality]
        raw = [torch.from_numpy(values)[None] for values in given.features]
        return adapter.standardise(raw, noise > 0)[modality][0].numpy()[there], given.labels[there]

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        inputs, labels = ready(train)
        classifier = LogisticRegression(C=0.003, max_iter=500).fit(inputs, labels)
        return float(classifier.score(*ready(held))) if held.present[:, modality].any() else 1.0
