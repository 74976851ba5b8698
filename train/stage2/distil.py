"""Stage 1 in small, on given features: a text teacher, and students distilled from it or not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from magtkd_rt.train.loop import seed_everything
from magtkd_rt.train.losses import feature_loss, logit_loss
from magtkd_rt.train.metrics import fit_temperature, softmax, weighted_f1
from magtkd_rt.train.stage2.features import FeatureSet
from magtkd_rt.train.stage2.model import Adapter


@dataclass(frozen=True)
class StudentRecipe:
    """Settings of teacher and students."""

    size: int = 32
    epochs: int = 40
    batch: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    dropout: float = 0.3
    logits: float = 0.1
    """Weight of the logit loss, as published."""
    features: float = 1.0
    """Weight of the feature loss, as published."""
    noise: tuple[float, float, float] = (0.0, 0.0, 0.0)
    views: int = 3
    seed: int = 7


class Student(nn.Module):
    """One modality's vector -> a feature of `size` and logits."""

    def __init__(self, train: FeatureSet, modality: int, recipe: StudentRecipe) -> None:
        super().__init__()
        self.modality = modality
        self.adapter = Adapter(train.sizes, recipe.size, recipe.dropout, recipe.noise)
        self.adapter.fit(train)
        self.hidden = nn.Sequential(
            nn.GELU(), nn.Dropout(recipe.dropout), nn.Linear(recipe.size, recipe.size)
        )
        self.classify = nn.Linear(recipe.size, len(train.classes))

    def forward(self, features: list[Tensor], spoiled: bool = False) -> tuple[Tensor, Tensor]:
        """Three (n, d of each) -> feature (n, size), logits (n, classes)."""
        batched = [values[None] for values in features]
        feature = self.hidden(self.adapter(batched, spoiled)[0, :, self.modality])
        return feature, self.classify(feature)

    @torch.no_grad()
    def logits(self, given: FeatureSet, spoiled_by: int | None = None) -> NDArray[np.float32]:
        """(n, classes)."""
        self.eval()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(spoiled_by or 0)
            raw = [torch.from_numpy(values) for values in given.features]
            answers: NDArray[np.float32] = self(raw, spoiled_by is not None)[1].numpy()
        return answers


def train_student(
    train: FeatureSet,
    dev: FeatureSet,
    modality: int,
    recipe: StudentRecipe,
    teacher: Student | None = None,
) -> tuple[Student, float, float]:
    """Train a student of one modality; with a teacher, by MAGTKD's two distillation losses.

    Returns:
        the student of the best epoch by dev, its dev W-F1 and its temperature.
    """
    seed_everything(recipe.seed)
    student = Student(train, modality, recipe)
    optimizer = torch.optim.AdamW(
        student.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    raw = [torch.from_numpy(values) for values in train.features]
    labels = torch.from_numpy(train.labels)
    if teacher is not None:
        teacher.eval()
        with torch.no_grad():
            taught, said = teacher(raw)
    seeds = [1 + view for view in range(recipe.views)] if any(recipe.noise) else [None]
    best_score, best = -1.0, student.state_dict()
    for _ in range(recipe.epochs):
        student.train()
        for rows in torch.randperm(len(train)).split(recipe.batch):
            feature, logits = student([values[rows] for values in raw], spoiled=True)
            loss = functional.cross_entropy(logits, labels[rows])
            if teacher is not None and len(rows) > 1:
                loss = loss + recipe.logits * logit_loss(logits, said[rows])
                loss = loss + recipe.features * feature_loss(feature, taught[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        views = [student.logits(dev, seed) for seed in seeds]
        score = float(np.mean([weighted_f1(dev.labels, view.argmax(1)) for view in views]))
        if score > best_score:
            best_score = score
            best = {name: value.clone() for name, value in student.state_dict().items()}
    student.load_state_dict(best)
    views = [student.logits(dev, seed) for seed in seeds]
    temperature = fit_temperature(np.tile(dev.labels, len(seeds)), np.concatenate(views))
    return student, best_score, temperature


def answers(student: Student, temperature: float, given: FeatureSet) -> NDArray[np.float64]:
    """(n, classes) probabilities."""
    return softmax(student.logits(given) / temperature)
