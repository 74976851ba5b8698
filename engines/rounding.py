"""onnxruntime's dynamic quantisation of chosen operators, without its advice on the root logger."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path


def round_dynamically(
    model: Path, out: Path, operators: Sequence[str], kept: Sequence[str], large: bool = False
) -> None:
    """Write a graph's like: weights in 8 bits, one scale a column; activations one scale a run.

    Args:
        model: the ONNX file.
        out: the file to write.
        operators: the types of operators in question.
        kept: names of nodes that keep 32 bits.
        large: its weights come to lie beside `out`.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it advises on the root logger what was done already
    try:
        quantize_dynamic(
            model,
            out,
            op_types_to_quantize=list(operators),
            per_channel=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=list(kept),
            use_external_data_format=large,
            extra_options={"MatMulConstBOnly": True},
        )
    finally:
        root.setLevel(level)
