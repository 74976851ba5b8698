"""What stage 1 minimises: cross-entropy alone, or with the teacher's two losses (magtkd.md)."""

from __future__ import annotations

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from magtkd_rt.train.losses import feature_loss, logit_loss
from magtkd_rt.train.stage1.accelerated import Shares, gather_with_own_gradient
from magtkd_rt.train.stage1.fit import Loss
from magtkd_rt.train.stage1.settings import DistilSettings


def cross_entropy(labels: NDArray[np.int64], accelerator: Accelerator) -> Loss:
    """Mean cross-entropy over the rows of a step.

    Args:
        labels: (n,), of the training split.
        accelerator: knows how many processes share the step.
    """
    wanted = torch.from_numpy(labels).to(accelerator.device)

    def loss(_: Tensor, logits: Tensor, shares: Shares, total: int) -> Tensor:
        each = functional.cross_entropy(logits, wanted[shares.rows], reduction="none")
        processes: int = accelerator.num_processes
        return (each * shares.weights).sum() * processes / total

    return loss


def distillation(
    labels: NDArray[np.int64],
    teacher_features: NDArray[np.float32],
    teacher_logits: NDArray[np.float32],
    settings: DistilSettings,
    accelerator: Accelerator,
) -> Loss:
    """Cross-entropy + weight x logit loss + weight x feature loss, the teacher being frozen.

    The two losses compare the rows of a batch with each other, those of all processes together;
    with `accumulate` above 1, those of one part of it.

    Args:
        labels: (n,), of the training split.
        teacher_features: (n, d).
        teacher_logits: (n, classes).
        settings: the weights.
        accelerator: knows how many processes share the step.
    """
    alone = cross_entropy(labels, accelerator)
    features = torch.from_numpy(teacher_features).to(accelerator.device)
    scores = torch.from_numpy(teacher_logits).to(accelerator.device)

    def loss(feature: Tensor, logits: Tensor, shares: Shares, total: int) -> Tensor:
        rows = shares.all_rows
        student = gather_with_own_gradient(feature, accelerator)[shares.kept]
        said = gather_with_own_gradient(logits, accelerator)[shares.kept]
        taught = settings.logits * logit_loss(said, scores[rows])
        taught = taught + settings.features * feature_loss(student, features[rows])
        taught = taught * len(rows) / total
        # Every process computes all of it, but has the gradient of its own rows alone.
        others: int = accelerator.num_processes - 1
        return alone(feature, logits, shares, total) + taught + others * (taught - taught.detach())

    return loss
