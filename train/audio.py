"""Recipe: the audio student, an expression head on two public encoders, on RAVDESS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional

from magtkd_rt.features.fit import fit_waveform
from magtkd_rt.models.audio import MIN_SAMPLES, SAMPLE_RATE, AudioStudent
from magtkd_rt.train.corpora.starter import Clip, read_ravdess, read_sound
from magtkd_rt.train.files import write_npz
from magtkd_rt.train.loop import (
    Average,
    Run,
    digest,
    progress_bar,
    seed_everything,
)
from magtkd_rt.train.metrics import softmax, uar
from magtkd_rt.train.speaker import lift_speaker
from magtkd_rt.train.yamnet import lift_yamnet

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class AudioRecipe:
    """Settings of the audio stage."""

    altered: int = 4
    """How many altered copies of each clip are learned from, beside the clip itself."""
    plain: float = 0.33
    """How often a clip is taken as it is."""
    epochs: int = 40
    batch: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    smoothing: float = 0.1
    mix: float = 0.5
    average: float = 0.98
    parts: int = 6
    """Of the training actors; each part is encoded by a head that has not learned from it."""
    seed: int = 7


@dataclass(frozen=True)
class Pooled:
    """Clips of some actors after the frozen encoders.

    Attributes:
        versions: (1 + altered, n, p); the first are the clips as they are.
        labels, actors: (n,).
    """

    versions: Tensor
    labels: NDArray[np.int64]
    actors: NDArray[np.int64]

    def where(self, rows: NDArray[np.bool_]) -> Pooled:
        """The chosen clips only."""
        chosen = torch.from_numpy(rows)
        return Pooled(self.versions[:, chosen], self.labels[rows], self.actors[rows])


@dataclass(frozen=True)
class Unheard:
    """Training clips as a head encodes them that has not learned from their actors.

    What a head has learned from it encodes too surely: the fusion would trust it too much, and a
    temperature would be too low. Cross-fitting, as in stacked generalisation (Wolpert 1992).

    Attributes:
        features: (n, d), comparable to the finished student's, by heads that imitate it.
        logits: (n, classes) of the same heads.
        alone: (n, classes) by heads that imitate nobody, and so learn nothing of the unheard
            actors through the finished student: what temperature and scores are taken from.
    """

    features: Floats
    logits: Floats
    alone: Floats


def alter(sound: Floats, random: np.random.Generator) -> Floats:
    """Another speed and pitch, perhaps a part only, noise, a telephone's band, a room."""
    count = int(len(sound) / random.uniform(0.9, 1.12))
    places = np.linspace(0, len(sound) - 1, count)
    sound = np.interp(places, np.arange(len(sound)), sound).astype(np.float32)
    length = int(random.uniform(1.1, 2.6) * SAMPLE_RATE)
    if random.random() < 0.5 and length < len(sound):
        start = int(random.integers(0, len(sound) - length))
        sound = sound[start : start + length]
    if random.random() < 0.33:
        return sound
    spectrum, hertz = np.fft.rfft(sound), np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE)
    if random.random() < 0.25:
        spectrum = spectrum * ((hertz > 250) & (hertz < 3600))
    if random.random() < 0.3:
        times = np.arange(SAMPLE_RATE // 2)
        echo = random.standard_normal(len(times)) * 0.15
        echo *= np.exp(-times / (SAMPLE_RATE * random.uniform(0.02, 0.12)))
        echo[0] = 1.0
        spectrum = spectrum * np.fft.rfft(echo, n=len(sound))
    heard = np.fft.irfft(spectrum, n=len(sound))
    if random.random() < 0.5:
        level = np.sqrt(np.mean(np.square(heard)))
        noise = random.standard_normal(len(heard)) * level
        heard = heard + noise * 10 ** (-random.uniform(8, 35) / 20)
    return heard.astype(np.float32)


def new_student(yamnet: Path) -> AudioStudent:
    """An audio student with its public encoders, and a head that knows nothing yet."""
    student = AudioStudent()
    lift_yamnet(yamnet, student)
    published = lift_speaker().lstm.state_dict()
    student.melody.load_state_dict({name: published[name] for name in student.melody.state_dict()})
    return student.eval()


@torch.no_grad()
def pool_sound(student: AudioStudent, sound: Floats) -> Tensor:
    """One sound after the encoders, (p,), fitted as the runtime fits it."""
    fitted = fit_waveform(sound, MIN_SAMPLES, max_samples=max(MIN_SAMPLES, len(sound)))
    return student.pool(torch.from_numpy(fitted).unsqueeze(0))[0]


def pool_clips(student: AudioStudent, clips: Sequence[Clip], altered: int, seed: int) -> Pooled:
    """Clips and altered copies of them after the frozen encoders."""
    random = np.random.default_rng(seed)
    versions = []
    with progress_bar() as bar:
        for version in range(1 + altered):
            rows = []
            what = f"voices, altered {version}" if version else "voices"
            task = bar.add_task(what, total=len(clips), note="")
            for clip in clips:
                sound = read_sound(clip.path)
                rows.append(pool_sound(student, alter(sound, random) if version else sound))
                bar.advance(task)
            versions.append(torch.stack(rows))
    return Pooled(
        torch.stack(versions),
        np.array([clip.label for clip in clips]),
        np.array([clip.actor for clip in clips]),
    )


@torch.no_grad()
def read_out(student: AudioStudent, pooled: Pooled) -> tuple[Floats, Floats]:
    """Features (n, d) and logits (n, classes) of the clips as they are."""
    student.eval()
    features = student.embed(pooled.versions[0])
    return features.numpy(), student.score(features).numpy()


def features_of(student: AudioStudent, clips: Sequence[Clip]) -> tuple[Floats, Floats]:
    """Features (n, d) and logits (n, classes) of whole clips, as the runtime encodes them."""
    return read_out(student, pool_clips(student, clips, altered=0, seed=0))


def likelihood(labels: NDArray[np.int64], logits: Floats) -> float:
    """Geometric mean of the probability given to the truth: few clips make UAR jump, not this."""
    truth = softmax(logits)[np.arange(len(labels)), labels]
    return float(np.exp(np.log(truth + 1e-12).mean()))


def fit_head(
    student: AudioStudent,
    learned: Pooled,
    dev: Pooled,
    run: Run,
    recipe: AudioRecipe,
    towards: Tensor | None = None,
) -> AudioStudent:
    """Train the head, or go on where an earlier run stopped; keep the best epoch by `dev`.

    Args:
        student: its encoders and, with `towards`, its last layer stay as they are.
        learned: what is learned from.
        dev: chooses the epoch.
        run: keeps the epochs.
        recipe: settings.
        towards: (n, d) features that those of `learned` shall come close to.
    """
    labels = torch.from_numpy(learned.labels)
    seed_everything(recipe.seed)
    head = [student.project, student.classify]
    student.requires_grad_(False)
    student.project.requires_grad_(True)
    student.classify.requires_grad_(towards is None)
    optimizer = torch.optim.AdamW(
        [p for part in head for p in part.parameters()],
        recipe.learning_rate,
        weight_decay=recipe.weight_decay,
    )
    steps = len(labels) // recipe.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=recipe.epochs * steps, pct_start=0.1
    )
    averaged = AudioStudent()
    averaged.load_state_dict(student.state_dict())
    run.resume(student, averaged, optimizer, schedule)
    average = Average(averaged, recipe.average)
    shares = torch.bincount(labels, minlength=7).float() / len(labels)
    loss_of = nn.CrossEntropyLoss(weight=1 / (7 * shares), label_smoothing=recipe.smoothing)
    altered = len(learned.versions) - 1
    while run.epoch < recipe.epochs:
        seed = recipe.seed + 1000 * (run.epoch + 1)
        seed_everything(seed)
        random = np.random.default_rng(seed)
        student.train()
        summed = 0.0
        for rows in torch.randperm(len(labels))[: steps * recipe.batch].view(steps, -1):
            version = (
                torch.randint(1, altered + 1, rows.shape) if altered else torch.zeros_like(rows)
            )
            version[torch.rand(len(rows)) < recipe.plain] = 0
            pooled = learned.versions[version, rows]
            share = float(random.beta(0.4, 0.4)) if random.random() < recipe.mix else 1.0
            other = torch.randperm(len(rows))
            feature = student.embed(share * pooled + (1 - share) * pooled[other])
            logits = student.score(feature)
            loss = share * loss_of(logits, labels[rows])
            loss = loss + (1 - share) * loss_of(logits, labels[rows][other])
            if towards is not None:
                wanted = share * towards[rows] + (1 - share) * towards[rows][other]
                loss = loss + functional.mse_loss(feature, wanted) / towards.var()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            average.update(student)
            summed += float(loss.detach())
        averaged.load_state_dict(average.state)
        score = likelihood(dev.labels, read_out(averaged, dev)[1])
        parts = (student, averaged, optimizer, schedule)
        run.finish_epoch(score, averaged.state_dict(), *parts, loss=summed / steps)
    student.load_state_dict(run.best())
    return student.eval()


def train_audio(
    data: Path, out: Path, yamnet: Path, recipe: AudioRecipe | None = None
) -> AudioStudent:
    """Train the audio student, or go on where an earlier run stopped; return the best by dev.

    Beside it, `out / "audio"` gets the training clips as heads encode them that have not learned
    from their actors: see `read_unheard`.
    """
    recipe = recipe or AudioRecipe()
    seed_everything(recipe.seed)
    student = new_student(yamnet)
    folder = out / "audio"
    of = digest(recipe, student.timbre, student.melody)
    learned = _pooled(student, data, "train", folder, recipe, of)
    dev = _pooled(student, data, "dev", folder, replace(recipe, altered=0), of)
    student.mean.copy_(learned.versions.mean((0, 1)))
    student.deviation.copy_(learned.versions.std((0, 1)) + 1e-4)
    console = Console()
    untrained = {name: value.clone() for name, value in student.state_dict().items()}
    fit_head(student, learned, dev, run := Run(folder, of), recipe)
    score = uar(dev.labels, read_out(student, dev)[1].argmax(1))
    console.log(f"audio: probability of the truth on dev {run.best_score:.3f}, UAR {score:.3f}")

    def leave_out(name: str, towards: Floats | None) -> tuple[Floats, Floats]:
        features, logits = read_out(student, learned)
        features, logits = features.copy(), logits.copy()
        for part in range(recipe.parts):
            unheard = np.isin(learned.actors, np.unique(learned.actors)[part :: recipe.parts])
            other = AudioStudent()
            other.load_state_dict(untrained if towards is None else untrained | last_layer)
            wanted = None if towards is None else torch.from_numpy(towards[~unheard])
            run = Run(folder / f"{name}-{part}", of)
            fit_head(other, learned.where(~unheard), dev, run, recipe, wanted)
            features[unheard], logits[unheard] = read_out(other, learned.where(unheard))
        return features, logits

    last_layer = {f"classify.{name}": t for name, t in student.classify.state_dict().items()}
    alone = leave_out("alone", None)[1]
    features, logits = leave_out("towards", read_out(student, learned)[0])
    score = uar(learned.labels, alone.argmax(1))
    console.log(f"audio: UAR {score:.3f} on training actors by heads that have not heard them")
    write_npz(folder / "unheard.npz", {"features": features, "logits": logits, "alone": alone})
    return student


def load_audio(out: Path) -> AudioStudent:
    """The audio student that an earlier run left in `out`."""
    student = AudioStudent()
    student.load_state_dict(Run(out / "audio").best())
    return student.eval()


def read_unheard(out: Path) -> Unheard:
    """The training clips, encoded by heads that have not learned from their actors."""
    with np.load(out / "audio" / "unheard.npz") as arrays:
        return Unheard(arrays["features"], arrays["logits"], arrays["alone"])


def _pooled(
    student: AudioStudent, data: Path, split: str, folder: Path, recipe: AudioRecipe, of: str
) -> Pooled:
    """Clips of a split after the encoders, from an earlier run where nothing has changed."""
    path = folder / f"pooled-{split}-{of}.npz"
    if path.exists():
        with np.load(path) as arrays:
            versions, labels, actors = (arrays[name] for name in ("versions", "labels", "actors"))
        return Pooled(torch.from_numpy(versions), labels, actors)
    pooled = pool_clips(student, read_ravdess(data, split), recipe.altered, recipe.seed)
    arrays = {"versions": pooled.versions.numpy(), "labels": pooled.labels, "actors": pooled.actors}
    write_npz(path, arrays)
    return pooled
