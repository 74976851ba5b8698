"""Converters of our own for torch_tensorrt: an LSTM's steps as a loop of TensorRT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch

from magtkd_rt.engines.tensorrt_operators import lstm_steps  # noqa: F401  (makes the operator)

_GATES: Final = ("input", "forget", "cell", "output")


def register_converters() -> None:
    """Tell torch_tensorrt of them; it has to be importable."""
    import tensorrt
    from torch_tensorrt.dynamo.conversion import dynamo_tensorrt_converter, impl
    from torch_tensorrt.dynamo.conversion._ConverterRegistry import DYNAMO_ATEN_CONVERTERS
    from torch_tensorrt.dynamo.conversion.converter_utils import get_trt_tensor

    operator = torch.ops.magtkd.lstm_steps.default
    if operator in DYNAMO_ATEN_CONVERTERS:
        return

    @dynamo_tensorrt_converter(operator, supports_dynamic_shapes=True)  # type: ignore[untyped-decorator]
    def convert(ctx: Any, target: Any, args: tuple[Any, ...], _: Any, name: str) -> Any:
        given, start, recurrent = (
            get_trt_tensor(ctx, argument, f"{name}_{place}") for place, argument in enumerate(args)
        )
        places = [
            get_trt_tensor(ctx, torch.tensor([gate], dtype=torch.int32), f"{name}_{_GATES[gate]}")
            for gate in range(len(_GATES))
        ]
        if given.shape[0] >= 0:
            steps = torch.tensor(given.shape[0], dtype=torch.int32)
            count = get_trt_tensor(ctx, steps, f"{name}_steps")
        else:  # as torch_tensorrt itself counts the rounds of its loop for aten.cumsum
            length = impl.shape.shape(ctx, target, None, f"{name}_length", given, 0)
            count = impl.reduce.sum(ctx, target, None, f"{name}_steps", length, 0, keepdim=False)
        return add_lstm_steps(ctx.net, tensorrt, given, start, recurrent, places, count)


def add_lstm_steps(
    network: Any,
    trt: Any,
    given: Any,
    start: Any,
    recurrent: Any,
    gates: Sequence[Any],
    count: Any,
) -> Any:
    """Add `lstm_steps` to a network of TensorRT.

    Args:
        network: an INetworkDefinition.
        trt: the module `tensorrt`.
        given, start, recurrent: as `lstm_steps` takes them.
        gates: the numbers 0 to 3, of shape (1,) each.
        count: the number of steps, without axes.

    Returns:
        the outputs, (time, 1, b, size).
    """
    loop = network.add_loop()
    loop.add_trip_limit(count, trt.TripLimit.COUNT)
    step = loop.add_iterator(given, 0, False).get_output(0)  # (4, b, size)
    hidden, cell = loop.add_recurrence(start), loop.add_recurrence(start)

    def of(operation: str, a: Any, b: Any) -> Any:
        kind = getattr(trt.ElementWiseOperation, operation)
        return network.add_elementwise(a, b, kind).get_output(0)

    def activated(operation: str, x: Any) -> Any:
        return network.add_activation(x, getattr(trt.ActivationType, operation)).get_output(0)

    plain = trt.MatrixOperation.NONE
    product = network.add_matrix_multiply(hidden.get_output(0), plain, recurrent, plain)
    sums = of("SUM", step, product.get_output(0))
    into, forget, new, out = (network.add_gather(sums, gate, 0).get_output(0) for gate in gates)
    kept = of("PROD", activated("SIGMOID", forget), cell.get_output(0))
    added = of("PROD", activated("SIGMOID", into), activated("TANH", new))
    next_cell = of("SUM", kept, added)
    next_hidden = of("PROD", activated("SIGMOID", out), activated("TANH", next_cell))
    hidden.set_input(1, next_hidden)
    cell.set_input(1, next_cell)
    outputs = loop.add_loop_output(next_hidden, trt.LoopOutput.CONCATENATE, 0)
    outputs.set_input(1, count)
    return outputs.get_output(0)
