"""An LSTM as one operator of torch, which stays one when a graph is exported.

torch.export would unroll it into its steps: thousands of operators, for one length only.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula


@torch.library.custom_op("magtkd::lstm", mutates_args=())
def lstm(x: Tensor, own: Tensor, recurrent: Tensor, bias: Tensor) -> Tensor:
    """One layer in one direction, from a state of zeros.

    Args:
        x: (time, b, inputs), 32 bits.
        own: weights of the input (4 size, inputs), gates in torch's order.
        recurrent: weights of the last output (4 size, size).
        bias: (4 size,) of both together.

    Returns:
        outputs (time, b, size).
    """
    start = x.new_zeros(1, x.shape[1], recurrent.shape[1])
    parameters = [own, recurrent, bias, torch.zeros_like(bias)]
    outputs = torch.lstm(x, (start, start), parameters, True, 1, 0.0, False, False, False)[0]
    return outputs.contiguous()


@lstm.register_fake
def _(x: Tensor, own: Tensor, recurrent: Tensor, bias: Tensor) -> Tensor:  # noqa: ARG001
    return x.new_empty(x.shape[0], x.shape[1], recurrent.shape[1])


@register_flop_formula(torch.ops.magtkd.lstm)
def _(x: Any, own: Any, recurrent: Any, bias: Any, **_: Any) -> int:  # noqa: ARG001
    steps, rows, inputs = x
    outputs, size = recurrent
    return int(2 * steps * rows * (inputs + size) * outputs)
