"""ONNX operators on shapes and places: cutting, joining, looking up, in tensors and in sizes.

What says how long something is, and follows from shapes, is a size: no tensor but an int or a list
of ints. Then torch.export can follow it where a length varies.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Attributes = Mapping[str, Any]


def is_size(value: object) -> bool:
    """Whether it says how long something is."""
    return not isinstance(value, Tensor)


def binary(for_tensors: Callable[..., Any], for_sizes: Callable[..., Any]) -> Callable[..., Any]:
    """An operator of two inputs, tensors or sizes."""

    def run(attributes: Attributes, a: Any, b: Any) -> Any:
        if is_size(a) and is_size(b):
            if isinstance(a, list) or isinstance(b, list):
                count = max(len(x) for x in (a, b) if isinstance(x, list))
                left = a if isinstance(a, list) and len(a) > 1 else [only(a)] * count
                right = b if isinstance(b, list) and len(b) > 1 else [only(b)] * count
                return [for_sizes(x, y) for x, y in zip(left, right, strict=True)]
            return for_sizes(a, b)
        like = a if isinstance(a, Tensor) else b
        return for_tensors(as_tensor(a, like), as_tensor(b, like))

    return run


def only(value: Any) -> Any:
    """The number of a list of one."""
    return value[0] if isinstance(value, list) else value


def as_tensor(value: Any, like: Tensor) -> Any:
    """A size as something that a tensor can be computed with."""
    if isinstance(value, list):
        if len(value) == 1:
            return value[0]
        return torch.tensor(value, device=like.device)
    return value


def divide(a: Any, b: Any) -> Any:
    """Whole numbers are divided towards zero."""
    floats = any(isinstance(x, Tensor) and x.is_floating_point() for x in (a, b))
    return torch.div(a, b) if floats else torch.div(a, b, rounding_mode="trunc")


def axes_of(attributes: Attributes, axes: Any) -> list[int] | None:
    """Axes as an input or, in older opsets, an attribute."""
    found = axes if axes is not None else attributes.get("axes")
    return found if found is None or isinstance(found, list) else [found]


def shape_of(attributes: Attributes, x: Tensor) -> list[Any]:
    """Shape."""
    return list(x.shape)[attributes.get("start", 0) : attributes.get("end")]


def gather(attributes: Attributes, x: Any, index: Any) -> Any:
    """Gather."""
    axis = attributes.get("axis", 0)
    if isinstance(x, list):
        return [x[i] for i in index] if isinstance(index, list) else x[index]
    if isinstance(index, list):
        index = torch.tensor(index, device=x.device)
    if is_size(index):
        return x.select(axis, index)
    if axis == 0 and x.ndim == 2 and x.is_floating_point():
        return functional.embedding(index, x)
    index = torch.where(index < 0, index + x.shape[axis], index)
    found = x.index_select(axis, index.reshape(-1))
    axis %= x.ndim
    return found.reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])


def gather_nd(attributes: Attributes, x: Tensor, index: Tensor) -> Tensor:
    """GatherND."""
    if attributes.get("batch_dims", 0):
        raise NotImplementedError("GatherND with batch_dims")
    return x[tuple(index.unbind(-1))]


def cut(
    attributes: Attributes, x: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None
) -> Any:
    """Slice."""
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
        part: list[slice] = [slice(None)] * x.ndim
        part[axis] = slice(start, last, step)
        x = x[tuple(part)]
    return x


def concat(attributes: Attributes, *parts: Any) -> Any:
    """Concat."""
    if all(is_size(part) for part in parts):
        return [n for part in parts for n in (part if isinstance(part, list) else [part])]
    like = next(part for part in parts if isinstance(part, Tensor))
    tensors = [
        part
        if isinstance(part, Tensor)
        else torch.tensor(part, dtype=like.dtype, device=like.device)
        for part in parts
    ]
    return torch.cat(tensors, attributes["axis"])


def unsqueeze(attributes: Attributes, x: Any, axes: Any = None) -> Any:
    """Unsqueeze."""
    found = axes_of(attributes, axes) or []
    if is_size(x) and not isinstance(x, list) and len(found) == 1:
        return [x]
    x = torch.tensor(x) if is_size(x) else x
    for axis in sorted(a % (x.ndim + len(found)) for a in found):
        x = x.unsqueeze(axis)
    return x


def squeeze(attributes: Attributes, x: Any, axes: Any = None) -> Any:
    """Squeeze."""
    if is_size(x):
        return only(x)
    found = axes_of(attributes, axes)
    return x.squeeze() if found is None else x.squeeze(tuple(found))


def reshape(attributes: Attributes, x: Any, shape: Any) -> Any:
    """Reshape."""
    if is_size(x) and len(shape) == 1:
        return x if isinstance(x, list) else [x]
    x = torch.tensor(x) if is_size(x) else x
    sizes = [x.shape[i] if n == 0 and isinstance(n, int) else n for i, n in enumerate(shape)]
    return x.reshape(sizes)


def expand(attributes: Attributes, x: Any, shape: Any) -> Any:
    """Expand."""
    if is_size(x) and len(shape) == 1 and isinstance(shape[0], int):
        return [only(x)] * shape[0]
    x = torch.tensor(x) if is_size(x) else x
    rank = max(x.ndim, len(shape))
    own = [1] * (rank - x.ndim) + list(x.shape)
    wanted = [1] * (rank - len(shape)) + list(shape)
    sizes = [n if isinstance(m, int) and m == 1 else m for m, n in zip(wanted, own, strict=True)]
    return x.expand(sizes)


def where(attributes: Attributes, condition: Any, a: Any, b: Any) -> Any:
    """Where."""
    if is_size(condition):
        chosen = torch.sym_ite(only(condition), only(a), only(b))
        return [chosen] if any(isinstance(x, list) for x in (condition, a, b)) else chosen
    return torch.where(condition, as_tensor(a, condition), as_tensor(b, condition))


def places(attributes: Attributes, start: Any, limit: Any, step: Any) -> Any:
    """Range."""
    return torch.arange(only(start), only(limit), only(step))


def extreme(for_tensors: Callable[..., Any], for_sizes: Callable[..., Any]) -> Callable[..., Any]:
    """Max or Min, of any number of inputs."""
    two = binary(lambda a, b: for_tensors(*torch.broadcast_tensors(a, b)), for_sizes)
    return lambda attributes, *parts: functools.reduce(functools.partial(two, attributes), parts)


def split(attributes: Attributes, x: Tensor, sizes: Any = None) -> tuple[Tensor, ...]:
    """Split."""
    axis = attributes.get("axis", 0)
    if sizes is None:
        return tuple(x.chunk(attributes["num_outputs"], axis))
    return tuple(torch.split(x, sizes, axis))


def pad(
    attributes: Attributes, x: Tensor, pads: Any, value: Any = None, axes: Any = None
) -> Tensor:
    """Pad."""
    if attributes.get("mode", "constant") != "constant":
        raise NotImplementedError(f"Pad by {attributes['mode']}")
    axes = [a % x.ndim for a in axes] if axes is not None else list(range(x.ndim))
    by_axis = {axis: (pads[i], pads[i + len(axes)]) for i, axis in enumerate(axes)}
    both = [n for axis in reversed(range(x.ndim)) for n in by_axis.get(axis, (0, 0))]
    return functional.pad(x, both, value=0.0 if value is None else float(value))


def top_k(attributes: Attributes, x: Tensor, count: Any) -> tuple[Tensor, Tensor]:
    """TopK."""
    largest, in_order = bool(attributes.get("largest", 1)), bool(attributes.get("sorted", 1))
    values, places = x.topk(only(count), attributes.get("axis", -1), largest, in_order)
    return values, places
