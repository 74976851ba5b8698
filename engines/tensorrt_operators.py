"""What TensorRT wants otherwise than torch: ONNX operators in forms that it has converters for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from magtkd_rt.engines.torch_operators import OPERATORS
from magtkd_rt.engines.torch_shapes import Attributes

LONGEST_SORT: Final = 3840
"""Numbers that TensorRT sorts at once, at most."""


@torch.library.custom_op("magtkd::lstm_steps", mutates_args=())
def lstm_steps(given: Tensor, start: Tensor, recurrent: Tensor) -> Tensor:
    """What of an LSTM is computed step by step; `tensorrt_converters` makes a loop of it.

    Args:
        given: for each step what the gates get of the input, (time, 4, b, size): input, forget,
            cell, output.
        start: output and cell before the first step, (1, b, size).
        recurrent: what the gates get of the last output, (4, size, size): gate, from, to.

    Returns:
        outputs (time, 1, b, size).
    """
    hidden = cell = start
    outputs = []
    for step in given:
        into, forget, new, out = (step + hidden @ recurrent).split(1)
        cell = forget.sigmoid() * cell + into.sigmoid() * new.tanh()
        hidden = out.sigmoid() * cell.tanh()
        outputs.append(hidden)
    return torch.stack(outputs)


@lstm_steps.register_fake
def _(given: Tensor, start: Tensor, recurrent: Tensor) -> Tensor:  # noqa: ARG001
    return given.new_empty(given.shape[0], *start.shape)


def _lstm(attributes: Attributes, x: Tensor, *weights: Any) -> Tensor:
    """x (time, b, inputs) -> (time, 1, b, size): all products with the input at once."""
    own, recurrent, bias = weights[:3]
    if any(extra is not None for extra in weights[3:]):
        raise NotImplementedError("LSTM with lengths or a state")
    size = attributes["hidden_size"]
    given = functional.linear(x, own[0], bias[0, : 4 * size] + bias[0, 4 * size :])
    by_gate = given.unflatten(2, (4, size)).transpose(1, 2)
    start = torch.zeros(1, x.shape[1], size, dtype=x.dtype)
    outputs: Tensor = lstm_steps(by_gate, start, recurrent[0].view(4, size, size).transpose(1, 2))
    return outputs


def _top_k(attributes: Attributes, x: Tensor, count: Any) -> tuple[Tensor, Tensor]:
    """A sort of any length is one of the greatest length, whose end is left out.

    TensorRT wants to know beforehand how much it sorts.
    """
    number = count[0] if isinstance(count, list) else count
    axis = attributes.get("axis", -1) % x.ndim
    if isinstance(number, int) or axis != x.ndim - 1:
        values, places = OPERATORS["TopK"](attributes, x, count)
        return values, places
    largest = bool(attributes.get("largest", 1))
    last = torch.finfo(x.dtype).min if largest else torch.finfo(x.dtype).max
    filled = functional.pad(x, (0, LONGEST_SORT - x.shape[-1]), value=last)
    values, places = filled.topk(LONGEST_SORT, -1, largest)
    return values[..., :number], places[..., :number]


TENSORRT_OPERATORS: Final[Mapping[str, Callable[..., Any]]] = {
    **OPERATORS,
    "LSTM": _lstm,
    "TopK": _top_k,
}
"""By ONNX operator."""
