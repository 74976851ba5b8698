"""A short-time Fourier transform as a convolution, which every exporter and engine knows."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def fourier_basis(window: int, fft: int, weights: Tensor | None = None) -> Tensor:
    """Filters for conv1d, (fft + 2, 1, window): real parts, then imaginary ones, windowed.

    `weights` (window,) is the window, by default Hann's.
    """
    if weights is None:
        weights = torch.hann_window(window, periodic=True, dtype=torch.float64)
    times = torch.arange(window, dtype=torch.float64)
    bins = torch.arange(fft // 2 + 1, dtype=torch.float64)
    phase = 2 * math.pi * bins[:, None] * times / fft
    basis = torch.cat([torch.cos(phase) * weights, torch.sin(phase) * weights])
    return basis.float().unsqueeze(1)
