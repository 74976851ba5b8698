"""Attention in an ONNX graph as one operator of onnxruntime's, MultiHeadAttention.

Exporters spell it out: heads are cut and turned around, products, mask, softmax, a guard against
rows that see nothing, another product, and the turn back. onnxruntime joins only few of these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper

_HEADS_FIRST: Final = [0, 2, 1, 3]
_DOMAIN: Final = "com.microsoft"


@dataclass(frozen=True, slots=True)
class _Heads:
    """A tensor (b, n, h d) that was cut into heads: (b, h, n, d), `scale` times.

    Where one tensor holds queries, keys and values, (b, n, 3 h d), `part` says which.
    """

    source: str
    heads: int
    scale: float
    part: int | None = None

    @property
    def name(self) -> str:
        """Of the tensor that holds it alone."""
        return self.source if self.part is None else f"{self.source}_part_{self.part}"


class _Graph:
    """Who makes what, and what it is used for."""

    def __init__(self, model: onnx.ModelProto, constants: Mapping[str, NDArray[Any]]) -> None:
        self.made = {name: node for node in model.graph.node for name in node.output}
        self.users: dict[str, list[NodeProto]] = {}
        for node in model.graph.node:
            for name in node.input:
                self.users.setdefault(name, []).append(node)
        self.uses = Counter(name for node in model.graph.node for name in node.input)
        self.uses += Counter(output.name for output in model.graph.output)
        self.constants = constants

    def maker(self, name: str, operator: str) -> NodeProto | None:
        """The node that makes this, if it is such an operator."""
        node = self.made.get(name)
        return node if node is not None and node.op_type == operator else None

    def only_user(self, name: str, operator: str) -> NodeProto | None:
        """The node that alone uses this, if it is such an operator."""
        users = self.users.get(name, [])
        alone = len(users) == self.uses[name] == 1 and users[0].op_type == operator
        return users[0] if alone else None

    def unscaled(self, name: str) -> tuple[str, float]:
        """What is multiplied by a constant number here, and by which; by 1 if nothing is."""
        node = self.maker(name, "Mul")
        if node is not None:
            factor = self.constants.get(node.input[1])
            if factor is not None and factor.size == 1:
                return node.input[0], float(factor.reshape(()))
        return name, 1.0

    def heads(self, name: str) -> _Heads | None:
        """What was cut into heads, (b, h, n, d)."""
        name, scale = self.unscaled(name)
        turn = self.maker(name, "Transpose")
        if turn is None or _perm(turn) != _HEADS_FIRST:
            return None
        return self._cut(turn.input[0], scale)

    def heads_turned(self, name: str) -> _Heads | None:
        """What was cut into heads and turned around, (b, h, d, n)."""
        name, scale = self.unscaled(name)
        turn = self.maker(name, "Transpose")
        if turn is not None and _perm(turn) == [0, 2, 3, 1]:
            return self._cut(turn.input[0], scale)
        # Heads of all rows in one axis, turned around, and in two axes again.
        outer = self.maker(name, "Reshape")
        turn = outer and self.maker(outer.input[0], "Transpose")
        inner = turn and self.maker(turn.input[0], "Reshape")
        if turn is None or inner is None or _perm(turn) != [0, 2, 1]:
            return None
        found = self.heads(inner.input[0])
        return found and replace(found, scale=scale * found.scale)

    def same_heads(self, name: str, heads: int) -> str:
        """The tensor (b, h, n, d), or what a reshape makes of it that leaves its heads alone."""
        node = self.only_user(name, "Reshape")
        shape = None if node is None else self.constants.get(node.input[1])
        if node is None or shape is None or shape.size != 4 or shape[1] not in (0, heads):
            return name
        reshaped: str = node.output[0]
        return reshaped

    def _cut(self, name: str, scale: float) -> _Heads | None:
        part = None
        chosen = self.maker(name, "Gather")
        if chosen is not None:
            index = self.constants.get(chosen.input[1])
            if index is None or index.size != 1 or _axis(chosen) != 2:
                return None
            name, part = chosen.input[0], int(index.reshape(()))
        cut = self.maker(name, "Reshape")
        shape = None if cut is None else self.constants.get(cut.input[1])
        if cut is None or shape is None or min(shape[2:], default=0) < 1:
            return None
        if (shape.size, part is None) not in ((4, True), (5, False)):
            return None
        if part is not None and shape[2] != 3:
            return None
        return _Heads(cut.input[0], int(shape[-2]), scale, part)


def join_attention(model: onnx.ModelProto, constants: Mapping[str, NDArray[Any]]) -> int:
    """Put each attention into one operator.

    Args:
        model: changed in place.
        constants: its initializers.

    Returns:
        how many there were.
    """
    graph = _Graph(model, constants)
    joined = {}
    for last in model.graph.node:
        if last.op_type == "MatMul":
            found = _attention(last, graph)
            if found is not None:
                joined[found.output[0]] = found
    if not joined:
        return 0
    nodes: list[NodeProto] = []
    split: set[str] = set()
    for node in model.graph.node:
        here = joined.get(node.output[0], node)
        if here is not node:
            nodes += _splits(here, split)
        nodes.append(here)
    _keep_used(model, nodes)
    if all(opset.domain != _DOMAIN for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid(_DOMAIN, 1))
    return len(joined)


def _attention(last: NodeProto, graph: _Graph) -> NodeProto | None:
    """The operator in place of all that ends in `last` and the turn back, if this is attention."""
    softmax = graph.made.get(last.input[0])
    if softmax is not None and softmax.op_type == "Where":
        guard = graph.maker(softmax.input[0], "IsNaN")
        if guard is None or guard.input[0] != softmax.input[2]:
            return None
        softmax = graph.made.get(softmax.input[2])
    if softmax is None or softmax.op_type != "Softmax" or _axis(softmax) not in (-1, 3):
        return None
    name, mask = softmax.input[0], ""
    plus = graph.maker(name, "Add")
    if plus is not None:
        name, mask = plus.input
    name, scale = graph.unscaled(name)
    scores = graph.maker(name, "MatMul")
    if scores is None:
        return None
    query = graph.heads(scores.input[0])
    key = graph.heads_turned(scores.input[1])
    value = graph.heads(last.input[1])
    if query is None or key is None or value is None:
        return None
    back = graph.only_user(graph.same_heads(last.output[0], query.heads), "Transpose")
    flat = back and graph.only_user(back.output[0], "Reshape")
    if back is None or flat is None:
        return None
    if not query.heads == key.heads == value.heads or value.scale != 1.0:
        return None
    if _perm(back) != _HEADS_FIRST:
        return None
    inputs = [query.name, key.name, value.name]
    return helper.make_node(
        "MultiHeadAttention",
        [*inputs, "", "", mask] if mask else inputs,
        [flat.output[0]],
        f"{last.name or flat.output[0]}_attention",
        domain=_DOMAIN,
        num_heads=query.heads,
        scale=scale * query.scale * key.scale,
    )


def _splits(attention: NodeProto, split: set[str]) -> list[NodeProto]:
    """What cuts queries, keys and values out of the tensor that holds all three."""
    nodes = []
    for name in attention.input[:3]:
        source, found, _ = name.rpartition("_part_")
        if found and source not in split:
            split.add(source)
            parts = [f"{source}_part_{number}" for number in range(3)]
            nodes.append(
                helper.make_node(
                    "Split", [source], parts, f"{source}_split", axis=-1, num_outputs=3
                )
            )
    return nodes


def _keep_used(model: onnx.ModelProto, nodes: Sequence[NodeProto]) -> None:
    """Leave out what no output depends on any more; onnxruntime would run it."""
    used = {output.name for output in model.graph.output}
    kept = []
    for node in reversed(nodes):
        if used & set(node.output):
            used.update(node.input)
            kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(kept))


def _perm(node: NodeProto) -> list[int]:
    return [value for one in node.attribute if one.name == "perm" for value in one.ints]


def _axis(node: NodeProto) -> int:
    return next((one.i for one in node.attribute if one.name == "axis"), -1)
