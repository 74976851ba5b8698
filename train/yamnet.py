"""Lift YAMNet's weights out of its TFLite file into the audio student."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import tflite
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from magtkd_rt.errors import DataError
from magtkd_rt.models.audio import AudioStudent

_CONVOLUTIONS = 27


def _tensor(model: Any, graph: Any, index: int) -> NDArray[np.float32]:
    """A constant tensor as float32, dequantised where it is stored in 8 bits."""
    tensor = graph.Tensors(index)
    raw = model.Buffers(tensor.Buffer()).DataAsNumpy()
    shape = tensor.ShapeAsNumpy()
    if tensor.Type() == tflite.TensorType.FLOAT32:
        return np.frombuffer(raw.tobytes(), np.float32).reshape(shape).copy()
    if tensor.Type() == tflite.TensorType.FLOAT16:
        return np.frombuffer(raw.tobytes(), np.float16).reshape(shape).astype(np.float32)
    kinds = {tflite.TensorType.INT8: np.int8, tflite.TensorType.INT32: np.int32}
    stored = np.frombuffer(raw.tobytes(), kinds[tensor.Type()]).reshape(shape).astype(np.float32)
    quantisation = tensor.Quantization()
    scale: NDArray[np.float32] = quantisation.ScaleAsNumpy()
    zero: NDArray[np.int64] = quantisation.ZeroPointAsNumpy()
    axis = [1] * len(shape)
    if len(scale) > 1:
        axis[quantisation.QuantizedDimension()] = len(scale)
    shifted: NDArray[np.float32] = (stored - zero.reshape(axis)) * scale.reshape(axis)
    return shifted


def lift_yamnet(path: Path, student: AudioStudent) -> None:
    """Copy YAMNet's first convolutions from the TFLite file at `path` into `student.timbre`."""
    if not path.exists():
        raise DataError(f"YAMNet not found at {path}", remedy="name its file with --yamnet FILE")
    model = tflite.Model.GetRootAsModel(path.read_bytes(), 0)
    graph = model.Subgraphs(0)
    source = {}  # output of DEQUANTIZE -> its constant input
    convolutions = []
    for position in range(graph.OperatorsLength()):
        operator = graph.Operators(position)
        code = model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode()
        inputs = [int(index) for index in operator.InputsAsNumpy()]
        if code == tflite.BuiltinOperator.DEQUANTIZE:
            source[int(operator.Outputs(0))] = inputs[0]
        elif code in (tflite.BuiltinOperator.CONV_2D, tflite.BuiltinOperator.DEPTHWISE_CONV_2D):
            weight = _tensor(model, graph, source.get(inputs[1], inputs[1]))
            depthwise = code == tflite.BuiltinOperator.DEPTHWISE_CONV_2D
            # TFLite: (out, h, w, in), depthwise (1, h, w, channels); torch: (out, in, h, w)
            order = (3, 0, 1, 2) if depthwise else (0, 3, 1, 2)
            convolutions.append((weight.transpose(order), _tensor(model, graph, inputs[2])))
    if len(convolutions) != _CONVOLUTIONS:
        raise DataError(
            f"{path} holds {len(convolutions)} convolutions, YAMNet has {_CONVOLUTIONS}",
            remedy="give the float TFLite file of YAMNet",
        )
    with torch.no_grad():
        for layer, (weight, bias) in zip(student.timbre, convolutions, strict=False):
            convolution = cast("nn.Conv2d", layer.conv)
            convolution.weight.copy_(torch.from_numpy(weight.copy()))
            cast("Tensor", convolution.bias).copy_(torch.from_numpy(bias))
