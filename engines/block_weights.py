"""Products of few rows, such as a step of the fusion: only their weights are in 8 bits.

Such a product takes as long as reading its weights takes. Blocks of 128 weights have a scale each,
and onnxruntime rounds the activation by the same blocks, so that nothing has to be narrowed.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

_BLOCK: Final = 128
_MIDDLE: Final = 128
"""What stands for 0; onnxruntime's default."""
_ROUNDED: Final = 4
"""onnxruntime's `accuracy_level` that rounds activations too; without it there is no fast way."""


def round_by_blocks(
    model: onnx.ModelProto, products: Collection[str], matrices: dict[str, NDArray[Any]]
) -> None:
    """Put MatMulNBits in the place of products.

    Args:
        model: changed in place.
        products: names of the nodes, MatMul with a matrix on the right.
        matrices: the model's weights by name.
    """
    rounded: dict[str, tuple[str, str]] = {}
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        if node.name not in products:
            nodes.append(node)
            continue
        source, weight = node.input
        inner, columns = matrices[weight].shape
        if weight not in rounded:
            rounded[weight] = _round(model, weight, matrices[weight])
        nodes.append(
            helper.make_node(
                "MatMulNBits",
                [source, *rounded[weight]],
                list(node.output),
                node.name,
                domain="com.microsoft",
                K=inner,
                N=columns,
                bits=8,
                block_size=_BLOCK,
                accuracy_level=_ROUNDED,
            )
        )
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _round(model: onnx.ModelProto, name: str, matrix: NDArray[Any]) -> tuple[str, str]:
    """Weights (columns, blocks, 128) and scales (columns, blocks) take the matrix's place."""
    inner, columns = matrix.shape
    blocks = -(-inner // _BLOCK)
    filled = np.zeros((columns, blocks * _BLOCK), np.float32)
    filled[:, :inner] = matrix.T
    parts = filled.reshape(columns, blocks, _BLOCK)
    scales = np.maximum(np.abs(parts).max(2) / 127, 1e-12).astype(np.float32)
    weights = (np.round(parts / scales[..., None]) + _MIDDLE).astype(np.uint8)
    for index, initializer in enumerate(model.graph.initializer):
        if initializer.name == name:
            del model.graph.initializer[index]
            break
    names = (f"{name}_bytes", f"{name}_scales")
    model.graph.initializer.extend(
        numpy_helper.from_array(array, told)
        for array, told in zip((weights, scales), names, strict=True)
    )
    return names
