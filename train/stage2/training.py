"""Recipe: MAGT from cached features, dev-selected; goes on where an earlier run stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional

from magtkd_rt.models.magt import MagtConfig, StreamingMagt
from magtkd_rt.train.fusion import (
    IGNORED,
    Criterion,
    FusionRecipe,
    Mode,
    both_looks,
    drop_modalities,
    hold_back,
    loss_of,
    predict,
)
from magtkd_rt.train.loop import Average, Run, digest, seed_everything
from magtkd_rt.train.metrics import adjust, fit_temperature, softmax, weighted_f1
from magtkd_rt.train.stage2.features import FeatureSet
from magtkd_rt.train.stage2.model import Adapter, Padded, Stage2

Imbalance = Literal["none", "weighted", "focal", "adjusted"]
IMBALANCE: Final[tuple[Imbalance, ...]] = ("none", "weighted", "focal", "adjusted")
UNSEEN: Final = 5.0
"""How much less likely an utterance makes a label that training does not have."""
FOCUS: Final = 2.0
"""Of the focal loss (Lin et al. 2017)."""


@dataclass(frozen=True)
class Stage2Recipe(FusionRecipe):
    """Settings; those of the fusion, and what given features need beside."""

    mode: Mode = "streaming"
    size: int = 64
    feature_size: int = 64
    heads: int = 4
    window: int = 24
    right: int = 2
    dropout: float = 0.4
    input_dropout: float = 0.2
    noise: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """How much each modality is spoiled, in standard deviations of the features."""
    principal: tuple[int, int, int] = (0, 0, 0)
    """Of text, audio and video: project on so many principal components; 0 learns to project."""
    linear_first: float = 0.0
    """With principal components: logistic regression with this inverse strength learns from each
    utterance by itself first, and stays; MAGT learns what to add. 0: none."""
    spoil_dev: bool = True
    """Dev is of the encoders' training material as well, so it is spoiled alike."""
    held_out: float = 0.2
    """Share of training dialogues that become dev where a corpus has none."""
    head_start: float | None = None
    """With `adjusted`, how much of a head start rare labels get, 0 to 1; None lets dev choose."""
    imbalance: Imbalance = "adjusted"
    """`weighted` and `focal` change the loss; `adjusted` gives rare labels a head start that dev
    chooses."""
    select: Literal["weighted_f1", "likelihood"] = "likelihood"
    """What dev says of an epoch: W-F1, or how likely the labels are once a temperature is fitted,
    which swings less on a small dev split."""
    views: int = 4
    """How many times dev is spoiled anew to judge an epoch."""


@dataclass(frozen=True)
class Trained:
    """A trained stage 2.

    Attributes:
        model: of the best epoch by dev.
        temperature: fitted on dev.
        dev_score: W-F1 on dev of that epoch.
        epoch: its number, from 1.
    """

    model: Stage2
    temperature: float
    dev_score: float
    epoch: int

    def probabilities(
        self,
        given: FeatureSet,
        keep: tuple[bool, bool, bool] = (True, True, True),
        ahead: int = 0,
        spoiled_by: int | None = None,
    ) -> NDArray[np.float64]:
        """(n, classes), calibrated; modalities not in `keep` are masked.

        With `ahead`, each utterance was looked at again once so many later ones had come.
        """
        paired = self.model.adapted(given, spoiled_by)
        return softmax(predict(self.model.magt, paired, keep, ahead) / self.temperature)


def criterion_of(recipe: Stage2Recipe, shares: NDArray[np.float64]) -> Criterion:
    """The loss of the labels: smoothed cross-entropy, weighted by rarity, or focal."""
    weight = torch.from_numpy(1 / (len(shares) * shares)).float().clamp(max=5.0)

    def focal(logits: Tensor, labels: Tensor) -> Tensor:
        unlikely = functional.cross_entropy(logits, labels, reduction="none")
        return ((1 - torch.exp(-unlikely)) ** FOCUS * unlikely).mean()

    def smoothed(logits: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(
            logits,
            labels,
            weight=weight if recipe.imbalance == "weighted" else None,
            label_smoothing=recipe.smoothing,
        )

    return focal if recipe.imbalance == "focal" else smoothed


def new_stage2(sizes: Sequence[int], classes: int, recipe: Stage2Recipe) -> Stage2:
    """An untrained model for features of these sizes."""
    adapter = Adapter(
        sizes, recipe.feature_size, recipe.input_dropout, recipe.noise, recipe.principal
    )
    config = MagtConfig(
        feature_size=recipe.feature_size,
        size=recipe.size,
        heads=recipe.heads,
        feed_forward=2 * recipe.size,
        window=recipe.window,
        right=recipe.right,
        classes=classes,
        dropout=recipe.dropout,
        words_alone=False,
        linear_first=recipe.linear_first > 0,
    )
    return Stage2(recipe.mode, adapter, config)


def learn_alone(model: Stage2, train: FeatureSet, strength: float) -> None:
    """Let logistic regression learn what an utterance says by itself, and leave it so.

    MAGT begins as that classifier, and learns what the conversation adds.

    Args:
        model: whose adapter is fitted and stays.
        train: what is learned from; what is absent counts as the mean.
        strength: the inverse of how much is regularised.
    """
    spoiled = 1 if any(model.adapter.noise) else None
    features = np.concatenate([one.features for one in model.adapted(train, spoiled)])
    alone = np.where(train.present[..., None], features, 0).reshape(len(train), -1)
    fitted = LogisticRegression(C=strength, max_iter=1000).fit(alone, train.labels)
    weight, bias = fitted.coef_, fitted.intercept_
    if len(fitted.classes_) == 2:  # it then has one row only, of the second class
        weight, bias = np.stack([-weight[0], weight[0]]) / 2, np.stack([-bias[0], bias[0]]) / 2
    linear, head = model.magt.words, cast("nn.Linear", model.magt.classify[0])
    with torch.no_grad():
        linear.weight.zero_()
        linear.bias.fill_(-UNSEEN)
        linear.weight[fitted.classes_] = torch.from_numpy(weight).float()
        linear.bias[fitted.classes_] = torch.from_numpy(bias).float()
        head.weight.zero_()
        head.bias.zero_()
    linear.requires_grad_(False)


def train_stage2(
    train: FeatureSet,
    dev: FeatureSet,
    out: Path,
    recipe: Stage2Recipe,
    bar: Progress | None = None,
) -> Trained:
    """Train, or go on where an earlier run stopped; return the best epoch by dev.

    Where the recipe spoils features, dev is spoiled as well, several times over: what the encoders
    have learned from is recognised too surely, on held-out dialogues of their training no less.

    Args:
        train: what is learned from.
        dev: chooses the epoch, the head start of rare labels, the temperature and how far a second
            look is trusted.
        out: the run's folder.
        recipe: settings.
        bar: shows how far it is.
    """
    seed_everything(recipe.seed)
    model = new_stage2(train.sizes, len(train.classes), recipe)
    model.adapter.fit(train)
    if recipe.linear_first:
        learn_alone(model, train, recipe.linear_first)
    optimizer = torch.optim.AdamW(
        model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    padded = Padded(train, model.magt.config.speakers - 1)
    dialogues = len(padded.counts)
    steps = -(-dialogues // recipe.batch)
    total = recipe.epochs * steps
    warm = min(max(0.1, 2 / total), 0.9)  # of two steps at least, which the schedule needs
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=total, pct_start=warm
    )
    run = Run(out, digest(recipe, *_arrays(train), *_arrays(dev)))
    averaged = new_stage2(train.sizes, len(train.classes), recipe)
    averaged.adapter.fit(train)  # what a checkpoint leaves out
    averaged.load_state_dict(model.state_dict())
    run.resume(model, averaged, optimizer, schedule)
    average = Average(averaged, recipe.average)
    criterion = criterion_of(recipe, train.shares)
    spoiled = any(recipe.noise) and recipe.spoil_dev
    seeds = [1 + view for view in range(recipe.views)] if spoiled else [None]
    task = None
    if bar:
        what = f"{out.parent.name} {out.name}"
        task = bar.add_task(what, total=recipe.epochs, completed=run.epoch, note="")

    while run.epoch < recipe.epochs:
        seed_everything(recipe.seed + 1000 * (run.epoch + 1))
        order = torch.randperm(dialogues).numpy()
        model.train()
        summed = 0.0
        for start in range(0, dialogues, recipe.batch):
            loss = _step_loss(model, padded, order[start : start + recipe.batch], recipe, criterion)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            average.update(model)
            summed += float(loss.detach())
        averaged.load_state_dict(average.state)
        views = [predict(averaged.magt, averaged.adapted(dev, seed)) for seed in seeds]
        head_start, score, f1 = _judge(views, dev, train, recipe)
        best = {name: value.clone() for name, value in averaged.state_dict().items()}
        best["magt.classify.0.bias"] += torch.from_numpy(head_start)
        run.finish_epoch(
            score, best, model, averaged, optimizer, schedule, loss=summed / steps, weighted_f1=f1
        )
        if bar and task is not None:
            note = f"loss {summed / steps:.3f}  dev W-F1 {f1:.3f}"
            bar.update(task, advance=1, note=note)

    model.load_state_dict(run.best())
    model.eval()
    dev_views = [model.adapted(dev, seed) for seed in seeds]
    if isinstance(model.magt, StreamingMagt) and recipe.looked_again:
        hold_back(model.magt, dev_views)
    logits = np.concatenate([predict(model.magt, view) for view in dev_views])
    temperature = fit_temperature(np.tile(dev.labels, len(seeds)), logits)
    epoch = 1 + int(np.argmax([one["dev_score"] for one in run.history]))
    return Trained(model, temperature, run.history[epoch - 1]["weighted_f1"], epoch)


def _step_loss(
    model: Stage2,
    padded: Padded,
    dialogues: NDArray[np.int64],
    recipe: Stage2Recipe,
    criterion: Criterion,
) -> Tensor:
    raw, there, speaker, labels = padded.batch(dialogues)
    speaker[torch.rand(len(dialogues)) < recipe.unknown_speakers] = model.magt.config.speakers - 1
    counted = labels != IGNORED
    present = drop_modalities(counted.float(), recipe) * there
    lost = (present.sum(2) == 0)[..., None]
    present = torch.where(lost, there, present)  # what a corpus does not have cannot stand in
    inputs = (model.adapter(raw, spoiled=True), present, speaker)
    if isinstance(model.magt, StreamingMagt):
        return both_looks(model.magt, inputs, labels, recipe, criterion)
    return loss_of(model.magt(*inputs), labels, counted, recipe, criterion)


def _judge(
    views: list[NDArray[np.float32]], dev: FeatureSet, train: FeatureSet, recipe: Stage2Recipe
) -> tuple[NDArray[np.float32], float, float]:
    """The head start of rare labels, the score that chooses the epoch, and dev's W-F1."""
    head_start = np.zeros(len(dev.classes), dtype=np.float32)
    if recipe.imbalance == "adjusted":
        head_start = (
            adjust(views, dev.labels, train.shares)[0]
            if recipe.head_start is None
            else (-recipe.head_start * np.log(train.shares)).astype(np.float32)
        )
    f1 = float(np.mean([weighted_f1(dev.labels, (v + head_start).argmax(1)) for v in views]))
    if recipe.select == "weighted_f1":
        return head_start, f1, f1
    logits, labels = np.concatenate(views), np.tile(dev.labels, len(views))
    probabilities = softmax(logits / fit_temperature(labels, logits))
    likely = np.log(probabilities[np.arange(len(labels)), labels] + 1e-12)
    return head_start, float(np.exp(likely.mean())), f1


def _arrays(given: FeatureSet) -> list[NDArray[np.generic]]:
    """Everything that decides what is learned from it."""
    return [*given.features, given.present, given.labels, given.dialogue, given.speaker]
