"""The video student: face crops of one utterance in, one feature vector and logits out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

FACE_SIZE = 48
"""Height and width of the grey face crops, in pixels."""


def _conv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class VideoStudent(nn.Module):
    """A small VGG over grey 48x48 faces; an utterance is the mean over its faces.

    Brightness and contrast are normalised inside, and each face is also seen
    mirrored, so that the graph takes raw pixels.
    """

    def __init__(
        self,
        feature_size: int = 128,
        classes: int = 7,
        widths: tuple[int, int, int, int] = (32, 64, 128, 256),
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        inputs = 1
        for width in widths:
            stages += [_conv(inputs, width), _conv(width, width), nn.MaxPool2d(2)]
            inputs = width
        self.backbone = nn.Sequential(*stages)  # (n, widths[-1], 3, 3)
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(inputs, feature_size)
        self.classify = nn.Linear(feature_size, classes)

    @staticmethod
    def normalise(faces: Tensor) -> Tensor:
        """(n, 48, 48) pixels of any type -> (n, 1, 48, 48) with zero mean and unit deviation."""
        pixels = faces.to(torch.float32).unsqueeze(1)
        centred = pixels - pixels.mean(dim=(2, 3), keepdim=True)
        return centred / (centred.square().mean(dim=(2, 3), keepdim=True).sqrt() + 8.0)

    def embed(self, normalised: Tensor) -> Tensor:
        """(n, 1, 48, 48) normalised faces -> (n, feature_size), one vector per face."""
        pooled = self.backbone(normalised).mean(dim=(2, 3))
        return torch.tanh(self.project(self.dropout(pooled)))

    def embed_both_ways(self, faces: Tensor) -> Tensor:
        """(n, 48, 48) pixels -> (n, feature_size), the mean over the face and its mirror image."""
        normalised = self.normalise(faces)
        return (self.embed(normalised) + self.embed(normalised.flip(3))) / 2

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 48, 48) uint8 faces of one utterance -> feature (1, d) and logits (1, classes)."""
        feature = self.embed_both_ways(faces).mean(dim=0, keepdim=True)
        return feature, self.classify(feature)
