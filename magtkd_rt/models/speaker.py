"""The speaker encoder: about a second of voice in, one vector out; like voices lie close.

The network is Resemblyzer's (Resemble AI, Apache-2.0), trained for GE2E: three LSTM layers over
the power of 40 mel bands. Its front end is inside, so training and runtime cannot differ in it.
Behind it what all voices share is taken away, and what varies within one voice is made small.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from magtkd_rt.core.media import SAMPLE_RATE, VOICE_WINDOWS, WINDOW
from magtkd_rt.models.lstm import Lstm
from magtkd_rt.models.spectrum import fourier_basis

SAMPLES = VOICE_WINDOWS * WINDOW
"""Length of the waveform that one vector speaks for."""
FRONT_END = "level -30 dBFS; power of 40 Slaney mel bands; 25 ms Hann windows every 10 ms"
"""What happens to the waveform first, for the manifest."""

BANDS = 40
"""Of the mel power that the network sees."""

_WINDOW, _HOP = 400, 160
_LEVEL = -30.0  # dBFS
_QUIETEST = 3e-5  # RMS, -90 dBFS: what is quieter is not raised to the whole level
_MEL_KNEE = 1000.0  # Hz: Slaney's scale is linear below, logarithmic above


def slaney_filters(bands: int = BANDS) -> Tensor:
    """Triangular filters of equal area on Slaney's mel scale, 0 to 8 kHz: (201, bands)."""
    step = math.log(6.4) / 27
    knee = _MEL_KNEE * 3 / 200
    highest = knee + math.log(SAMPLE_RATE / 2 / _MEL_KNEE) / step
    mel = torch.linspace(0, highest, bands + 2, dtype=torch.float64)
    above = _MEL_KNEE * torch.exp(step * (mel - knee))
    edges = torch.where(mel < knee, mel * 200 / 3, above)
    bins = torch.linspace(0, SAMPLE_RATE / 2, _WINDOW // 2 + 1, dtype=torch.float64)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    area = 2 / (edges[2:] - edges[:-2])
    return (torch.minimum(rising, falling).clamp(min=0) * area).float()


class MelPower(nn.Module):
    """(b, samples) waveform -> (b, 1 + samples / 160, 40) power of mel bands, not logarithmic.

    Frames are centred, as librosa's are: half a window of silence goes before and after.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("basis", fourier_basis(_WINDOW, _WINDOW), persistent=False)
        self.register_buffer("filters", slaney_filters(), persistent=False)
        self.basis: Tensor
        self.filters: Tensor

    def forward(self, waveform: Tensor) -> Tensor:
        """(b, samples) -> (b, frames, 40)."""
        spectrum = functional.conv1d(
            waveform.unsqueeze(1), self.basis, stride=_HOP, padding=_WINDOW // 2
        )
        real, imaginary = spectrum.chunk(2, dim=1)  # (b, 201, frames) each
        return (real.square() + imaginary.square()).transpose(1, 2) @ self.filters


class SpeakerEncoder(nn.Module):
    """Tells how a voice sounds, whoever speaks and whatever is said.

    `mean` (size,) and `whiten` (size, size) make vectors of the network comparable; until they are
    learned they change nothing.
    """

    def __init__(self, size: int = 256, layers: int = 3) -> None:
        super().__init__()
        self.mel_power = MelPower()
        self.lstm = Lstm(BANDS, size, layers)
        self.linear = nn.Linear(size, size)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("whiten", torch.eye(size))
        self.mean: Tensor
        self.whiten: Tensor

    @staticmethod
    def level(waveform: Tensor) -> Tensor:
        """Bring (b, samples) to -30 dBFS: the bands' power is what the network was trained on."""
        rms = waveform.square().mean(dim=1, keepdim=True).sqrt()
        return waveform * (10 ** (_LEVEL / 20) / rms.clamp(min=_QUIETEST))

    def embed(self, waveform: Tensor) -> Tensor:
        """(b, samples) -> (b, size) as the network says it: length 1, nothing negative."""
        last = self.lstm(self.mel_power(self.level(waveform)))[:, -1]
        return functional.normalize(functional.relu(self.linear(last)), dim=1)

    def forward(self, waveform: Tensor) -> Tensor:
        """(b, samples) float32 at 16 kHz -> (b, size), each of length 1."""
        return functional.normalize((self.embed(waveform) - self.mean) @ self.whiten, dim=1)
