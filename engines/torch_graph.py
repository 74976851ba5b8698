"""A bundle's ONNX graph as a torch module: one source of weights for every engine."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from magtkd_rt.engines.buckets import TOKENS
from magtkd_rt.engines.onnx_files import fold
from magtkd_rt.engines.torch_operators import OPERATORS
from magtkd_rt.errors import EngineError

_PRODUCTS: Final = frozenset({"MatMul", "Gemm", "Conv", "Attention"})
"""Operators that run in half precision where that is asked for; what sums or divides does not."""
_LONGEST_SIZES: Final = 64
"""Whole numbers of so many entries at most may say shapes and places."""
_LSTM_GATES: Final = (0, 2, 3, 1)
"""ONNX: input, output, forget, cell; torch: input, forget, cell, output."""


@dataclass(slots=True)
class _Node:
    """One operator: what it takes (empty for nothing) and gives; whether it may run in half."""

    operator: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]
    half: bool = False


class TorchGraph(nn.Module):
    """Runs an ONNX graph operator by operator.

    Takes the graph's inputs in the order of `inputs`, and gives a tuple of its `outputs`.

    Args:
        file: the graph.
        half: float16 or bfloat16, in which products are to run. Those that a logarithm depends on,
            a front end's, keep 32 bits; so do LSTMs, norms and softmax.
        operators: what each operator is in torch.

    Raises:
        EngineError: it holds an operator without an equivalent here.
    """

    def __init__(
        self,
        file: Path,
        half: torch.dtype | None = None,
        operators: Mapping[str, Callable[..., Any]] = OPERATORS,
    ) -> None:
        super().__init__()
        self._operators = operators
        with tempfile.TemporaryDirectory() as folder:
            fold(file, Path(folder) / "folded.onnx")
            model = onnx.load(Path(folder) / "folded.onnx")
        self.inputs = [given.name for given in model.graph.input]
        self.outputs = [given.name for given in model.graph.output]
        self.varies = {
            given.name: [
                axis for axis, size in enumerate(given.type.tensor_type.shape.dim) if size.dim_param
            ]
            for given in model.graph.input
        }
        """Per input the axes whose length is not fixed."""
        self.takes = {
            given.name: (
                [size.dim_value for size in given.type.tensor_type.shape.dim],
                helper.tensor_dtype_to_np_dtype(given.type.tensor_type.elem_type),
            )
            for given in model.graph.input
        }
        """Per input its shape, 0 where it varies, and its type."""
        self._half = half
        self._nodes, arrays = _read(model)
        missing = sorted({node.operator for node in self._nodes} - operators.keys())
        if missing:
            raise EngineError(
                f"{file.name} uses {', '.join(missing)}, which has no equivalent in torch here",
                remedy="that graph runs on the default engine",
            )
        self._nodes = _fuse_attention(self._nodes, arrays, self.outputs)
        if half is not None:
            _mark_half(self._nodes)
        operators_left = {node.operator for node in self._nodes}
        self.can_fill_up = (
            self.varies.get(TOKENS) == [1]
            and "Attention" in operators_left
            and "Softmax" not in operators_left
        )
        """Whether a prompt may be made longer by tokens that do not count."""
        self._sizes: dict[str, Any] = {}
        self._places: dict[str, str] = {}
        self._hold(arrays)

    def _hold(self, arrays: dict[str, np.ndarray[Any, Any]]) -> None:
        users: dict[str, list[_Node]] = {}
        for node in self._nodes:
            for name in node.inputs:
                users.setdefault(name, []).append(node)
        for number, (name, constant) in enumerate(arrays.items()):
            if name not in users:
                continue
            array = constant
            if array.dtype == np.int64 and array.ndim < 2 and array.size <= _LONGEST_SIZES:
                self._sizes[name] = array.tolist()
                continue
            if any(node.operator == "LSTM" for node in users[name]):
                parts = np.split(array, array.shape[1] // _lstm_size(users[name][0]), axis=1)
                order = [*_LSTM_GATES, *(4 + gate for gate in _LSTM_GATES)][: len(parts)]
                array = np.concatenate([parts[gate] for gate in order], axis=1)
            tensor = torch.from_numpy(np.array(array))
            if self._half is not None and all(node.half for node in users[name]):
                tensor = tensor.to(self._half) if tensor.is_floating_point() else tensor
            self._places[name] = f"weight_{number}"
            self.register_buffer(f"weight_{number}", tensor)

    @torch.no_grad()
    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run it.

        Args:
            inputs: in the order of `inputs`; one more, where the graph can be filled up, says
                which tokens of the prompt count: (n,), bool.
        """
        counting = inputs[len(self.inputs) :]
        held = {name: getattr(self, place) for name, place in self._places.items()}
        device = inputs[0].device
        given_now = dict(zip(self.inputs, inputs, strict=not counting))
        values: dict[str, Any] = {**self._sizes, **held, **given_now}
        for node in self._nodes:
            given = [values[name] if name else None for name in node.inputs]
            if node.half:
                given = [_to(x, self._half) for x in given]
            elif node.operator in _PRODUCTS or node.operator == "LSTM":
                given = [_to(x, torch.float32) for x in given]
            if node.operator == "Attention":
                given += [None] * (4 - len(given)) + [*counting]
            with device:  # of what is made anew, such as places
                got = self._operators[node.operator](node.attributes, *given)
            several = got if isinstance(got, tuple) else (got,)
            values.update(zip(node.outputs, several, strict=False))
        outputs = tuple(values[name] for name in self.outputs)
        return tuple(_to(output, torch.float32).contiguous() for output in outputs)


def _to(value: Any, dtype: torch.dtype | None) -> Any:
    floats = isinstance(value, Tensor) and value.is_floating_point()
    return value.to(dtype) if floats else value


def _lstm_size(node: _Node) -> int:
    size: int = node.attributes["hidden_size"]
    return size


def _read(model: onnx.ModelProto) -> tuple[list[_Node], dict[str, np.ndarray[Any, Any]]]:
    """Operators and constants."""
    arrays = {weight.name: numpy_helper.to_array(weight) for weight in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        for name, value in attributes.items():
            if isinstance(value, bytes):
                attributes[name] = value.decode()
            elif not isinstance(value, (int, float, str, onnx.TensorProto)):
                attributes[name] = list(value)
        if node.op_type == "Constant":
            value = next(iter(attributes.values()))
            array = numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value
            arrays[node.output[0]] = np.asarray(array)
        else:
            nodes.append(_Node(node.op_type, list(node.input), list(node.output), attributes))
    return nodes, arrays


def _mark_half(nodes: Sequence[_Node]) -> None:
    """Say which products may run in half precision: none that a logarithm depends on."""
    exact: set[str] = set()
    for node in reversed(nodes):
        if node.operator == "Log" or exact & set(node.outputs):
            exact |= set(node.inputs)
        node.half = node.operator in _PRODUCTS and not exact & set(node.outputs)


def _fuse_attention(
    nodes: list[_Node], arrays: Mapping[str, np.ndarray[Any, Any]], outputs: Sequence[str]
) -> list[_Node]:
    """Put softmax(scale q k + mask) v, with or without a guard against NaN, into one operator."""
    made = {name: node for node in nodes for name in node.outputs}
    uses = Counter(name for node in nodes for name in node.inputs) + Counter(outputs)
    gone: set[int] = set()
    fused: dict[int, _Node] = {}
    for last in nodes:
        if last.operator != "MatMul":
            continue
        found = _attention_before(last, made, arrays, uses)
        if found is not None:
            parts, fused[id(last)] = found
            gone |= {id(part) for part in parts}
    return [fused.get(id(node), node) for node in nodes if id(node) not in gone]


def _attention_before(
    last: _Node,
    made: Mapping[str, _Node],
    arrays: Mapping[str, np.ndarray[Any, Any]],
    uses: Counter[str],
) -> tuple[list[_Node], _Node] | None:
    """The operators that go into one, and that one: of q, k transposed, v, mask."""

    def before(name: str, operator: str) -> _Node | None:
        """What makes this and is used for nothing else."""
        node = made.get(name)
        fits = node is not None and node.operator == operator and uses[name] == 1
        return node if fits else None

    parts: list[_Node] = []
    softmax = made.get(last.inputs[0])
    guarded = before(last.inputs[0], "Where")
    if guarded is not None:
        guard, softmax = before(guarded.inputs[0], "IsNaN"), made.get(guarded.inputs[2])
        if guard is None or softmax is None or guard.inputs[0] != softmax.outputs[0]:
            return None
        parts += [guarded, guard]
    if softmax is None or softmax.operator != "Softmax":
        return None
    if uses[softmax.outputs[0]] != (1 if guarded is None else 2):
        return None
    if softmax.attributes.get("axis", -1) not in (-1, 3):
        return None
    parts.append(softmax)
    scores, mask, scale = softmax.inputs[0], list[str](), 1.0
    added = before(scores, "Add")
    if added is not None:
        if guarded is None:
            return None  # a row that sees nothing would be NaN, and stay so
        parts.append(added)
        scores, mask = added.inputs[0], [added.inputs[1]]
    scaled = before(scores, "Mul")
    if scaled is not None and arrays.get(scaled.inputs[1], np.zeros(0)).size == 1:
        parts.append(scaled)
        scores, scale = scaled.inputs[0], float(arrays[scaled.inputs[1]].item())
    product = before(scores, "MatMul")
    if product is None:
        return None
    inputs = [*product.inputs, last.inputs[1], *mask]
    return [*parts, product], _Node("Attention", inputs, last.outputs, {"scale": scale})
