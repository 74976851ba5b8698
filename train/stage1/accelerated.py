"""Hugging Face Accelerate as the recipes use it: the same run on one processor, one GPU or many.

A batch is cut into shares, one for each process, of equal size; what is too much repeats a row
with weight 0. Every loss is a sum over the whole batch, so that gradients, averaged over the
processes, are those of one process, up to rounding and to dropout, which each process draws anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from magtkd_rt.errors import InputError


def accelerator_for(precision: str) -> Accelerator:
    """Open what there is: GPUs, else the processor; processes as the launcher set them up.

    Args:
        precision: auto, no, bf16 or fp16.

    Raises:
        InputError: this machine cannot compute so.
    """
    cuda = torch.cuda.is_available()
    if precision == "auto":
        precision = "bf16" if cuda and torch.cuda.is_bf16_supported() else "no"
    if precision == "fp16" and not cuda:
        raise InputError(
            "fp16 needs a GPU", remedy='set precision = "bf16", "no" or "auto" in [run]'
        )
    return Accelerator(mixed_precision=precision, cpu=not cuda)


class Shares:
    """What this process computes of a batch.

    Args:
        rows: of the whole batch.
        accelerator: knows how many processes there are.

    Attributes:
        rows: this process's share, as many as in every other one.
        weights: (share,), 0 for a row that only fills up.
        kept: where the rows of the batch are among the gathered rows of all shares.
        all_rows: which rows those are.
    """

    def __init__(self, rows: Sequence[int], accelerator: Accelerator) -> None:
        count, this = accelerator.num_processes, accelerator.process_index
        size = -(-len(rows) // count)
        shares = [list(rows[first::count]) for first in range(count)]
        own = shares[this]
        self.rows = own + [rows[0]] * (size - len(own))
        self.weights = torch.tensor([1.0] * len(own) + [0.0] * (size - len(own)))
        self.weights = self.weights.to(accelerator.device)
        self.kept = [i * size + j for i, share in enumerate(shares) for j in range(len(share))]
        self.all_rows = [row for share in shares for row in share]


def gather_with_own_gradient(value: Tensor, accelerator: Accelerator) -> Tensor:
    """Rows of all processes, (processes x b, ...); only this one's carry a gradient.

    A loss of all rows, computed alike by each process, then has the gradient of this share here;
    the average over processes is the whole gradient divided by their number.
    """
    if accelerator.num_processes == 1:
        return value
    parts = list(accelerator.gather(value.detach()).split(len(value)))
    parts[accelerator.process_index] = value
    return torch.cat(parts)


def to_all(values: list[Any]) -> list[Any]:
    """The lists of all processes, one after the other, on each of them."""
    found: list[Any] = gather_object(values)
    return found


def plain(model: nn.Module, accelerator: Accelerator) -> nn.Module:
    """The module itself, without what distributes it."""
    found: nn.Module = accelerator.unwrap_model(model)
    return found
