"""ONNX operators as torch functions, as far as graphs exported from torch use them.

A function takes the operator's inputs (None where one is left out) and its attributes. What says
how long something is, and follows from shapes, is no tensor but an int or a list of ints: then
torch.export can follow it where a length varies.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from magtkd_rt.engines.torch_lstm import lstm

Attributes = Mapping[str, Any]

DTYPES: Final = {
    1: torch.float32, 2: torch.uint8, 3: torch.int8, 6: torch.int32, 7: torch.int64,
    9: torch.bool, 10: torch.float16, 11: torch.float64, 16: torch.bfloat16,
}  # fmt: skip
"""ONNX element types."""


def _is_size(value: object) -> bool:
    return not isinstance(value, Tensor)


def _binary(for_tensors: Callable[..., Any], for_sizes: Callable[..., Any]) -> Callable[..., Any]:
    def run(attributes: Attributes, a: Any, b: Any) -> Any:
        if _is_size(a) and _is_size(b):
            if isinstance(a, list) or isinstance(b, list):
                count = max(len(x) for x in (a, b) if isinstance(x, list))
                left = a if isinstance(a, list) and len(a) > 1 else [_one(a)] * count
                right = b if isinstance(b, list) and len(b) > 1 else [_one(b)] * count
                return [for_sizes(x, y) for x, y in zip(left, right, strict=True)]
            return for_sizes(a, b)
        like = a if isinstance(a, Tensor) else b
        return for_tensors(_tensor(a, like), _tensor(b, like))

    return run


def _one(value: Any) -> Any:
    return value[0] if isinstance(value, list) else value


def _tensor(value: Any, like: Tensor) -> Any:
    """A size as something that a tensor can be computed with."""
    if isinstance(value, list):
        if len(value) == 1:
            return value[0]
        return torch.tensor(value, device=like.device)
    return value


def _unary(function: Callable[[Tensor], Tensor]) -> Callable[..., Any]:
    return lambda attributes, x: function(x)


def _divide(a: Any, b: Any) -> Any:
    floats = any(isinstance(x, Tensor) and x.is_floating_point() for x in (a, b))
    return torch.div(a, b) if floats else torch.div(a, b, rounding_mode="trunc")


def _axes(attributes: Attributes, axes: Any) -> list[int] | None:
    found = axes if axes is not None else attributes.get("axes")
    return found if found is None or isinstance(found, list) else [found]


def _reduce(function: Callable[..., Tensor]) -> Callable[..., Any]:
    def run(attributes: Attributes, x: Tensor, axes: Any = None) -> Tensor:
        keep = bool(attributes.get("keepdims", 1))
        found = _axes(attributes, axes)
        return function(x, found if found is not None else list(range(x.ndim)), keep)

    return run


def _cast(attributes: Attributes, x: Any) -> Any:
    if _is_size(x):
        return x
    return x.to(DTYPES[attributes["to"]])


def _shape(attributes: Attributes, x: Tensor) -> list[Any]:
    return list(x.shape)[attributes.get("start", 0) : attributes.get("end")]


def _gather(attributes: Attributes, x: Any, index: Any) -> Any:
    axis = attributes.get("axis", 0)
    if isinstance(x, list):
        return [x[i] for i in index] if isinstance(index, list) else x[index]
    if isinstance(index, list):
        index = torch.tensor(index, device=x.device)
    if _is_size(index):
        return x.select(axis, index)
    if axis == 0 and x.ndim == 2 and x.is_floating_point():
        return functional.embedding(index, x)
    index = torch.where(index < 0, index + x.shape[axis], index)
    found = x.index_select(axis, index.reshape(-1))
    axis %= x.ndim
    return found.reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])


def _gather_nd(attributes: Attributes, x: Tensor, index: Tensor) -> Tensor:
    if attributes.get("batch_dims", 0):
        raise NotImplementedError("GatherND with batch_dims")
    return x[tuple(index.unbind(-1))]


def _slice(
    attributes: Attributes, x: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None
) -> Any:
    starts, ends = ([s] if not isinstance(s, list) else s for s in (starts, ends))
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    if isinstance(x, list):
        return x[starts[0] : ends[0] : steps[0]]
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if step < 0:
            if step != -1 or start not in (-1, x.shape[axis] - 1) or end > -x.shape[axis]:
                raise NotImplementedError("Slice backwards over a part")
            x = x.flip(axis)
            continue
        last = None if isinstance(end, int) and end >= 2**31 - 1 else end
        cut: list[slice] = [slice(None)] * x.ndim
        cut[axis] = slice(start, last, step)
        x = x[tuple(cut)]
    return x


def _concat(attributes: Attributes, *parts: Any) -> Any:
    if all(_is_size(part) for part in parts):
        return [n for part in parts for n in (part if isinstance(part, list) else [part])]
    like = next(part for part in parts if isinstance(part, Tensor))
    tensors = [
        part
        if isinstance(part, Tensor)
        else torch.tensor(part, dtype=like.dtype, device=like.device)
        for part in parts
    ]
    return torch.cat(tensors, attributes["axis"])


def _unsqueeze(attributes: Attributes, x: Any, axes: Any = None) -> Any:
    found = _axes(attributes, axes) or []
    if _is_size(x) and not isinstance(x, list) and len(found) == 1:
        return [x]
    x = torch.tensor(x) if _is_size(x) else x
    for axis in sorted(a % (x.ndim + len(found)) for a in found):
        x = x.unsqueeze(axis)
    return x


def _squeeze(attributes: Attributes, x: Any, axes: Any = None) -> Any:
    if _is_size(x):
        return _one(x)
    found = _axes(attributes, axes)
    return x.squeeze() if found is None else x.squeeze(tuple(found))


def _reshape(attributes: Attributes, x: Any, shape: Any) -> Any:
    if _is_size(x) and len(shape) == 1:
        return x if isinstance(x, list) else [x]
    x = torch.tensor(x) if _is_size(x) else x
    sizes = [x.shape[i] if n == 0 and isinstance(n, int) else n for i, n in enumerate(shape)]
    return x.reshape(sizes)


def _expand(attributes: Attributes, x: Any, shape: Any) -> Any:
    if _is_size(x) and len(shape) == 1 and isinstance(shape[0], int):
        return [_one(x)] * shape[0]
    x = torch.tensor(x) if _is_size(x) else x
    rank = max(x.ndim, len(shape))
    own = [1] * (rank - x.ndim) + list(x.shape)
    wanted = [1] * (rank - len(shape)) + list(shape)
    sizes = [n if isinstance(m, int) and m == 1 else m for m, n in zip(wanted, own, strict=True)]
    return x.expand(sizes)


def _where(attributes: Attributes, condition: Any, a: Any, b: Any) -> Any:
    if _is_size(condition):
        chosen = torch.sym_ite(_one(condition), _one(a), _one(b))
        return [chosen] if any(isinstance(x, list) for x in (condition, a, b)) else chosen
    return torch.where(condition, _tensor(a, condition), _tensor(b, condition))


def _range(attributes: Attributes, start: Any, limit: Any, step: Any) -> Any:
    return torch.arange(_one(start), _one(limit), _one(step))


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
    return functional.instance_norm(_wide(x), weight=_wide(scale), bias=_wide(bias), eps=eps)


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
    return torch.cumsum(x, _one(axis), dtype=x.dtype)


def _extreme(for_tensors: Callable[..., Any], for_sizes: Callable[..., Any]) -> Callable[..., Any]:
    """Of any number of inputs."""
    two = _binary(lambda a, b: for_tensors(*torch.broadcast_tensors(a, b)), for_sizes)
    return lambda attributes, *parts: functools.reduce(functools.partial(two, attributes), parts)


def _split(attributes: Attributes, x: Tensor, sizes: Any = None) -> tuple[Tensor, ...]:
    axis = attributes.get("axis", 0)
    if sizes is None:
        return tuple(x.chunk(attributes["num_outputs"], axis))
    return tuple(torch.split(x, sizes, axis))


def _pad(
    attributes: Attributes, x: Tensor, pads: Any, value: Any = None, axes: Any = None
) -> Tensor:
    if attributes.get("mode", "constant") != "constant":
        raise NotImplementedError(f"Pad by {attributes['mode']}")
    axes = [a % x.ndim for a in axes] if axes is not None else list(range(x.ndim))
    by_axis = {axis: (pads[i], pads[i + len(axes)]) for i, axis in enumerate(axes)}
    both = [n for axis in reversed(range(x.ndim)) for n in by_axis.get(axis, (0, 0))]
    return functional.pad(x, both, value=0.0 if value is None else float(value))


def _top_k(attributes: Attributes, x: Tensor, count: Any) -> tuple[Tensor, Tensor]:
    largest, in_order = bool(attributes.get("largest", 1)), bool(attributes.get("sorted", 1))
    values, places = x.topk(_one(count), attributes.get("axis", -1), largest, in_order)
    return values, places


def _lstm(attributes: Attributes, x: Tensor, *weights: Any) -> Tensor:
    """x (time, b, inputs) -> (time, 1, b, size); weights are in torch's order already."""
    own, recurrent, bias = weights[:3]
    if any(extra is not None for extra in weights[3:]):
        raise NotImplementedError("LSTM with lengths or a state")
    size = attributes["hidden_size"]
    both = bias[0, : 4 * size] + bias[0, 4 * size :]
    return lstm(x, own[0], recurrent[0], both).unsqueeze(1)


def _attention(
    attributes: Attributes, q: Tensor, kt: Tensor, v: Tensor, mask: Any = None, counting: Any = None
) -> Tensor:
    """What `torch_graph` makes of products around a softmax; factors are in q and k already.

    `counting` (keys,) is false where a prompt was filled up.
    """
    k = kt.transpose(-1, -2)
    if mask is not None and mask.is_floating_point():
        mask = mask.to(q.dtype)
    if counting is not None:
        seen = torch.zeros_like(counting, dtype=q.dtype).masked_fill(~counting, -math.inf)
        mask = seen if mask is None else mask + seen
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0)


def _wide(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


OPERATORS: Final[Mapping[str, Callable[..., Any]]] = {
    "Abs": _unary(torch.abs),
    "Add": _binary(torch.add, operator.add),
    "And": _binary(torch.logical_and, operator.and_),
    "Attention": _attention,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "Cos": _unary(torch.cos),
    "CumSum": _cum_sum,
    "Div": _binary(_divide, operator.floordiv),
    "Equal": _binary(torch.eq, operator.eq),
    "Exp": _unary(torch.exp),
    "Expand": _expand,
    "Gather": _gather,
    "GatherND": _gather_nd,
    "Gelu": lambda attributes, x: functional.gelu(
        x, approximate=attributes.get("approximate", "none")
    ),
    "Gemm": _gemm,
    "Greater": _binary(torch.gt, operator.gt),
    "GreaterOrEqual": _binary(torch.ge, operator.ge),
    "Identity": lambda attributes, x: x,
    "InstanceNormalization": _instance_norm,
    "IsInf": _unary(torch.isinf),
    "IsNaN": _unary(torch.isnan),
    "LSTM": _lstm,
    "LayerNormalization": _layer_norm,
    "Less": _binary(torch.lt, operator.lt),
    "LessOrEqual": _binary(torch.le, operator.le),
    "Log": lambda attributes, x: torch.log(_wide(x)),
    "LpNormalization": lambda attributes, x: functional.normalize(
        _wide(x), p=attributes.get("p", 2), dim=attributes.get("axis", -1), eps=0.0
    ),
    "MatMul": _binary(torch.matmul, operator.mul),
    "Max": _extreme(torch.maximum, max),
    "MaxPool": _max_pool,
    "Min": _extreme(torch.minimum, min),
    "Mod": _binary(torch.remainder, operator.mod),
    "Mul": _binary(torch.mul, operator.mul),
    "Neg": _unary(torch.neg),
    "Not": _unary(torch.logical_not),
    "Or": _binary(torch.logical_or, operator.or_),
    "Pad": _pad,
    "Pow": _binary(lambda a, b: torch.pow(_wide(a), b), operator.pow),
    "Range": _range,
    "Reciprocal": _unary(torch.reciprocal),
    "ReduceL2": _reduce(lambda x, axes, keep: torch.linalg.vector_norm(_wide(x), 2, axes, keep)),
    "ReduceMax": _reduce(lambda x, axes, keep: torch.amax(x, axes, keep)),
    "ReduceMean": _reduce(lambda x, axes, keep: torch.mean(_wide(x), axes, keep)),
    "ReduceSum": _reduce(lambda x, axes, keep: torch.sum(_wide(x), axes, keep)),
    "Relu": _unary(torch.relu),
    "Reshape": _reshape,
    "Resize": _resize,
    "Shape": _shape,
    "Sigmoid": _unary(torch.sigmoid),
    "Sin": _unary(torch.sin),
    "Slice": _slice,
    "Softmax": lambda attributes, x: torch.softmax(_wide(x), attributes.get("axis", -1)),
    "Split": _split,
    "Sqrt": lambda attributes, x: math.sqrt(x) if _is_size(x) else torch.sqrt(_wide(x)),
    "Squeeze": _squeeze,
    "Sub": _binary(torch.sub, operator.sub),
    "Tanh": _unary(torch.tanh),
    "Tile": lambda attributes, x, repeats: x.repeat(repeats),
    "TopK": _top_k,
    "Transpose": lambda attributes, x: x.permute(attributes["perm"]),
    "Unsqueeze": _unsqueeze,
    "Where": _where,
}
"""By ONNX operator."""
