"""The audio student: a waveform in, one feature vector and logits out.

The front end (level, log-mel) is inside, so training and runtime cannot differ in it. The
network is YAMNet's (Google, Apache-2.0): a MobileNet v1 over 64 mel bands, here with pooled
mean and deviation over time and a small head.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

SAMPLE_RATE = 16_000
MIN_SAMPLES = 15_600
"""Shortest sound the network was made for: 96 frames, 0.975 s."""

_WINDOW, _HOP, _FFT, _BANDS = 400, 160, 512, 64
_LAYERS = (  # stride and channels of each depthwise-separable layer
    (1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512), (1, 512), (1, 512),
    (1, 512), (1, 512), (1, 512), (2, 1024), (1, 1024),
)  # fmt: skip


def mel_filters(bands: int = _BANDS, low: float = 125.0, high: float = 7500.0) -> Tensor:
    """Triangular filters on the HTK mel scale, (fft / 2 + 1, bands)."""

    def mel(hertz: Tensor) -> Tensor:
        return 1127.0 * torch.log1p(hertz / 700.0)

    bins = mel(torch.linspace(0, SAMPLE_RATE / 2, _FFT // 2 + 1, dtype=torch.float64))
    first, last = float(mel(torch.tensor(low))), float(mel(torch.tensor(high)))
    edges = torch.linspace(first, last, bands + 2, dtype=torch.float64)
    rising = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    filters = torch.minimum(rising, falling).clamp(min=0)
    filters[0] = 0  # no constant component
    return filters.float()


class LogMel(nn.Module):
    """(b, samples) waveform -> (b, frames, 64) log-mel, 25 ms windows every 10 ms."""

    def __init__(self) -> None:
        super().__init__()
        window = torch.hann_window(_WINDOW, periodic=True, dtype=torch.float64)
        times = torch.arange(_WINDOW, dtype=torch.float64)
        bins = torch.arange(_FFT // 2 + 1, dtype=torch.float64)
        phase = 2 * math.pi * bins[:, None] * times / _FFT
        basis = torch.cat([torch.cos(phase) * window, torch.sin(phase) * window])
        self.register_buffer("basis", basis.float().unsqueeze(1), persistent=False)
        self.register_buffer("filters", mel_filters(), persistent=False)
        self.basis: Tensor
        self.filters: Tensor

    def forward(self, waveform: Tensor) -> Tensor:
        """(b, samples) -> (b, frames, 64)."""
        spectrum = functional.conv1d(waveform.unsqueeze(1), self.basis, stride=_HOP)
        real, imaginary = spectrum.chunk(2, dim=1)  # (b, 257, frames) each
        magnitude = (real.square() + imaginary.square() + 1e-12).sqrt()
        return torch.log(magnitude.transpose(1, 2) @ self.filters + 0.001)


class _Conv(nn.Module):
    """Convolution, bias, ReLU, with TensorFlow's 'same' padding for even sizes."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, groups=groups)
        self.padding = (0, 0, 0, 0) if size == 1 else (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.conv(functional.pad(x, self.padding)))


class AudioStudent(nn.Module):
    """YAMNet's network with an expression head. The sound's level is normalised inside."""

    def __init__(self, feature_size: int = 128, classes: int = 7, dropout: float = 0.4) -> None:
        super().__init__()
        self.log_mel = LogMel()
        layers: list[nn.Module] = [_Conv(1, 32, 3, 2)]
        channels = 32
        for stride, width in _LAYERS:
            layers += [_Conv(channels, channels, 3, stride, channels), _Conv(channels, width, 1, 1)]
            channels = width
        self.backbone = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(2 * channels, feature_size)
        self.classify = nn.Linear(feature_size, classes)

    @staticmethod
    def level(waveform: Tensor) -> Tensor:
        """Bring (b, samples) to an RMS of 0.05: how loud a microphone is says nothing."""
        rms = waveform.square().mean(dim=1, keepdim=True).sqrt()
        return waveform * (0.05 / (rms + 1e-4))

    def embed_mel(self, mel: Tensor) -> Tensor:
        """(b, frames, 64) log-mel -> (b, feature_size)."""
        maps = self.backbone(mel.unsqueeze(1)).mean(dim=3)  # (b, 1024, frames / 32)
        mean = maps.mean(dim=2)
        deviation = ((maps - mean.unsqueeze(2)).square().mean(dim=2) + 1e-5).sqrt()
        return torch.tanh(self.project(self.dropout(torch.cat([mean, deviation], dim=1))))

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """(1, samples) float32 at 16 kHz -> feature (1, d) and logits (1, classes)."""
        feature = self.embed_mel(self.log_mel(self.level(waveform)))
        return feature, self.classify(feature)
