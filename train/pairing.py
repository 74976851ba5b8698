"""Pair MELD's words with borrowed voices and faces, as honestly as that can be done.

No corpus at hand has text, voice and face of the same moment. A MELD dialogue gives words,
speakers and order; each of its speakers is given one RAVDESS actor, and each utterance faces of
FER2013, with the utterance's label. Acted studio material would be far too reliable, so some of
the borrowed voices and faces are exchanged for ones of a random label, until each modality alone
is only as good as wanted. Splits never mix.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.train.corpora.starter import Dialogue
from magtkd_rt.train.metrics import fit_temperature, softmax, weighted_f1

Floats = NDArray[np.float32]
FACES = 4
"""At most so many faces per utterance."""


@dataclass(frozen=True)
class Bank:
    """One modality's encoded material of one split.

    Attributes:
        features: (n, d); logits: (n, classes) of the student itself; labels: (n,).
        owner: (n,) who speaks (actors); zeros where that does not matter.
    """

    features: Floats
    logits: Floats
    labels: NDArray[np.int64]
    owner: NDArray[np.int64]

    def __post_init__(self) -> None:
        where: dict[tuple[int, int], NDArray[np.int64]] = {}
        for owner in np.unique(self.owner):
            for label in np.unique(self.labels):
                rows = np.flatnonzero((self.owner == owner) & (self.labels == label))
                where[int(owner), int(label)] = rows
        object.__setattr__(self, "_where", where)

    def draw(self, owner: int, label: int, random: np.random.Generator) -> int:
        """A random row of that owner and label."""
        where: dict[tuple[int, int], NDArray[np.int64]] = self._where  # type: ignore[attr-defined]
        return int(random.choice(where[owner, label]))

    @property
    def owners(self) -> list[int]:
        """Everybody in the bank."""
        return [int(owner) for owner in np.unique(self.owner)]


@dataclass(frozen=True)
class Exchange:
    """Shares of utterances whose voice or face is exchanged for a random label's."""

    audio: float = 0.0
    video: float = 0.0


@dataclass(frozen=True)
class Paired:
    """One dialogue with three modalities.

    Attributes:
        features: (n, 3, d); speaker: (n,), -1 for an unknown one; labels: (n,).
        logits: (n, 3, classes), what each modality's own student says.
        voice: (n,), row of the borrowed voice in its bank.
        present: (n, 3), what there is of each utterance; None is everything.
    """

    features: Floats
    logits: Floats
    speaker: NDArray[np.int64]
    labels: NDArray[np.int64]
    voice: NDArray[np.int64]
    present: NDArray[np.bool_] | None = None


def pair_dialogue(
    dialogue: Dialogue,
    text: Bank,
    rows: NDArray[np.int64],
    voices: Bank,
    faces: Bank,
    exchange: Exchange,
    shares: NDArray[np.float64],
    random: np.random.Generator,
) -> Paired:
    """Give one dialogue voices and faces.

    Args:
        dialogue: words, speakers and labels.
        text: the split's encoded words; `rows` says which are this dialogue's.
        voices: the split's encoded voices, owned by actors.
        faces: the split's encoded faces.
        exchange: how much is exchanged.
        shares: (classes,), how often each label is drawn for what is exchanged.
    """
    actors = random.permutation(voices.owners)
    features, logits, borrowed = [], [], []

    def label_or_any(label: int, share: float) -> int:
        return int(random.choice(len(shares), p=shares)) if random.random() < share else label

    for row, utterance in zip(rows, dialogue, strict=True):
        actor = int(actors[utterance.speaker % len(actors)])
        voice = voices.draw(actor, label_or_any(utterance.label, exchange.audio), random)
        borrowed.append(voice)
        expression = label_or_any(utterance.label, exchange.video)
        seen = [faces.draw(0, expression, random) for _ in range(random.integers(1, FACES + 1))]
        features.append(
            [text.features[row], voices.features[voice], faces.features[seen].mean(axis=0)]
        )
        logits.append([text.logits[row], voices.logits[voice], faces.logits[seen].mean(axis=0)])
    return Paired(
        np.array(features, np.float32),
        np.array(logits, np.float32),
        np.array([u.speaker for u in dialogue]),
        np.array([u.label for u in dialogue]),
        np.array(borrowed),
    )


def reliability(
    logits: Floats,
    labels: NDArray[np.int64],
    bank: Bank,
    trained: NDArray[np.float64],
    exchanged: float,
    shares: NDArray[np.float64],
) -> float:
    """W-F1 of one borrowed modality alone, for whoever knows how often its label was exchanged.

    Published figures of one modality come from classifiers that had learned how little it says. A
    student that takes every borrowed face for the speaker's own would reach the same figure with
    far less in it: its wrong answers spread over the classes as the scores like it, while what is
    right of them is chance.

    Args:
        logits: (n, classes), the student's of what was borrowed.
        labels: (n,), the utterances'.
        bank: what was borrowed from; the student's temperature is fitted on it.
        trained: (classes,), label shares that the student's training saw or was balanced to.
        exchanged: share of the utterances whose label was exchanged.
        shares: (classes,), how often each label was drawn then.
    """
    prior = np.bincount(labels, minlength=logits.shape[1]) / len(labels)
    likelihood = softmax(logits / fit_temperature(bank.labels, bank.logits)) / trained
    known = (1 - exchanged) * likelihood + exchanged * (likelihood @ shares)[:, None]
    return weighted_f1(labels, (prior * known).argmax(axis=1))


def find_exchange(measure: Callable[[float], float], wanted: float, steps: int = 7) -> float:
    """Bisect for the share at which `measure(share)`, which falls, meets `wanted`."""
    low, high = 0.0, 1.0
    if measure(0.0) <= wanted:
        return 0.0
    for _ in range(steps):
        middle = (low + high) / 2
        if measure(middle) > wanted:
            low = middle
        else:
            high = middle
    return (low + high) / 2
