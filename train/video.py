"""Recipe: the video student, on FER2013 faces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from magtkd_rt.models.video import VideoStudent
from magtkd_rt.train.corpora.starter import read_fer2013
from magtkd_rt.train.loop import (
    Average,
    Run,
    bf16_is_faster,
    mixed_precision,
    progress_bar,
    seed_everything,
)
from magtkd_rt.train.metrics import accuracy


@dataclass(frozen=True)
class VideoRecipe:
    """Settings of the video stage."""

    epochs: int = 52
    batch: int = 64
    learning_rate: float = 0.1
    weight_decay: float = 5e-4
    dropout: float = 0.2
    smoothing: float = 0.1
    average: float = 0.998
    seed: int = 7


def augment(faces: Tensor) -> Tensor:
    """(n, 48, 48) uint8 -> (n, 48, 48) float: mirrored, turned, scaled, shifted, part hidden."""
    n = len(faces)
    angle = (torch.rand(n) - 0.5) * 0.35  # up to 10 degrees
    scale = 1 + (torch.rand(n) - 0.5) * 0.24
    mirror = torch.where(torch.rand(n) < 0.5, -1.0, 1.0)
    shift = (torch.rand(n, 2) - 0.5) * 0.22
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    matrix = torch.stack(
        [
            torch.stack([cosine * mirror, -sine, shift[:, 0]], dim=1),
            torch.stack([sine * mirror, cosine, shift[:, 1]], dim=1),
        ],
        dim=1,
    )
    pixels = faces.to(torch.float32).unsqueeze(1)
    grid = functional.affine_grid(matrix, list(pixels.shape), align_corners=False)
    moved = functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    gamma = torch.exp((torch.rand(n, 1, 1, 1) - 0.5) * 0.6)
    moved = 255 * (moved.clamp(0, 255) / 255) ** gamma
    height, width = torch.randint(6, 14, (2,)).tolist()
    top, left = int(torch.randint(0, 48 - height, ())), int(torch.randint(0, 48 - width, ()))
    hidden = torch.rand(n) < 0.3
    moved[hidden, :, top : top + height, left : left + width] = torch.rand(1) * 255
    return moved.squeeze(1)


@torch.no_grad()
def features_of(
    model: VideoStudent, faces: NDArray[np.uint8], batch: int = 256
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Features (n, d) and logits (n, classes) of single faces."""
    model.eval()
    features = torch.cat(
        [
            model.embed_both_ways(torch.from_numpy(faces[i : i + batch]))
            for i in range(0, len(faces), batch)
        ]
    )
    return features.numpy(), model.classify(features).numpy()


def train_video(data: Path, out: Path, recipe: VideoRecipe | None = None) -> VideoStudent:
    """Train the video student, or go on where an earlier run stopped; return the best by dev."""
    recipe = recipe or VideoRecipe()
    faces_array, labels_array = read_fer2013(data, "train")
    dev_faces, dev_labels = read_fer2013(data, "dev")
    faces, labels = torch.from_numpy(faces_array), torch.from_numpy(labels_array)

    seed_everything(recipe.seed)
    model = VideoStudent(dropout=recipe.dropout)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    steps = len(faces) // recipe.batch
    optimizer = torch.optim.SGD(
        model.parameters(),
        recipe.learning_rate,
        momentum=0.9,
        nesterov=True,
        weight_decay=recipe.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=recipe.epochs * steps, pct_start=0.15
    )
    averaged = VideoStudent()
    average = Average(model, recipe.average)
    averaged.load_state_dict(average.state)
    run = Run(out / "video")
    run.resume(model, averaged, optimizer, schedule)
    average.state = {k: v.clone() for k, v in averaged.state_dict().items()}
    loss_of = nn.CrossEntropyLoss(label_smoothing=recipe.smoothing)
    fast = bf16_is_faster()

    with progress_bar() as bar:
        task = bar.add_task("video", total=recipe.epochs * steps, note="")
        while run.epoch < recipe.epochs:
            seed_everything(recipe.seed + 1000 * (run.epoch + 1))
            bar.update(task, completed=run.epoch * steps)
            model.train()
            total = 0.0
            order = torch.randperm(len(faces))[: steps * recipe.batch].view(steps, -1)
            for rows in order:
                inputs = model.normalise(augment(faces[rows]))
                with mixed_precision(fast):
                    logits = model.classify(
                        model.embed(inputs.contiguous(memory_format=torch.channels_last))
                    )
                loss = loss_of(logits.float(), labels[rows])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                schedule.step()
                average.update(model)
                total += float(loss.detach())
                bar.advance(task)
            averaged.load_state_dict(average.state)
            score = accuracy(dev_labels, features_of(averaged, dev_faces)[1].argmax(1))
            run.finish_epoch(
                score,
                averaged.state_dict(),
                model,
                averaged,
                optimizer,
                schedule,
                loss=total / steps,
            )
            note = f"loss {total / steps:.3f}  dev accuracy {score:.3f}  best {run.best_score:.3f}"
            bar.update(task, note=note)
            bar.console.log(f"video epoch {run.epoch}: {note}")

    return load_video(out)


def load_video(out: Path) -> VideoStudent:
    """The video student that an earlier run left in `out`."""
    student = VideoStudent()
    student.load_state_dict(Run(out / "video").best())
    return student.eval()
