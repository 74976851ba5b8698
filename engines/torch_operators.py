"""ONNX operators as torch functions, as far as graphs exported from torch use them.

A function takes the operator's inputs (None where one is left out) and its attributes; for sizes
see `torch_shapes`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from magtkd_rt.engines import torch_shapes as shapes
from magtkd_rt.engines.torch_lstm import lstm
from magtkd_rt.engines.torch_shapes import Attributes

DTYPES: Final = {
    1: torch.float32, 2: torch.uint8, 3: torch.int8, 6: torch.int32, 7: torch.int64,
    9: torch.bool, 10: torch.float16, 11: torch.float64, 16: torch.bfloat16,
}  # fmt: skip
"""ONNX element types."""


def _unary(function: Callable[[Tensor], Tensor]) -> Callable[..., Any]:
    return lambda attributes, x: function(x)


def _reduce(function: Callable[..., Tensor]) -> Callable[..., Any]:
    def run(attributes: Attributes, x: Tensor, axes: Any = None) -> Tensor:
        keep = bool(attributes.get("keepdims", 1))
        found = shapes.axes_of(attributes, axes)
        return function(x, found if found is not None else list(range(x.ndim)), keep)

    return run


def _cast(attributes: Attributes, x: Any) -> Any:
    if shapes.is_size(x):
        return x
    return x.to(DTYPES[attributes["to"]])


def _layer_norm(attributes: Attributes, x: Tensor, scale: Tensor, bias: Any = None) -> Tensor:
    axis = attributes.get("axis", -1) % x.ndim
    x = x.to(scale.dtype)
    return functional.layer_norm(
        x, list(scale.shape[-(x.ndim - axis) :]), scale, bias, attributes.get("epsilon", 1e-5)
    )


def _gemm(attributes: Attributes, a: Tensor, b: Tensor, c: Any = None) -> Tensor:
    a = a.T if attributes.get("transA", 0) else a
    weight = b if attributes.get("transB", 0) else b.T
    if attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0:
        raise NotImplementedError("Gemm with factors")
    return functional.linear(a, weight, c)


def _conv(attributes: Attributes, x: Tensor, weight: Tensor, bias: Any = None) -> Tensor:
    rank = weight.ndim - 2
    pads = attributes.get("pads", [0] * 2 * rank)
    before, after = pads[:rank], pads[rank:]
    padding = before
    if before != after:
        both = [n for pair in zip(reversed(before), reversed(after), strict=True) for n in pair]
        x, padding = functional.pad(x, both), [0] * rank
    return torch.convolution(
        x, weight, bias, attributes.get("strides", [1] * rank), padding,
        attributes.get("dilations", [1] * rank), False, [0] * rank, attributes.get("group", 1),
    )  # fmt: skip


def _max_pool(attributes: Attributes, x: Tensor) -> Tensor:
    kernel = attributes["kernel_shape"]
    pads = attributes.get("pads", [0] * 2 * len(kernel))
    if len(kernel) != 2 or pads[:2] != pads[2:]:
        raise NotImplementedError("MaxPool other than of pictures, padded alike on both sides")
    return functional.max_pool2d(
        x, kernel, attributes.get("strides", [1, 1]), pads[:2],
        attributes.get("dilations", [1, 1]), bool(attributes.get("ceil_mode", 0)),
    )  # fmt: skip


def _batch_norm(
    attributes: Attributes, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor
) -> Tensor:
    x = x.to(scale.dtype)
    return functional.batch_norm(x, mean, var, scale, bias, eps=attributes.get("epsilon", 1e-5))


def _clip(attributes: Attributes, x: Any, low: Any = None, high: Any = None) -> Any:
    if low is not None:
        x = torch.maximum(x, torch.as_tensor(low, dtype=x.dtype, device=x.device))
    if high is not None:
        x = torch.minimum(x, torch.as_tensor(high, dtype=x.dtype, device=x.device))
    return x


def _instance_norm(attributes: Attributes, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    eps = attributes.get("epsilon", 1e-5)
    normal: Tensor = functional.instance_norm(
        _wide(x), weight=_wide(scale), bias=_wide(bias), eps=eps
    )
    return normal


def _resize(attributes: Attributes, x: Tensor, *given: Any) -> Tensor:
    sizes = given[2] if len(given) > 2 else None
    centred = attributes.get("coordinate_transformation_mode", "half_pixel") == "half_pixel"
    linear = attributes.get("mode", "nearest") == "linear" and not attributes.get("antialias", 0)
    if sizes is None or not (centred and linear) or x.ndim != 4:
        raise NotImplementedError("Resize other than of pictures, linearly and to a size")
    return functional.interpolate(x, sizes[2:], mode="bilinear", align_corners=False)


def _cum_sum(attributes: Attributes, x: Tensor, axis: Any) -> Tensor:
    if attributes.get("exclusive", 0) or attributes.get("reverse", 0):
        raise NotImplementedError("CumSum without its own number, or backwards")
    return torch.cumsum(x, shapes.only(axis), dtype=x.dtype)


def _lstm(attributes: Attributes, x: Tensor, *weights: Any) -> Tensor:
    """x (time, b, inputs) -> (time, 1, b, size); weights are in torch's order already."""
    own, recurrent, bias = weights[:3]
    if any(extra is not None for extra in weights[3:]):
        raise NotImplementedError("LSTM with lengths or a state")
    size = attributes["hidden_size"]
    both = bias[0, : 4 * size] + bias[0, 4 * size :]
    outputs: Tensor = lstm(x, own[0], recurrent[0], both)
    return outputs.unsqueeze(1)


def _attention(
    attributes: Attributes, q: Tensor, kt: Tensor, v: Tensor, mask: Any = None, counting: Any = None
) -> Tensor:
    """What `torch_graph` makes of products around a softmax; most factors are in q and k.

    `counting` (keys,) is false where a prompt was filled up.
    """
    k = kt.transpose(-1, -2)
    if mask is not None and mask.is_floating_point():
        mask = mask.to(q.dtype)
    if counting is not None:
        seen = torch.zeros_like(counting, dtype=q.dtype).masked_fill(~counting, -math.inf)
        mask = seen if mask is None else mask + seen
    return functional.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, scale=attributes["scale"]
    )


def _wide(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


OPERATORS: Final[Mapping[str, Callable[..., Any]]] = {
    "Abs": _unary(torch.abs),
    "Add": shapes.binary(torch.add, operator.add),
    "And": shapes.binary(torch.logical_and, operator.and_),
    "Attention": _attention,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": shapes.concat,
    "Conv": _conv,
    "Cos": _unary(torch.cos),
    "CumSum": _cum_sum,
    "Div": shapes.binary(shapes.divide, operator.floordiv),
    "Equal": shapes.binary(torch.eq, operator.eq),
    "Exp": _unary(torch.exp),
    "Expand": shapes.expand,
    "Gather": shapes.gather,
    "GatherElements": lambda attributes, x, index: x.gather(attributes.get("axis", 0), index),
    "GatherND": shapes.gather_nd,
    "Gelu": lambda attributes, x: functional.gelu(
        x, approximate=attributes.get("approximate", "none")
    ),
    "Gemm": _gemm,
    "Greater": shapes.binary(torch.gt, operator.gt),
    "GreaterOrEqual": shapes.binary(torch.ge, operator.ge),
    "Identity": lambda attributes, x: x,
    "InstanceNormalization": _instance_norm,
    "IsInf": _unary(torch.isinf),
    "IsNaN": _unary(torch.isnan),
    "LSTM": _lstm,
    "LayerNormalization": _layer_norm,
    "Less": shapes.binary(torch.lt, operator.lt),
    "LessOrEqual": shapes.binary(torch.le, operator.le),
    "Log": lambda attributes, x: torch.log(_wide(x)),
    "LpNormalization": lambda attributes, x: functional.normalize(
        _wide(x), p=attributes.get("p", 2), dim=attributes.get("axis", -1), eps=0.0
    ),
    "MatMul": shapes.binary(torch.matmul, operator.mul),
    "Max": shapes.extreme(torch.maximum, max),
    "MaxPool": _max_pool,
    "Min": shapes.extreme(torch.minimum, min),
    "Mod": shapes.binary(torch.remainder, operator.mod),
    "Mul": shapes.binary(torch.mul, operator.mul),
    "Neg": _unary(torch.neg),
    "Not": _unary(torch.logical_not),
    "Or": shapes.binary(torch.logical_or, operator.or_),
    "Pad": shapes.pad,
    "Pow": shapes.binary(lambda a, b: torch.pow(_wide(a), b), operator.pow),
    "Range": shapes.places,
    "Reciprocal": _unary(torch.reciprocal),
    "ReduceL2": _reduce(lambda x, axes, keep: torch.linalg.vector_norm(_wide(x), 2, axes, keep)),
    "ReduceMax": _reduce(lambda x, axes, keep: torch.amax(x, axes, keep)),
    "ReduceMean": _reduce(lambda x, axes, keep: torch.mean(_wide(x), axes, keep)),
    "ReduceSum": _reduce(lambda x, axes, keep: torch.sum(_wide(x), axes, keep)),
    "Relu": _unary(torch.relu),
    "Reshape": shapes.reshape,
    "Resize": _resize,
    "Shape": shapes.shape_of,
    "Sigmoid": _unary(torch.sigmoid),
    "Sin": _unary(torch.sin),
    "Slice": shapes.cut,
    "Softmax": lambda attributes, x: torch.softmax(_wide(x), attributes.get("axis", -1)),
    "Split": shapes.split,
    "Sqrt": lambda attributes, x: math.sqrt(x) if shapes.is_size(x) else torch.sqrt(_wide(x)),
    "Squeeze": shapes.squeeze,
    "Sub": shapes.binary(torch.sub, operator.sub),
    "Tanh": _unary(torch.tanh),
    "Tile": lambda attributes, x, repeats: x.repeat(repeats),
    "TopK": shapes.top_k,
    "Transpose": lambda attributes, x: x.permute(attributes["perm"]),
    "Unsqueeze": shapes.unsqueeze,
    "Where": shapes.where,
}
"""By ONNX operator."""
