"""How labels follow one another in a conversation, learned from labels alone.

A corpus may have many more dialogues with labels than with features. From a few features MAGT
learns what an utterance says, but hardly what usually comes after what; labels alone tell that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from magtkd_rt.train.corpora.types import Dialogue
from magtkd_rt.train.stage2.features import FeatureSet

Floats = NDArray[np.float64]

WEIGHT: Final = 0.7
"""How much the flow counts beside what is said of an utterance: MAGT knows some of it already."""
_STRENGTH: Final = 0.1  # the inverse of how much is regularised
_KEPT: Final = 0.7  # of the running mean over everybody, at each utterance
_OWN_KEPT: Final = 0.6  # of a speaker's own


@dataclass(frozen=True)
class Flow:
    """What is likely next, from what was said of earlier utterances and by whom.

    Attributes:
        next: logistic regression on `past`.
        shares: (classes,), how often each label occurs.
    """

    next: LogisticRegression
    shares: Floats

    def follow(self, said: Floats, given: FeatureSet) -> Floats:
        """What a model says, in the light of what it said of earlier utterances.

        Its probabilities are multiplied by how much likelier than usual each label is by now, to
        the power of :data:`WEIGHT`. So an utterance changes by what came before it, never after.

        Args:
            said: (n, classes), a model's probabilities.
            given: the n utterances that it says them of; only who speaks in which dialogue counts.

        Returns:
            (n, classes) probabilities.
        """
        seen = [past(said[rows], given.speaker[rows]) for rows in given.rows()]
        usual = self.next.predict_proba(np.concatenate(seen)) / self.shares
        said = said * usual**WEIGHT
        followed: Floats = said / said.sum(axis=1, keepdims=True)
        return followed


def learn_flow(dialogues: Sequence[Dialogue], classes: int) -> Flow:
    """Learn from the labels of dialogues in which each of the classes occurs."""
    labels = [np.array([utterance.label for utterance in one]) for one in dialogues]
    seen = [
        past(np.eye(classes)[of_one], np.array([utterance.speaker for utterance in one]))
        for of_one, one in zip(labels, dialogues, strict=True)
    ]
    everything = np.concatenate(labels)
    fitted = LogisticRegression(C=_STRENGTH, max_iter=1000)
    fitted.fit(np.concatenate(seen), everything)
    return Flow(fitted, np.bincount(everything, minlength=classes) / len(everything))


def past(said: Floats, speaker: NDArray[np.int64]) -> Floats:
    """What came before each utterance of a dialogue.

    Args:
        said: (n, classes), probabilities of each utterance, or a one at its label.
        speaker: (n,), who says it; -1 is unknown.

    Returns:
        (n, 4 classes + 3): the last utterance of the same speaker and the last of all, the running
        means of both; whether it is the first of all, not its speaker's first, and whether its
        speaker spoke last as well. Of an unknown speaker nothing is known.
    """
    count, classes = said.shape
    rows = np.zeros((count, 4 * classes + 3))
    nothing = np.zeros(classes)
    last, own_mean = dict[int, Floats](), dict[int, Floats]()
    mean = before = nothing
    for number, who in enumerate(speaker.tolist()):
        flags = (number == 0, who in last, who in last and speaker[number - 1] == who)
        rows[number] = np.concatenate(
            [last.get(who, nothing), before, own_mean.get(who, nothing), mean, flags]
        )
        before = said[number]
        mean = _KEPT * mean + (1 - _KEPT) * before
        if who >= 0:
            last[who] = before
            own_mean[who] = _OWN_KEPT * own_mean.get(who, nothing) + (1 - _OWN_KEPT) * before
    return rows
