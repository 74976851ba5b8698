"""The audio student: a waveform in, one feature vector and logits out.

The front ends (level, mel bands) are inside, so training and runtime cannot differ in them. The
encoders are the first half of YAMNet (Google, Apache-2.0), a MobileNet v1 over 64 mel bands, and
of Resemblyzer's speaker encoder (Resemble AI, Apache-2.0); on them sits a small head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from magtkd_rt.models.lstm import Lstm
from magtkd_rt.models.speaker import BANDS as MELODY_BANDS
from magtkd_rt.models.speaker import MelPower, SpeakerEncoder
from magtkd_rt.models.spectrum import fourier_basis

SAMPLE_RATE = 16_000
MIN_SAMPLES = 15_600
"""Shortest sound the network was made for: 96 frames, 0.975 s."""

_WINDOW, _HOP, _FFT, _BANDS = 400, 160, 512, 64
_LAYERS = ((1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512), (1, 512))
"""Stride and channels of YAMNet's first depthwise-separable layers; it has six more."""
_MELODY = 256
_TENTHS = (1, 5, 9)


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
        self.register_buffer("basis", fourier_basis(_WINDOW, _FFT), persistent=False)
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
    """An expression head on two public encoders, whose middle layers hear how something is said.

    YAMNet's first convolutions hear timbre, the speaker encoder's first two LSTM layers melody and
    tempo. Both stay as they were published: fine-tuned on 18 actors they hear those actors, not
    expression (docs/decisions.md). The sound's level is normalised inside.
    """

    def __init__(self, feature_size: int = 128, classes: int = 7) -> None:
        super().__init__()
        self.log_mel = LogMel()
        layers: list[nn.Module] = [_Conv(1, 32, 3, 2)]
        channels = 32
        for stride, width in _LAYERS:
            layers += [_Conv(channels, channels, 3, stride, channels), _Conv(channels, width, 1, 1)]
            channels = width
        self.timbre = nn.Sequential(*layers)
        self.mel_power = MelPower()
        self.melody = Lstm(MELODY_BANDS, _MELODY, layers=2)
        pooled = 2 * channels + (3 + len(_TENTHS)) * _MELODY
        self.register_buffer("mean", torch.zeros(pooled))
        self.register_buffer("deviation", torch.ones(pooled))
        self.mean: Tensor
        self.deviation: Tensor
        self.dropout = nn.Dropout(0.5)
        self.project = nn.Linear(pooled, feature_size)
        self.dropout_feature = nn.Dropout(0.3)
        self.classify = nn.Linear(feature_size, classes)

    @staticmethod
    def level(waveform: Tensor) -> Tensor:
        """Bring (b, samples) to an RMS of 0.05: how loud a microphone is says nothing."""
        rms = waveform.square().mean(dim=1, keepdim=True).sqrt()
        return waveform * (0.05 / (rms + 1e-4))

    def pool(self, waveform: Tensor) -> Tensor:
        """(b, samples) -> (b, p): both encoders' outputs, summed up over time."""
        maps = self.timbre(self.log_mel(self.level(waveform)).unsqueeze(1)).mean(dim=3)
        melody = self.melody(self.mel_power(SpeakerEncoder.level(waveform))).transpose(1, 2)
        ordered = melody.sort(dim=2).values
        last = ordered.shape[2] - 1
        quantiles = [ordered[:, :, tenth * last // 10] for tenth in _TENTHS]
        steps = (melody[:, :, 1:] - melody[:, :, :-1]).abs().mean(dim=2)
        moments = [*_moments(maps), *_moments(melody)]  # each (b, channels)
        return torch.cat([*moments, *quantiles, steps], dim=1)

    def embed(self, pooled: Tensor) -> Tensor:
        """(b, p) of `pool` -> (b, feature_size)."""
        return torch.tanh(self.project(self.dropout((pooled - self.mean) / self.deviation)))

    def score(self, feature: Tensor) -> Tensor:
        """(b, feature_size) -> logits (b, classes)."""
        logits: Tensor = self.classify(self.dropout_feature(feature))
        return logits

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """(1, samples) float32 at 16 kHz -> feature (1, d) and logits (1, classes)."""
        feature = self.embed(self.pool(waveform))
        return feature, self.score(feature)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """(b, c, time) -> mean and deviation over time, (b, c) each."""
    mean = x.mean(dim=2)
    # Not "+ 1e-8": the export would leave it out.
    return mean, (x - mean.unsqueeze(2)).square().mean(dim=2).clamp(min=1e-8).sqrt()
