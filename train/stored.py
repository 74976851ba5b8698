"""Smaller ONNX files: weights in fewer bits, and formulas instead of what they give.

Everything is 32 bits again when a graph is loaded, so no processor computes differently.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import NodeProto, TensorProto, helper, numpy_helper

from magtkd_rt.models.spectrum import fourier_basis

SMALLEST = 4096
"""Entries of a weight from which on fewer bits are worth the trouble."""


def store_half(path: Path, exact: Collection[str]) -> None:
    """Store large weights in 16 bits.

    What is in `exact`, such as the front end's filters, keeps its 32 bits.
    """
    model = onnx.load(path)
    large = [w for w in model.graph.initializer if w.name not in exact and _is_large(w)]
    _save(model, [_halve(weight) for weight in large], path)


def store_bytes(
    path: Path,
    exact: Collection[str] = (),
    wide: Collection[str] = (),
    smallest: int = SMALLEST,
) -> None:
    """Store large weights in 8 bits, with one scale an output.

    An output is a column of a matrix that something is multiplied by, and else a row: of a table
    that is looked up, of an LSTM's gates, of a convolution's channels. Only storage has 8 bits:
    products in them, with activations quantised on the fly, decided otherwise on 3 % of dev.

    Args:
        path: the graph.
        exact: weights that keep their 32 bits.
        wide: names or patterns of weights that lose too much in 8 bits, and get 16 at any size.
        smallest: entries of a weight from which on it is stored in fewer bits.
    """
    model = onnx.load(path)
    columns = {node.input[1] for node in model.graph.node if _multiplies_by_columns(node)}
    opened = []
    for weight in list(model.graph.initializer):
        if weight.name in exact or weight.data_type != TensorProto.FLOAT:
            continue
        if any(fnmatchcase(weight.name, pattern) for pattern in wide):
            opened.append(_halve(weight))
            continue
        if not _is_large(weight, smallest) or len(weight.dims) < 2:
            continue
        name, array = weight.name, numpy_helper.to_array(weight)
        within = 0 if name in columns else tuple(range(1, array.ndim))
        scale = np.abs(array).max(axis=within, keepdims=True) / 127
        scale = np.maximum(scale, 1e-12).astype(np.float32)
        bytes_ = np.round(array / scale).astype(np.int8)
        weight.CopyFrom(numpy_helper.from_array(bytes_, f"{name}_bytes"))
        model.graph.initializer.append(numpy_helper.from_array(scale, f"{name}_scale"))
        opened += [
            helper.make_node("Cast", [f"{name}_bytes"], [f"{name}_plain"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{name}_plain", f"{name}_scale"], [name]),
        ]
    _save(model, opened, path)


def store_bases(path: Path) -> None:
    """Store the bases of Fourier transforms, of any window, as operators that compute them."""
    model = onnx.load(path)
    opened = []
    for weight in list(model.graph.initializer):
        array = numpy_helper.to_array(weight)
        if array.dtype != np.float32 or array.ndim != 3 or array.shape[1] != 1:
            continue
        filters, _, window = array.shape
        given = torch.from_numpy(array.copy())
        # Its first filter is of 0 Hz, whose wave is 1 all along: the window itself.
        basis = fourier_basis(window, filters - 2, given[0, 0].double())
        if basis.shape == given.shape and torch.allclose(basis, given, rtol=0, atol=1e-6):
            opened += _basis(model, weight, array[0, 0])
    _save(model, opened, path)


def _basis(
    model: onnx.ModelProto,
    basis: TensorProto,
    weights: np.ndarray[tuple[int], np.dtype[np.float32]],
) -> list[NodeProto]:
    """Put `weights` (window,) in a basis' place, (fft + 2, 1, window), and say how to compute it.

    The phase is brought below a whole turn in whole numbers: 32 bits would lose it in long ones.
    """
    name, (filters, _, window) = basis.name, basis.dims
    fft = filters - 2
    constants = {
        "none": np.int64(0),
        "one": np.int64(1),
        "window": np.int64(window),
        "bins": np.int64(fft // 2 + 1),
        "axes": np.array([1, 2]),
        "fft": np.int64(fft),
        "turn": np.float32(2 * math.pi / fft),
        "weights": weights,
    }
    model.graph.initializer.remove(basis)
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), f"{name}_{what}")
        for what, value in constants.items()
    )

    def node(operator: str, inputs: str, output: str, **attributes: Any) -> NodeProto:
        names = [f"{name}_{one}" for one in inputs.split()]
        return helper.make_node(operator, names, [f"{name}_{output}"], **attributes)

    last = node("Mul", "waves weights", "")
    last.output[0] = name
    return [
        node("Range", "none window one", "times"),
        node("Range", "none bins one", "row"),
        node("Unsqueeze", "row axes", "column"),
        node("Mul", "column times", "steps"),
        node("Mod", "steps fft", "within"),
        node("Cast", "within", "whole", to=TensorProto.FLOAT),
        node("Mul", "whole turn", "phase"),
        node("Cos", "phase", "real"),
        node("Sin", "phase", "imaginary"),
        node("Concat", "real imaginary", "waves", axis=0),
        last,
    ]


def _is_large(weight: TensorProto, smallest: int = SMALLEST) -> bool:
    return weight.data_type == TensorProto.FLOAT and math.prod(weight.dims) >= smallest


def _halve(weight: TensorProto) -> NodeProto:
    """Put 16 bits in a weight's place, and say how to open them."""
    name, array = weight.name, numpy_helper.to_array(weight)
    weight.CopyFrom(numpy_helper.from_array(array.astype(np.float16), f"{name}_half"))
    return helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT)


def _multiplies_by_columns(node: NodeProto) -> bool:
    """Whether its second input is a matrix (inputs, outputs)."""
    turned = any(one.name == "transB" and one.i for one in node.attribute)
    return node.op_type == "MatMul" or (node.op_type == "Gemm" and not turned)


def _save(model: onnx.ModelProto, first: list[NodeProto], path: Path) -> None:
    """Write a graph that begins with these operators."""
    for node in reversed(first):
        model.graph.node.insert(0, node)
    onnx.save(model, path)
