"""The full-size teacher of `magtkd train text` teaches the starter's small text student."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from magtkd_rt.errors import DataError
from magtkd_rt.train.loop import digest
from magtkd_rt.train.losses import logit_loss, relation_loss

LOGITS = 0.1
FEATURES = 1.0
"""Weights of the two losses, those of the paper's own distillation."""


@dataclass(frozen=True)
class Teacher:
    """What the teacher says of MELD's training utterances, in spoken order.

    Attributes:
        features: (n, d of the teacher).
        logits: (n, classes).
        present: (n,), False for an utterance without words.
    """

    features: Tensor
    logits: Tensor
    present: Tensor

    @property
    def digest(self) -> str:
        """Changes with what it says."""
        return digest(*(part.numpy() for part in vars(self).values()))

    def loss(self, feature: Tensor, logits: Tensor, rows: list[int]) -> Tensor:
        """Logit loss and, since features differ in size, the loss of relations, over a batch.

        Args:
            feature: (b, d of the student).
            logits: (b, classes).
            rows: which utterances these are.
        """
        kept = self.present[rows]
        if not kept.any():
            return logits.sum() * 0
        wanted = [row for row, there in zip(rows, kept.tolist(), strict=True) if there]
        said = LOGITS * logit_loss(logits[kept], self.logits[wanted])
        return said + FEATURES * relation_loss(feature[kept], self.features[wanted])


def read_teacher(run: Path, labels: Tensor) -> Teacher:
    """What `magtkd train text` left in its folder.

    Args:
        run: that folder.
        labels: (n,), of MELD's training utterances as the starter reads them.

    Raises:
        DataError: it is missing, damaged, or of other utterances.
    """
    remedy = "name the folder of a finished `magtkd train text` on the same MELD"
    try:
        with np.load(run / "encoded" / "text.npz", allow_pickle=False) as archive:
            found = [archive[f"train_{name}"] for name in ("features", "logits", "present")]
        with np.load(run / "features.npz", allow_pickle=False) as archive:
            taught = archive["train_label"]
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise DataError(f"no teacher in {run} ({error})", remedy=remedy) from error
    if not np.array_equal(taught, labels.numpy()):
        raise DataError(f"the teacher in {run} learned from other utterances", remedy=remedy)
    features, logits, present = map(torch.from_numpy, found)
    return Teacher(features, logits, present)
