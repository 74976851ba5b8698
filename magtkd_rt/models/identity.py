"""The identity encoder: two seconds of an utterance in, one vector of whose voice it is out.

The network is CAM++ (Wang et al., Interspeech 2023), as 3D-Speaker's weights have it (Alibaba's
Speech Lab, Apache-2.0): 2-D convolutions over the spectrum, then a densely connected TDNN whose
layers are masked by their context. Slower and far surer than the speaker encoder's prints, it is
for an utterance that is over. Its batch norms are part of the weights beside them; where one comes
before a ReLU instead, it is a `Scale`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from magtkd_rt.core.media import SAMPLE_RATE
from magtkd_rt.models.spectrum import fourier_basis

SAMPLES = 32_000
"""Length of the waveform that one vector speaks for."""
FRONT_END = "logarithm of 80 mel bands less its mean over time; 25 ms povey windows every 10 ms"
"""What happens to the waveform first, for the manifest."""

BANDS = 80
"""Of the logarithmic mel power that the network sees."""
BLOCKS = ((12, 1), (24, 2), (16, 2))
"""Layers of each dense block, and how far apart the frames are that a layer looks at."""

_WINDOW, _HOP, _FFT = 400, 160, 512
_PRE_EMPHASIS = 0.97
_LOWEST = 20.0  # Hz
_FLOOR = 1.1920929e-07  # float32's epsilon, as Kaldi has it
_GROWTH = 32  # channels that each dense layer adds
_BOTTLENECK = 128


def mel_filters() -> Tensor:
    """Triangles on Kaldi's mel scale, 20 Hz to 8 kHz, as filters of width 1: (80, 257, 1)."""
    lowest, highest = (1127 * math.log1p(hertz / 700) for hertz in (_LOWEST, SAMPLE_RATE / 2))
    edges = torch.linspace(lowest, highest, BANDS + 2, dtype=torch.float64)[:, None]
    hertz = torch.arange(_FFT // 2 + 1, dtype=torch.float64) * SAMPLE_RATE / _FFT
    mel = 1127 * torch.log1p(hertz / 700)
    rising = (mel - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mel) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp(min=0).float().unsqueeze(-1)


class LogMel(nn.Module):
    """(b, samples) waveform -> (b, 80, frames) logarithmic mel power, its mean over time taken off.

    Kaldi's filter bank without dither: no frame reaches over an end.
    """

    def __init__(self) -> None:
        super().__init__()
        povey = torch.hann_window(_WINDOW, periodic=False, dtype=torch.float64) ** 0.85
        self.register_buffer("basis", fourier_basis(_WINDOW, _FFT, povey), persistent=False)
        self.register_buffer("filters", mel_filters(), persistent=False)
        self.register_buffer("even", torch.full((1, 1, _WINDOW), 1 / _WINDOW), persistent=False)
        self.basis: Tensor
        self.even: Tensor
        self.filters: Tensor

    def forward(self, waveform: Tensor) -> Tensor:
        """(b, samples) -> (b, 80, 1 + (samples - 400) // 160)."""
        wave = waveform.unsqueeze(1)
        # Kaldi takes each frame's mean off and then makes high tones stronger, x[n] - 0.97 x[n-1].
        # Both are linear: here the second is done to the whole wave, so of a mean 3 % are left to
        # be taken off. A frame's first sample has weight 0, so what is before it does not matter.
        high = wave - _PRE_EMPHASIS * functional.pad(wave, (1, 0))[:, :, :-1]
        mean = functional.conv1d(wave, self.even, stride=_HOP)
        constant = (1 - _PRE_EMPHASIS) * self.basis.sum(dim=2)
        spectrum = functional.conv1d(high, self.basis, stride=_HOP) - constant * mean
        real, imaginary = spectrum.chunk(2, dim=1)  # (b, 257, frames) each
        # A convolution, not a product: `magtkd compile` leaves its 32 bits to it.
        power = functional.conv1d(real.square() + imaginary.square(), self.filters)
        bands = power.clamp(min=_FLOOR).log()
        return bands - bands.mean(dim=2, keepdim=True)


class Residual(nn.Module):
    """Two convolutions of 3 x 3 around which the input goes: (b, c, bands, frames)."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, stride=(stride, 1), padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1:
            self.shortcut = nn.Conv2d(channels, channels, 1, stride=(stride, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, bands, frames) -> (b, c, bands / stride, frames)."""
        inner = self.conv2(functional.relu(self.conv1(x)))
        return functional.relu(inner + self.shortcut(x))


class Head(nn.Module):
    """(b, 80, frames) -> (b, 10 c, frames): the spectrum as a picture, an eighth as high."""

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, channels, 3, padding=1)
        self.residuals = nn.Sequential(*(Residual(channels, stride) for stride in (2, 1, 2, 1)))
        self.conv2 = nn.Conv2d(channels, channels, 3, stride=(2, 1), padding=1)

    def forward(self, bands: Tensor) -> Tensor:
        """(b, 80, frames) -> (b, 10 c, frames)."""
        x = self.residuals(functional.relu(self.conv1(bands.unsqueeze(1))))
        return functional.relu(self.conv2(x)).flatten(1, 2)


class Scale(nn.Module):
    """A batch norm and a ReLU after it: (..., c) -> the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(..., c) -> (..., c)."""
        return functional.relu(x * self.weight + self.bias)


class DenseLayer(nn.Module):
    """What one layer adds to all before it: (b, frames, c) -> (b, frames, 32).

    Three frames `dilation` apart, each channel let through by as much as the context says.
    """

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.scale = Scale(channels)
        self.linear = nn.Linear(channels, _BOTTLENECK)
        self.local = nn.Linear(3 * _BOTTLENECK, _GROWTH, bias=False)
        self.context = nn.Linear(_BOTTLENECK, _BOTTLENECK // 2)
        self.mask = nn.Linear(_BOTTLENECK // 2, _GROWTH)

    def forward(self, x: Tensor) -> Tensor:
        """(b, frames, c) -> (b, frames, 32)."""
        inner = functional.relu(self.linear(self.scale(x)))
        # A convolution over three frames as one product, which is as fast, and `magtkd compile`
        # makes products faster still.
        frames, far = inner.shape[1], self.dilation
        padded = functional.pad(inner, (0, 0, far, far))
        beside = torch.cat([padded[:, :frames], inner, padded[:, 2 * far :]], dim=2)
        # The mean over all and that over a segment of 100 frames: of two seconds they are the same.
        context = 2 * inner.mean(dim=1, keepdim=True)
        mask = torch.sigmoid(self.mask(functional.relu(self.context(context))))
        local: Tensor = self.local(beside)
        return local * mask


class DenseBlock(nn.Module):
    """Dense layers, each of which sees all before it, then half of the channels."""

    def __init__(self, channels: int, layers: int, dilation: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            DenseLayer(channels + _GROWTH * number, dilation) for number in range(layers)
        )
        together = channels + _GROWTH * layers
        self.scale = Scale(together)
        self.transit = nn.Linear(together, together // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(b, frames, c) -> (b, frames, (c + 32 layers) / 2)."""
        for layer in self.layers:
            x = torch.cat([x, layer(x)], dim=2)
        linear: Tensor = self.transit(self.scale(x))
        return linear


class IdentityEncoder(nn.Module):
    """Tells whose voice it is, whatever is said: (b, 32000) -> (b, 192).

    `mean` (size,) and `whiten` (size, size) make vectors of the network comparable; until they are
    learned they change nothing.
    """

    def __init__(self, size: int = 192) -> None:
        super().__init__()
        self.log_mel = LogMel()
        self.head = Head()
        self.tdnn = nn.Conv1d(320, _BOTTLENECK, 5, stride=2, padding=2)
        blocks, channels = [], _BOTTLENECK
        for layers, dilation in BLOCKS:
            blocks.append(DenseBlock(channels, layers, dilation))
            channels = (channels + _GROWTH * layers) // 2
        self.blocks = nn.Sequential(*blocks)
        self.scale = Scale(channels)
        self.dense = nn.Linear(2 * channels, size)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("whiten", torch.eye(size))
        self.mean: Tensor
        self.whiten: Tensor

    def embed(self, waveform: Tensor) -> Tensor:
        """(b, 32000) -> (b, size) as the network says it, of any length."""
        frames = functional.relu(self.tdnn(self.head(self.log_mel(waveform)))).transpose(1, 2)
        x = self.scale(self.blocks(frames))
        mean = x.mean(dim=1)
        spread = (x - mean.unsqueeze(1)).square().sum(dim=1) / (x.shape[1] - 1)
        vector: Tensor = self.dense(torch.cat([mean, spread.sqrt()], dim=1))
        return vector

    def forward(self, waveform: Tensor) -> Tensor:
        """(b, 32000) float32 at 16 kHz -> (b, size), each of length 1."""
        return functional.normalize((self.embed(waveform) - self.mean) @ self.whiten, dim=1)
