"""MAGT on features of any size: each modality is standardised and projected to MAGT's own size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from magtkd_rt.models.magt import MagtConfig, PaperMagt, StreamingMagt
from magtkd_rt.train.fusion import IGNORED, Mode
from magtkd_rt.train.pairing import Paired
from magtkd_rt.train.stage2.features import FeatureSet

FARTHEST = 5.0
"""Standardised values beyond this are cut off: statistics of sound have long tails."""


class Adapter(nn.Module):
    """Features of three sizes -> one size, by a linear layer for each modality.

    It can spoil what it is given: it adds noise that varies as the training features vary, so that
    a modality becomes as unreliable as it will be on people that its encoder has not learned from.

    Args:
        sizes: d of each modality, 0 where there is none.
        feature_size: of what comes out.
        dropout: of the standardised features.
        noise: of each modality, in standard deviations.
        principal: of each modality, on how many of the training features' principal components
            to project, not whitened, and to leave it so: for large vectors of few utterances. The
            rest of `feature_size` stays empty. 0 learns to project.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        feature_size: int,
        dropout: float,
        noise: Sequence[float],
        principal: Sequence[int] = (0, 0, 0),
    ) -> None:
        super().__init__()
        self.principal = tuple(principal)
        self.sizes, self.noise = tuple(sizes), tuple(noise)
        self.dropout = nn.Dropout(dropout)
        self.project = nn.ModuleList(nn.Linear(max(size, 1), feature_size) for size in sizes)
        for index, size in enumerate(sizes):
            self.register_buffer(f"mean_{index}", torch.zeros(size))
            self.register_buffer(f"scale_{index}", torch.ones(size))
            # Large, and made anew by `fit`: not worth a place in every checkpoint.
            self.register_buffer(f"root_{index}", torch.zeros(size, size), persistent=False)

    def fit(self, train: FeatureSet) -> None:
        """Learn mean, scale and how features vary together, from what is present."""
        for index, values in enumerate(train.features):
            present = values[train.present[:, index]].astype(np.float64)
            if not present.size:
                continue
            mean, scale = present.mean(axis=0), present.std(axis=0)
            scale = np.where(scale > 1e-6, scale, 1.0)
            centred = np.clip((present - mean) / scale, -FARTHEST, FARTHEST)
            getattr(self, f"mean_{index}").copy_(torch.from_numpy(mean))
            getattr(self, f"scale_{index}").copy_(torch.from_numpy(scale))
            if not self.noise[index] and not self.principal[index]:
                continue
            own, axes = np.linalg.eigh(centred.T @ centred / len(centred))
            root = axes * np.sqrt(np.maximum(own, 0))
            getattr(self, f"root_{index}").copy_(torch.from_numpy(root))
            if self.principal[index]:
                self._project_on(axes[:, ::-1], own[::-1], index)

    @torch.no_grad()
    def _project_on(self, axes: NDArray[np.float64], own: NDArray[np.float64], index: int) -> None:
        """Keep the directions of the most variance, as wide as they are beside the first."""
        project = cast("nn.Linear", self.project[index])
        kept = min(self.principal[index], project.out_features, axes.shape[1])
        project.weight.zero_()
        project.bias.zero_()
        project.weight[:kept] = torch.from_numpy((axes[:, :kept] / np.sqrt(own[0])).T.copy())
        project.requires_grad_(False)

    def standardise(self, features: Sequence[Tensor], spoiled: bool) -> list[Tensor]:
        """Each (b, n, d) -> (b, n, d) of mean 0 and deviation 1, spoiled if asked for."""
        ready = []
        for index, values in enumerate(features):
            x = (values - getattr(self, f"mean_{index}")) / getattr(self, f"scale_{index}")
            x = x.clamp(-FARTHEST, FARTHEST)
            noise = self.noise[index]
            if spoiled and noise > 0 and x.shape[2]:
                # As wide as before, so that what is not spoiled looks alike.
                drawn = torch.randn_like(x) @ getattr(self, f"root_{index}").T
                x = (x + noise * drawn) / (1 + noise**2) ** 0.5
            ready.append(x)
        return ready

    def forward(self, features: Sequence[Tensor], spoiled: bool = False) -> Tensor:
        """Three (b, n, d of each) -> (b, n, 3, feature_size)."""
        projected = []
        for project, x in zip(self.project, self.standardise(features, spoiled), strict=True):
            inputs = x if x.shape[2] else x.new_zeros(*x.shape[:2], 1)
            projected.append(project(self.dropout(inputs)))
        return torch.stack(projected, dim=2)


class Stage2(nn.Module):
    """Adapter and MAGT, streaming or paper mode."""

    def __init__(self, mode: Mode, adapter: Adapter, config: MagtConfig) -> None:
        super().__init__()
        self.adapter = adapter
        self.magt = StreamingMagt(config) if mode == "streaming" else PaperMagt(config)

    @torch.no_grad()
    def adapted(self, given: FeatureSet, spoiled_by: int | None = None) -> list[Paired]:
        """What MAGT gets of each dialogue.

        Args:
            given: the utterances.
            spoiled_by: a seed of the noise; without it there is none.
        """
        self.eval()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(spoiled_by or 0)
            raw = [torch.from_numpy(values)[None] for values in given.features]
            features = self.adapter(raw, spoiled=spoiled_by is not None)[0].numpy()
        return [
            Paired(
                features=features[rows],
                logits=np.zeros((len(rows), 3, len(given.classes)), dtype=np.float32),
                speaker=given.speaker[rows],
                labels=given.labels[rows],
                voice=np.zeros(len(rows), dtype=np.int64),
                present=given.present[rows],
            )
            for rows in given.rows()
        ]


class Padded:
    """All dialogues of a set as tensors, padded to the longest: batches are cut out of them."""

    def __init__(self, given: FeatureSet, unknown: int) -> None:
        rows = given.rows()
        self.counts = np.array([len(one) for one in rows])
        shape = (len(rows), int(self.counts.max()))
        place = np.full(shape, -1)
        for number, one in enumerate(rows):
            place[number, : len(one)] = one
        there = torch.from_numpy(place >= 0)
        speaker = np.minimum(given.speaker, unknown - 1)
        speaker = np.where(given.speaker < 0, unknown, speaker)
        self.features = [torch.from_numpy(values[place]) for values in given.features]
        self.present = torch.from_numpy(given.present[place]).float() * there[..., None]
        self.speaker = torch.where(there, torch.from_numpy(speaker[place]), unknown)
        self.labels = torch.where(there, torch.from_numpy(given.labels[place]), IGNORED)

    def batch(self, dialogues: NDArray[np.int64]) -> tuple[list[Tensor], Tensor, Tensor, Tensor]:
        """Features of each modality, presence, speaker, labels of these dialogues."""
        longest = int(self.counts[dialogues].max())
        chosen = torch.from_numpy(dialogues)
        return (
            [values[chosen, :longest] for values in self.features],
            self.present[chosen, :longest],
            self.speaker[chosen, :longest].clone(),
            self.labels[chosen, :longest],
        )
