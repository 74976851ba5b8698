"""Recipe: the fusion (streaming MAGT, or paper mode), on paired MELD dialogues."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from magtkd_rt.labels import LABELS
from magtkd_rt.models.magt import MagtConfig, PaperMagt, StreamingMagt
from magtkd_rt.train.corpora.starter import Dialogue
from magtkd_rt.train.loop import Average, Run, digest, progress_bar, seed_everything
from magtkd_rt.train.losses import logit_loss
from magtkd_rt.train.metrics import adjust, softmax, weighted_f1
from magtkd_rt.train.pairing import Bank, Exchange, Paired, pair_dialogue, reliability

Magt = StreamingMagt | PaperMagt
Mode = Literal["streaming", "paper"]
Criterion = Callable[[Tensor, Tensor], Tensor]
"""(n, classes) logits, (n,) labels -> loss"""
IGNORED = -100
HELD_BACK = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0)
"""How much less later utterances may count in a second look than they did in training."""


@dataclass(frozen=True)
class FusionRecipe:
    """Settings of the fusion stage."""

    epochs: int = 24
    batch: int = 16
    learning_rate: float = 3e-4
    weight_decay: float = 0.01
    audio_head: float = 0.01
    video_head: float = 0.08
    absent: float = 0.15
    """Share of utterances that lose a given modality."""
    no_words: float = 0.1
    """Share of dialogues that lose all their words."""
    spoiled: float = 0.25
    """Share of dialogues whose words have a recogniser's errors."""
    looked_again: float = 1.0
    """Weight of the second look, with right context, beside the causal one."""
    average: float = 0.995
    """Of the weights, from step to step; the averaged ones are kept."""
    unknown_speakers: float = 0.1
    """Share of dialogues whose speakers are all unknown."""
    smoothing: float = 0.05
    seed: int = 7


@dataclass(frozen=True)
class Split:
    """One split of MELD, encoded, with the voices and faces it borrows.

    Attributes:
        texts: the words' features, clean first, then spoiled by a recogniser's errors.
    """

    dialogues: list[Dialogue]
    texts: list[Bank]
    voices: Bank
    faces: Bank
    exchange: Exchange

    def arrays(self) -> list[NDArray[Any] | Exchange]:
        """Everything that decides what is learned from it, for a digest."""
        banks = [*self.texts, self.voices, self.faces]
        return [self.exchange, *(part for b in banks for part in (b.features, b.labels, b.owner))]

    def pair(self, shares: NDArray[np.float64], seed: int, spoiled: float = 0.0) -> list[Paired]:
        """Pair every dialogue; a share of them gets spoiled words."""
        random = np.random.default_rng(seed)
        paired, start = [], 0
        for dialogue in self.dialogues:
            rows = np.arange(start, start + len(dialogue))
            start += len(dialogue)
            bad = len(self.texts) > 1 and random.random() < spoiled
            text = self.texts[int(random.integers(1, len(self.texts)))] if bad else self.texts[0]
            paired.append(
                pair_dialogue(
                    dialogue, text, rows, self.voices, self.faces, self.exchange, shares, random
                )
            )
        return paired


def borrowed_alone(
    paired: list[Paired],
    split: Split,
    shares: NDArray[np.float64],
    face_shares: NDArray[np.float64],
) -> dict[str, float]:
    """W-F1 of the borrowed voices and faces alone: see `reliability`.

    Args:
        paired: by `split.pair`.
        split: whose voices, faces and exchange count.
        shares: (classes,), from which exchanged labels were drawn.
        face_shares: (classes,), of the faces that were trained on.
    """
    logits = np.concatenate([dialogue.logits for dialogue in paired])
    labels = labels_of(paired)
    exchange = split.exchange
    balanced = np.full(len(LABELS), 1 / len(LABELS))  # the voice student's loss weighs classes so
    voices, faces = logits[:, 1], logits[:, 2]
    return {
        "audio": reliability(voices, labels, split.voices, balanced, exchange.audio, shares),
        "video": reliability(faces, labels, split.faces, face_shares, exchange.video, shares),
    }


def collate(dialogues: list[Paired], unknown: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pad to the longest: features (b, n, 3, d), speaker (b, n), labels (b, n; -100 ignored)."""
    longest = max(len(d.labels) for d in dialogues)
    size = dialogues[0].features.shape[2]
    features = torch.zeros(len(dialogues), longest, 3, size)
    speaker = torch.full((len(dialogues), longest), unknown)
    labels = torch.full((len(dialogues), longest), IGNORED)
    for row, dialogue in enumerate(dialogues):
        count = len(dialogue.labels)
        features[row, :count] = torch.from_numpy(dialogue.features)
        known = np.minimum(dialogue.speaker, unknown - 1)
        speaker[row, :count] = torch.from_numpy(np.where(known < 0, unknown, known))
        labels[row, :count] = torch.from_numpy(dialogue.labels)
    return features, speaker, labels


def presence(dialogues: list[Paired]) -> Tensor:
    """What there is of each utterance, padded to the longest: (b, n, 3), 1 or 0."""
    longest = max(len(d.labels) for d in dialogues)
    present = torch.zeros(len(dialogues), longest, 3)
    for row, dialogue in enumerate(dialogues):
        count = len(dialogue.labels)
        given = dialogue.present
        present[row, :count] = 1.0 if given is None else torch.from_numpy(given).float()
    return present


def drop_modalities(there: Tensor, recipe: FusionRecipe) -> Tensor:
    """there (b, n) -> presence (b, n, 3) with modalities dropped at random, never all three."""
    batch, count = there.shape
    present = (torch.rand(batch, count, 3) >= recipe.absent).float()
    silent = torch.rand(batch) < recipe.no_words
    present[silent, :, 0] = 0.0
    lost = present.sum(2) == 0
    kept = functional.one_hot(torch.randint(0, 3, (batch, count)), 3).float()
    kept[silent] = torch.tensor([0.0, 1.0, 0.0])
    present = torch.where(lost[..., None], kept, present)
    return present * there[..., None]


def loss_of(
    logits: Tensor,
    labels: Tensor,
    counted: Tensor,
    recipe: FusionRecipe,
    criterion: Criterion | None = None,
) -> Tensor:
    """The loss of all three heads.

    Args:
        logits: (3, b, n, classes), main head first.
        labels: (b, n).
        counted: (b, n), which utterances count.
        recipe: weights of the heads.
        criterion: of the labels; cross-entropy if not given, smoothed for the main head.
    """
    text, audio, video = (one[counted] for one in logits)
    targets = labels[counted]
    judge = criterion or functional.cross_entropy
    loss = (
        criterion(text, targets)
        if criterion
        else functional.cross_entropy(text, targets, label_smoothing=recipe.smoothing)
    )
    for one, weight in ((audio, recipe.audio_head), (video, recipe.video_head)):
        helped = judge(one, targets)
        loss = loss + weight * (helped + logit_loss(one, text.detach()))
    return loss


def both_looks(
    model: StreamingMagt,
    inputs: tuple[Tensor, Tensor, Tensor],
    labels: Tensor,
    recipe: FusionRecipe,
    criterion: Criterion | None = None,
) -> Tensor:
    """The loss of the causal pass, and of a second look with some right context drawn at random.

    The second counts where as many later utterances have come.
    """
    causal, cached = model.whole(*inputs)
    there = labels != IGNORED
    loss = loss_of(causal, labels, there, recipe, criterion)
    ahead = int(torch.randint(1, model.config.right + 1, ()))
    followed = torch.zeros_like(there)
    followed[:, :-ahead] = there[:, ahead:]
    if recipe.looked_again and followed.any():
        again = model.look_again(*inputs, cached, ahead)
        loss = loss + recipe.looked_again * loss_of(again, labels, followed, recipe, criterion)
    return loss


@torch.no_grad()
def predict(
    model: Magt,
    dialogues: list[Paired],
    keep: tuple[bool, bool, bool] = (True, True, True),
    ahead: int = 0,
) -> NDArray[np.float32]:
    """Logits (all utterances, classes), with the modalities not in `keep` masked everywhere.

    With `ahead`, a streaming model has looked again at each utterance once so many later ones had
    come, or all there are.
    """
    model.eval()
    logits = []
    for start in range(0, len(dialogues), 32):
        chosen = dialogues[start : start + 32]
        features, speaker, labels = collate(chosen, model.config.speakers - 1)
        there = labels != IGNORED
        present = presence(chosen) * torch.tensor(keep, dtype=torch.float32)
        if ahead and isinstance(model, StreamingMagt):
            cached = model.whole(features, present, speaker)[1]
            scored = model.look_again(features, present, speaker, cached, ahead)
        else:
            scored = model(features, present, speaker)
        logits.append(scored[0][there].numpy())
    return np.concatenate(logits)


@torch.no_grad()
def hold_back(model: StreamingMagt, views: list[list[Paired]]) -> float:
    """Make later utterances count less in a second look, as much as dev likes; return how much.

    The training dialogues come again and again, and what follows an utterance tells which it was:
    a second look trusts it more than it should on new ones. Judged by the likelihood of dev.
    """
    trained = model.later.clone()
    labels = labels_of(views[0])

    def loss(less: float) -> float:
        model.later.copy_(trained - less)
        logits = [
            predict(model, view, ahead=ahead)
            for view in views
            for ahead in range(1, model.config.right + 1)
        ]
        truth = [softmax(one)[np.arange(len(labels)), labels] for one in logits]
        return float(-np.log(np.concatenate(truth) + 1e-12).mean())

    best = min(HELD_BACK, key=loss)
    model.later.copy_(trained - best)
    return best


def labels_of(dialogues: list[Paired]) -> NDArray[np.int64]:
    """All labels, in the order of `predict`."""
    return np.concatenate([dialogue.labels for dialogue in dialogues])


def new_model(mode: Mode, words: nn.Linear) -> Magt:
    """An untrained fusion on top of the text student's classifier."""
    config = MagtConfig(feature_size=words.in_features, classes=len(LABELS))
    model = StreamingMagt(config) if mode == "streaming" else PaperMagt(config)
    model.words.load_state_dict(words.state_dict())
    model.words.requires_grad_(False)
    return model


def train_fusion(
    mode: Mode,
    train: Split,
    dev: Split,
    shares: NDArray[np.float64],
    words: nn.Linear,
    out: Path,
    recipe: FusionRecipe | None = None,
) -> Magt:
    """Train the fusion, or go on where an earlier run stopped; return the best by dev.

    The dev score is the mean of two: with the words as they are, and with spoiled ones.

    Args:
        mode: how far it sees.
        train: what is learned from; its words and voices are of students that did not.
        dev: chooses the epoch, the head start of rare labels and how far a second look is trusted.
        shares: (classes,), how often each label occurs.
        words: the text student's classifier.
        out: gets the run's folder.
        recipe: settings.
    """
    recipe = recipe or FusionRecipe()
    seed_everything(recipe.seed)
    model = new_model(mode, words)
    optimizer = torch.optim.AdamW(
        model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    steps = -(-len(train.dialogues) // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=recipe.epochs * steps, pct_start=0.1
    )
    run = Run(out / f"fusion-{mode}", digest(recipe, shares, words, *train.arrays(), *dev.arrays()))
    averaged = new_model(mode, words)
    averaged.load_state_dict(model.state_dict())
    run.resume(model, averaged, optimizer, schedule)
    average = Average(averaged, recipe.average)
    dev_views = [dev.pair(shares, 1), dev.pair(shares, 2, spoiled=1.0)]
    dev_labels = labels_of(dev_views[0])
    unknown = model.config.speakers - 1

    with progress_bar() as bar:
        task = bar.add_task(f"fusion {mode}", total=recipe.epochs * steps, note="")
        while run.epoch < recipe.epochs:
            seed = recipe.seed + 1000 * (run.epoch + 1)
            seed_everything(seed)
            bar.update(task, completed=run.epoch * steps)
            paired = train.pair(shares, seed, spoiled=recipe.spoiled)
            order = torch.randperm(len(paired)).tolist()
            model.train()
            summed = 0.0
            for start in range(0, len(order), recipe.batch):
                chosen = [paired[i] for i in order[start : start + recipe.batch]]
                features, speaker, labels = collate(chosen, unknown)
                speaker[torch.rand(len(chosen)) < recipe.unknown_speakers] = unknown
                there = labels != IGNORED
                inputs = (features, drop_modalities(there.float(), recipe), speaker)
                loss = (
                    both_looks(model, inputs, labels, recipe)
                    if isinstance(model, StreamingMagt)
                    else loss_of(model(*inputs), labels, there, recipe)
                )
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                average.update(model)
                summed += float(loss.detach())
                bar.advance(task)
            averaged.load_state_dict(average.state)
            views = [predict(averaged, view) for view in dev_views]
            head_start, score = adjust(views, dev_labels, shares)
            best = {name: value.clone() for name, value in averaged.state_dict().items()}
            best["classify.0.bias"] = best["classify.0.bias"] + torch.from_numpy(head_start)
            everything, spoiled = (
                weighted_f1(dev_labels, (view + head_start).argmax(1)) for view in views
            )
            run.finish_epoch(
                score,
                best,
                model,
                averaged,
                optimizer,
                schedule,
                loss=summed / steps,
                everything=everything,
                spoiled=spoiled,
            )
            scores = f"{everything:.3f} fused, {spoiled:.3f} with spoiled words"
            note = f"loss {summed / steps:.3f}  dev W-F1 {scores}"
            bar.update(task, note=note)
            bar.console.log(f"fusion {mode} epoch {run.epoch}: {note}")

    model.load_state_dict(run.best())
    if isinstance(model, StreamingMagt):
        hold_back(model, dev_views)
    return model.eval()
