"""Recipe: the audio student, YAMNet's weights fine-tuned on RAVDESS."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from magtkd_rt.features.fit import fit_waveform
from magtkd_rt.models.audio import MIN_SAMPLES, SAMPLE_RATE, AudioStudent
from magtkd_rt.train.corpora import Clip, read_ravdess, read_sound
from magtkd_rt.train.loop import (
    Average,
    Run,
    bf16_is_faster,
    mixed_precision,
    progress_bar,
    seed_everything,
)
from magtkd_rt.train.metrics import uar
from magtkd_rt.train.yamnet import lift_yamnet


@dataclass(frozen=True)
class AudioRecipe:
    """Settings of the audio stage."""

    epochs: int = 40
    batch: int = 24
    learning_rate: float = 3e-4
    head_learning_rate: float = 1.5e-3
    weight_decay: float = 0.02
    smoothing: float = 0.1
    mix: float = 0.5
    average: float = 0.99
    seed: int = 7


def crop(
    sound: NDArray[np.float32], length: int, random: np.random.Generator
) -> NDArray[np.float32]:
    """`length` samples from a random place; a shorter sound is repeated."""
    if len(sound) < length:
        sound = np.tile(sound, -(-length // len(sound)))
    start = int(random.integers(0, len(sound) - length + 1))
    return sound[start : start + length]


def augment_waveform(sound: Tensor, random: np.random.Generator) -> Tensor:
    """(b, samples): each row may get noise, a telephone's band, and a room."""
    batch, samples = sound.shape
    spectrum = torch.fft.rfft(sound)
    hertz = torch.fft.rfftfreq(samples, 1 / SAMPLE_RATE)
    telephone = torch.from_numpy(random.random(batch) < 0.25)
    band = ((hertz > 250) & (hertz < 3600)).float()
    spectrum[telephone] *= band
    room = torch.from_numpy(random.random(batch) < 0.3)
    if room.any():
        length = SAMPLE_RATE // 2
        decay = torch.exp(-torch.arange(length) / (SAMPLE_RATE * float(random.uniform(0.02, 0.12))))
        impulse = torch.randn(length) * decay * 0.15
        impulse[0] = 1.0
        spectrum[room] *= torch.fft.rfft(impulse, n=samples)
    sound = torch.fft.irfft(spectrum, n=samples)
    level = sound.square().mean(dim=1, keepdim=True).sqrt()
    decibels = torch.from_numpy(random.uniform(8, 35, (batch, 1))).float()
    noisy = torch.from_numpy(random.random((batch, 1)) < 0.5).float()
    return sound + noisy * torch.randn_like(sound) * level * 10 ** (-decibels / 20)


def mask_mel(mel: Tensor, random: np.random.Generator) -> Tensor:
    """SpecAugment: one stretch of time and one of bands become the row's mean."""
    mel = mel.clone()
    for row in mel:
        fill = float(row.mean())
        width, bands = int(random.integers(0, 40)), int(random.integers(0, 12))
        start = int(random.integers(0, max(1, row.shape[0] - width)))
        low = int(random.integers(0, row.shape[1] - bands))
        row[start : start + width] = fill
        row[:, low : low + bands] = fill
    return mel


@torch.no_grad()
def features_of(
    model: AudioStudent, clips: list[Clip]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Features (n, d) and logits (n, classes), whole clips one by one, as the runtime does."""
    model.eval()
    features, logits = [], []
    for clip in clips:
        sound = read_sound(clip.path)
        fitted = fit_waveform(sound, MIN_SAMPLES, max_samples=max(MIN_SAMPLES, len(sound)))
        feature, scores = model(torch.from_numpy(fitted).unsqueeze(0))
        features.append(feature.numpy())
        logits.append(scores.numpy())
    return np.concatenate(features), np.concatenate(logits)


def train_audio(
    data: Path, out: Path, yamnet: Path, recipe: AudioRecipe | None = None
) -> AudioStudent:
    """Train the audio student, or go on where an earlier run stopped; return the best by dev."""
    recipe = recipe or AudioRecipe()
    clips, dev = read_ravdess(data, "train"), read_ravdess(data, "dev")
    labels = torch.tensor([clip.label for clip in clips])
    dev_labels = np.array([clip.label for clip in dev])

    seed_everything(recipe.seed)
    model = AudioStudent()
    lift_yamnet(yamnet, model)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    head = [*model.project.parameters(), *model.classify.parameters()]
    groups: list[dict[str, Any]] = [{"params": model.backbone.parameters()}, {"params": head}]
    optimizer = torch.optim.AdamW(
        groups,
        weight_decay=recipe.weight_decay,
    )
    steps = len(clips) // recipe.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        [recipe.learning_rate, recipe.head_learning_rate],
        total_steps=recipe.epochs * steps,
        pct_start=0.2,
    )
    averaged = AudioStudent()
    averaged.load_state_dict(model.state_dict())
    run = Run(out / "audio")
    run.resume(model, averaged, optimizer, schedule)
    average = Average(averaged, recipe.average)
    shares = torch.bincount(labels, minlength=7).float() / len(labels)
    loss_of = nn.CrossEntropyLoss(weight=1 / (7 * shares), label_smoothing=recipe.smoothing)
    fast = bf16_is_faster()

    with progress_bar() as bar:
        task = bar.add_task("audio", total=recipe.epochs * steps, note="")
        while run.epoch < recipe.epochs:
            seed = recipe.seed + 1000 * (run.epoch + 1)
            seed_everything(seed)
            random = np.random.default_rng(seed)
            bar.update(task, completed=run.epoch * steps)
            model.train()
            summed = 0.0
            order = torch.randperm(len(clips))[: steps * recipe.batch].view(steps, -1)
            for rows in order:
                length = int(random.uniform(1.2, 2.4) * SAMPLE_RATE)
                speed = float(random.uniform(0.88, 1.14))
                raw = [crop(read_sound(clips[i].path), int(length * speed), random) for i in rows]
                sound = torch.from_numpy(np.stack(raw))
                sound = functional.interpolate(sound.unsqueeze(1), length, mode="linear").squeeze(1)
                mel = model.log_mel(model.level(augment_waveform(sound, random)))
                mel = mask_mel(mel, random)
                share = float(random.beta(0.4, 0.4)) if random.random() < recipe.mix else 1.0
                other = torch.randperm(len(rows))
                mel = share * mel + (1 - share) * mel[other]
                with mixed_precision(fast):
                    logits = model.classify(model.embed_mel(mel)).float()
                targets = labels[rows]
                loss = share * loss_of(logits, targets)
                loss = loss + (1 - share) * loss_of(logits, targets[other])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 2.0)
                optimizer.step()
                schedule.step()
                average.update(model)
                summed += float(loss.detach())
                bar.advance(task)
            averaged.load_state_dict(average.state)
            score = uar(dev_labels, features_of(averaged, dev)[1].argmax(1))
            run.finish_epoch(
                score,
                averaged.state_dict(),
                model,
                averaged,
                optimizer,
                schedule,
                loss=summed / steps,
            )
            note = f"loss {summed / steps:.3f}  dev UAR {score:.3f}  best {run.best_score:.3f}"
            bar.update(task, note=note)
            bar.console.log(f"audio epoch {run.epoch}: {note}")

    best = AudioStudent()
    best.load_state_dict(run.best())
    return best.eval()
