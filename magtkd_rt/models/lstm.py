"""An LSTM that stays one operator when it is exported."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Lstm(nn.LSTM):
    """(b, time, inputs) -> outputs of the last layer, (b, time, size); starts from zeros.

    torch.onnx unrolls an LSTM into its steps, which fixes the length and makes a graph of
    thousands of nodes. ONNX has the operator, so export writes that one instead.
    """

    def __init__(self, inputs: int, size: int, layers: int) -> None:
        super().__init__(inputs, size, layers, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """(b, time, inputs) -> (b, time, size)."""
        if not torch.onnx.is_in_onnx_export():
            outputs: Tensor = super().forward(x)[0]
            return outputs
        x = x.transpose(0, 1)  # ONNX wants time first
        for layer in range(self.num_layers):
            x = self._operator(x, layer)
        return x.transpose(0, 1)

    def _operator(self, x: Tensor, layer: int) -> Tensor:
        weights = (self._gates(f"{kind}_l{layer}") for kind in ("weight_ih", "weight_hh"))
        bias = torch.cat([self._gates(f"{kind}_l{layer}") for kind in ("bias_ih", "bias_hh")])
        shape = (x.shape[0], 1, x.shape[1], self.hidden_size)
        outputs = torch.onnx.ops.symbolic(
            "LSTM",
            [x, *(weight.unsqueeze(0) for weight in weights), bias.unsqueeze(0)],
            {"hidden_size": self.hidden_size},
            dtype=x.dtype,
            shape=shape,
        )  # (time, directions, b, size)
        return outputs.squeeze(1)

    def _gates(self, name: str) -> Tensor:
        """Torch orders the gates input, forget, cell, output; ONNX input, output, forget, cell."""
        weight, size = getattr(self, name), self.hidden_size
        return torch.cat([weight[gate * size : (gate + 1) * size] for gate in (0, 3, 1, 2)])
