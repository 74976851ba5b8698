"""An ONNX graph whose products and LSTMs run in 8 bits, for `magtkd compile`; needs onnx.

Weights get one scale a column, activations one scale a run (onnxruntime's dynamic quantisation).
Two things keep the decisions: channels that are wide are made narrower before they are rounded and
their weights wider in turn (SmoothQuant, Xiao et al. 2023), and the products that would lose most
keep their 32 bits. Attention becomes one operator on the way.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from magtkd_rt.engines.activations import Seen, see
from magtkd_rt.engines.attention import join_attention
from magtkd_rt.engines.block_weights import round_by_blocks
from magtkd_rt.engines.lstm_weights import RoundedLstms, round_lstms
from magtkd_rt.engines.onnx_files import fold, is_large, save
from magtkd_rt.engines.rounding import round_dynamically

Arrays = Mapping[str, NDArray[Any]]
Floats = NDArray[np.float32]
_log = logging.getLogger(__name__)

STRENGTH: Final = 0.7
"""How much of a channel's width goes over into the weights, 0 to 1; 0.5 and 0.85 were worse."""
KEPT: Final = 1 / 9
"""Share of the products that keep 32 bits at most: those that would lose most."""
LOST: Final = 0.02
"""What a product may lose, as a share of what it gives, before it is kept in 32 bits."""
QUIET: Final = 0.1
"""Share of the mean width that a channel is taken to have at least: one that the cases hardly move
may be loud later, and would drown the others had it been made as wide as they are."""
FEW_ROWS: Final = 8
"""Rows up to which the time goes into reading weights, not into multiplying."""
SMALLEST: Final = 16_384
"""Entries of a matrix from which on 8 bits are worth the trouble."""


@dataclass(frozen=True, slots=True)
class Quantised:
    """What became of a graph: `weights` is the share of its weights that are in 8 bits now."""

    products: int
    kept: int
    weights: float
    lstms: RoundedLstms


@dataclass(frozen=True, slots=True)
class _Product:
    """One product of an activation with a matrix of the graph."""

    node: str
    source: str
    weight: str


def quantise(graph: Path, cases: Sequence[Arrays], out: Path) -> Quantised:
    """Write a graph's like in 8 bits.

    Args:
        graph: the ONNX file.
        cases: inputs by which the widths of its activations are measured.
        out: the file to write; a large graph's weights come to lie beside it.

    Returns:
        what was done; with no weights in 8 bits nothing was written.
    """
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.onnx"
        fold(graph, plain)
        rounded = Path(folder) / "rounded.onnx"
        lstms = round_lstms(plain, cases, rounded)
        model = onnx.load(rounded if lstms.weights else plain)
        _spell_out(model)
        matrices = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
        products = _products(model, matrices)
        plain_weights = sum(one.size for one in matrices.values() if one.dtype == np.float32)
        total = plain_weights + lstms.weights
        if not products:
            if lstms.weights:
                save(model, out)
            return Quantised(0, 0, lstms.weights / max(total, 1), lstms)
        seen = _join_and_see(model, {product.source for product in products}, matrices, cases)
        kept: list[str] = []
        if max(activation.most_rows for activation in seen.values()) <= FEW_ROWS:
            round_by_blocks(model, {product.node for product in products}, matrices)
            save(model, out)
        else:
            widths = _equalise(model, products, matrices, seen)
            narrow = {source: seen[source].narrowed(widths[source]) for source in widths}
            losses = {p.node: _loss(narrow[p.source], p, matrices) for p in products}
            worst = sorted(losses, key=lambda node: -losses[node])[: int(len(products) * KEPT)]
            kept = [node for node in worst if losses[node] > LOST]
            equalised = Path(folder) / "equalised.onnx"
            save(model, equalised)
            large = is_large(model)
            del model, seen, narrow
            round_dynamically(equalised, out, ["MatMul"], kept, large)
    lighter = sum(matrices[p.weight].size for p in products if p.node not in kept)
    return Quantised(len(products), len(kept), (lighter + lstms.weights) / total, lstms)


def _join_and_see(
    model: onnx.ModelProto,
    sources: Collection[str],
    matrices: Mapping[str, NDArray[Any]],
    cases: Sequence[Arrays],
) -> dict[str, Seen]:
    """Join attention, if onnxruntime then runs it: it refuses masks that are not (b, h, n, n)."""
    before = [*model.graph.node]
    if join_attention(model, matrices):
        try:
            return see(model, sources, cases)
        except Exception:  # onnxruntime's errors share no narrower class
            _log.info("attention stays in parts: onnxruntime does not take its mask")
            del model.graph.node[:]
            model.graph.node.extend(before)
    return see(model, sources, cases)


def _spell_out(model: onnx.ModelProto) -> None:
    """Make Gemm a product and a sum again, which onnxruntime joined where shapes are fixed."""
    nodes = []
    for node in model.graph.node:
        settings = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        usual = {"transA": 0, "transB": 0, "alpha": 1.0, "beta": 1.0}
        if node.op_type != "Gemm" or (usual | settings) != usual or len(node.input) < 3:
            nodes.append(node)
            continue
        product = f"{node.output[0]}_product"
        nodes += [
            helper.make_node("MatMul", node.input[:2], [product], product),
            helper.make_node("Add", [product, node.input[2]], node.output, f"{product}_sum"),
        ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _products(model: onnx.ModelProto, matrices: Mapping[str, NDArray[Any]]) -> list[_Product]:
    found = []
    for number, node in enumerate(model.graph.node):
        weight = matrices.get(node.input[1]) if node.op_type == "MatMul" else None
        if weight is not None and weight.ndim == 2 and weight.size >= SMALLEST:
            node.name = node.name or f"product_{number}"
            found.append(_Product(node.name, node.input[0], node.input[1]))
    return found


def _equalise(
    model: onnx.ModelProto,
    products: Sequence[_Product],
    matrices: dict[str, NDArray[Any]],
    seen: Mapping[str, Seen],
) -> dict[str, Floats]:
    """Divide each activation's channels by their widths, and multiply the weights' rows by them."""
    widths: dict[str, Floats] = {}
    for source, activation in seen.items():
        rows = np.max(
            [np.abs(matrices[p.weight]).max(1) for p in products if p.source == source], 0
        )
        wide = np.maximum(activation.widest, max(QUIET * float(activation.widest.mean()), 1e-5))
        width = wide**STRENGTH / np.maximum(rows, 1e-5) ** (1 - STRENGTH)
        widths[source] = (width / np.exp(np.log(width).mean())).astype(np.float32)
    for product in products:
        # Several products may share a matrix only with the same activation; else it has a copy.
        matrices[product.weight] = matrices[product.weight] * widths[product.source][:, None]
    nodes, made = [], set()
    by_name = {product.node: product for product in products}
    for node in model.graph.node:
        found = by_name.get(node.name)
        if found is not None:
            if found.source not in made:
                made.add(found.source)
                factor = numpy_helper.from_array(1 / widths[found.source], f"{found.source}_narrow")
                model.graph.initializer.append(factor)
                even = f"{found.source}_even"
                nodes.append(helper.make_node("Mul", [found.source, factor.name], [even], even))
            node.input[0] = f"{found.source}_even"
        nodes.append(node)
    for weight in model.graph.initializer:
        if any(product.weight == weight.name for product in products):
            weight.CopyFrom(numpy_helper.from_array(matrices[weight.name], weight.name))
    ordered = list(nodes)
    del model.graph.node[:]
    model.graph.node.extend(ordered)
    return widths


def _loss(activation: Seen, product: _Product, matrices: Mapping[str, NDArray[Any]]) -> float:
    """By how much a product in 8 bits is off, relative to what it should give."""
    weight = matrices[product.weight]
    exact = activation.rows @ weight
    steps = np.maximum(np.abs(weight).max(0) / 127, 1e-12)
    rounded = (
        np.round(activation.rows / activation.step)
        * activation.step
        @ (np.round(weight / steps) * steps)
    )
    return float(np.sqrt(((rounded - exact) ** 2).mean() / max((exact**2).mean(), 1e-12)))
