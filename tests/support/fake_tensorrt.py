"""Networks of TensorRT that numpy evaluates: the few layers that the project adds itself.

What each layer does is taken from TensorRT's documentation; TensorRT itself has no part in it.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
State = dict[Any, Any]
"""Within a loop: the round, and what each recurrence holds."""

TRT = SimpleNamespace(
    TripLimit=SimpleNamespace(COUNT="count"),
    LoopOutput=SimpleNamespace(CONCATENATE="concatenate"),
    MatrixOperation=SimpleNamespace(NONE="none"),
    ElementWiseOperation=SimpleNamespace(SUM=np.add, PROD=np.multiply),
    ActivationType=SimpleNamespace(SIGMOID=lambda x: 1 / (1 + np.exp(-x)), TANH=np.tanh),
)


class Layer:
    """A layer with one output, computed when it is asked for."""

    def __init__(self, compute: Callable[[State], Array]) -> None:
        self.compute = compute
        self.inputs: dict[int, Layer] = {}

    def get_output(self, index: int) -> Layer:
        assert index == 0
        return self

    def set_input(self, index: int, given: Layer) -> None:
        self.inputs[index] = given


class Loop:
    def __init__(self) -> None:
        self.count: Layer | None = None
        self.recurrences: list[Layer] = []

    def add_trip_limit(self, count: Layer, kind: str) -> None:
        assert kind == "count" and count.compute({}).ndim == 0
        self.count = count

    def add_iterator(self, given: Layer, axis: int, reverse: bool) -> Layer:
        assert not reverse
        return Layer(lambda state: given.compute({}).take(state["round"], axis))

    def add_recurrence(self, first: Layer) -> Layer:
        layer = Layer(lambda state: state[layer])
        layer.inputs[0] = first
        self.recurrences.append(layer)
        return layer

    def add_loop_output(self, value: Layer, kind: str, axis: int) -> Layer:
        assert kind == "concatenate" and self.count is not None

        def run(_: State) -> Array:
            state: State = {layer: layer.inputs[0].compute({}) for layer in self.recurrences}
            values = []
            assert output.inputs[1] is self.count
            for number in range(int(self.count.compute({}))):
                state["round"] = number
                values.append(value.compute(state))
                new = {layer: layer.inputs[1].compute(state) for layer in self.recurrences}
                assert all(new[layer].shape == state[layer].shape for layer in new)
                state.update(new)
            return np.stack(values, axis)

        output = Layer(run)
        return output


class Network:
    def add_loop(self) -> Loop:
        return Loop()

    def add_matrix_multiply(self, a: Layer, how_a: str, b: Layer, how_b: str) -> Layer:
        assert how_a == how_b == "none"

        def run(state: State) -> Array:
            left, right = a.compute(state), b.compute(state)
            assert left.ndim == right.ndim  # TensorRT adds no axes
            return left @ right

        return Layer(run)

    def add_elementwise(self, a: Layer, b: Layer, operation: Callable[..., Array]) -> Layer:
        def run(state: State) -> Array:
            left, right = a.compute(state), b.compute(state)
            assert left.ndim == right.ndim
            return operation(left, right)

        return Layer(run)

    def add_activation(self, x: Layer, function: Callable[[Array], Array]) -> Layer:
        return Layer(lambda state: function(x.compute(state)))

    def add_gather(self, x: Layer, places: Layer, axis: int) -> Layer:
        return Layer(lambda state: x.compute(state).take(places.compute(state), axis))


def constant(array: Array) -> Layer:
    """What `add_constant` would give."""
    return Layer(lambda _: array)
