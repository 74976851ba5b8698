"""Train one encoder: steps, checkpoints that resume exactly, the best epoch by the dev split."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from magtkd_rt.errors import DataError, InputError
from magtkd_rt.train.files import write_json
from magtkd_rt.train.loop import save_atomically, seed_everything
from magtkd_rt.train.metrics import weighted_f1
from magtkd_rt.train.stage1.accelerated import Shares, plain, to_all
from magtkd_rt.train.stage1.inputs import Inputs
from magtkd_rt.train.stage1.settings import Learning

Loss = Callable[[Tensor, Tensor, Shares, int], Tensor]
"""Of features (b, d) and logits (b, classes) of a share; its fourth argument is how many rows the
whole step has. Averaged over processes and summed over parts it is the step's loss."""


@dataclass(frozen=True)
class Stage:
    """What a stage learns from.

    Attributes:
        name: of its folder.
        inputs, labels: of train and dev; only usable rows count.
        learning: its settings.
        loss: see `Loss`.
        of: digest of all that the result depends on; a run of something else is not gone on with.
    """

    name: str
    inputs: dict[str, Inputs]
    labels: dict[str, NDArray[np.int64]]
    learning: Learning
    loss: Loss
    of: str
    seed: int = 11


@dataclass
class Progressed:
    """How far a run is; all of it is in its checkpoint."""

    step: int = 0
    losses: list[float] = field(default_factory=list)
    """Of each step."""
    dev: list[float] = field(default_factory=list)
    """Weighted F1 of each epoch."""
    best: float = -1.0


def fit(
    model: nn.Module, stage: Stage, out: Path, accelerator: Accelerator, bar: Progress
) -> Progressed:
    """Train `model`, or go on where an earlier run of the same stage stopped.

    Leaves `best.pt`, `last.pt` and `history.json` in `out / stage.name`, and loads the best
    weights into `model`.

    Raises:
        DataError: no row can be used.
        InputError: the folder holds a run of something else, or cannot be written.
    """
    learning, folder = stage.learning, out / stage.name
    usable = {split: np.flatnonzero(one.usable).tolist() for split, one in stage.inputs.items()}
    for split, rows in usable.items():
        if not rows:
            raise DataError(
                f"no utterance of {split} can be used for {stage.name}",
                remedy="see what `magtkd data check` says of the corpus",
            )
    steps = -(-len(usable["train"]) // learning.batch)
    total = steps * learning.epochs
    parameters = [one for one in model.parameters() if one.requires_grad]
    optimizer: Any = torch.optim.AdamW(
        parameters, learning.learning_rate, weight_decay=learning.weight_decay
    )
    warm = max(1, int(total * learning.warm_up))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, max(total - step, 0) / max(1, total - warm))
    )
    wrapped, optimizer = accelerator.prepare(model, optimizer)
    checkpoint = Checkpoint(folder, stage.of, accelerator, model, optimizer, schedule)
    far = checkpoint.resume()
    task = bar.add_task(stage.name, total=total, completed=far.step, note="")
    writer = _writer(out, stage.name, far.step, accelerator)
    with contextlib.closing(writer) if writer else contextlib.nullcontext():
        while far.step < total:
            epoch, within = divmod(far.step, steps)
            # Chance depends on seed, step and process alone, so a resumed run draws the same.
            order = usable["train"].copy()
            random.Random(f"{stage.seed} {epoch}").shuffle(order)
            rows = order[within * learning.batch : (within + 1) * learning.batch]
            seed_everything(_step_seed(stage.seed, far.step, accelerator.process_index))
            loss = _step(wrapped, stage, rows, accelerator, optimizer)
            schedule.step()
            far.step += 1
            far.losses.append(loss)
            if writer:
                writer.add_scalar("loss", loss, far.step)
                writer.add_scalar("learning rate", schedule.get_last_lr()[0], far.step)
            bar.update(task, completed=far.step, note=_note(far))
            if far.step % steps == 0:
                logits = encode(wrapped, stage.inputs["dev"], accelerator, learning.batch)[1]
                score = weighted_f1(stage.labels["dev"][usable["dev"]], logits.argmax(1))
                far.dev.append(score)
                if score > far.best:
                    far.best = score
                    checkpoint.save_best()
                if writer:
                    writer.add_scalar("dev weighted F1", score, far.step)
                bar.console.log(f"{stage.name} epoch {epoch + 1}: {_note(far)}")
                checkpoint.save(far)
            elif far.step % learning.save_every == 0:
                checkpoint.save(far)
    checkpoint.load_best()
    return far


def _step(
    model: nn.Module, stage: Stage, rows: Sequence[int], accelerator: Accelerator, optimizer: Any
) -> float:
    """One step of the optimiser over a whole batch; returns its loss."""
    model.train()
    size = -(-len(rows) // stage.learning.accumulate)
    parts = [rows[first : first + size] for first in range(0, len(rows), size)]
    summed = torch.zeros((), device=accelerator.device)
    for index, part in enumerate(parts):
        shares = Shares(part, accelerator)
        batch = _on_device(stage.inputs["train"].batch(shares.rows), accelerator)
        last = index == len(parts) - 1
        with contextlib.nullcontext() if last else accelerator.no_sync(model):
            with accelerator.autocast():
                feature, logits = model(**batch)
            loss = stage.loss(feature.float(), logits.float(), shares, len(rows))
            accelerator.backward(loss)
        summed += loss.detach()
    accelerator.clip_grad_norm_(model.parameters(), stage.learning.clip)
    optimizer.step()
    optimizer.zero_grad()
    found = float(accelerator.reduce(summed, "mean"))
    if not np.isfinite(found):
        raise DataError(
            f"the loss of {stage.name} is {found}",
            remedy="a lower learning_rate or bf16 instead of fp16 may help; "
            "the last checkpoint is good",
        )
    return found


@torch.no_grad()
def encode(
    model: nn.Module, inputs: Inputs, accelerator: Accelerator, batch: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Features (m, d) and logits (m, classes) of the usable rows, in order, on every process."""
    model.eval()
    rows = np.flatnonzero(inputs.usable).tolist()
    own = rows[accelerator.process_index :: accelerator.num_processes]
    found: list[tuple[int, NDArray[np.float32], NDArray[np.float32]]] = []
    inner = plain(model, accelerator)
    for first in range(0, len(own), batch):
        part = own[first : first + batch]
        with accelerator.autocast():
            feature, logits = inner(**_on_device(inputs.batch(part), accelerator))
        found += zip(part, feature.float().cpu().numpy(), logits.float().cpu().numpy(), strict=True)
    everything = sorted(to_all(found), key=lambda one: one[0])
    return np.stack([one[1] for one in everything]), np.stack([one[2] for one in everything])


class Checkpoint:
    """A stage's folder: `last.pt` to go on from, `best.pt` chosen on dev, `history.json`.

    Only the main process writes; the others read the same folder.
    """

    def __init__(
        self,
        folder: Path,
        of: str,
        accelerator: Accelerator,
        model: nn.Module,
        optimizer: Any,
        schedule: Any,
    ) -> None:
        self._folder, self._of, self._accelerator = folder, of, accelerator
        self._model, self._optimizer, self._schedule = model, optimizer, schedule

    def resume(self) -> Progressed:
        """Load the last checkpoint, if there is one.

        Raises:
            InputError: it is of something else, or damaged.
        """
        path = self._folder / "last.pt"
        if not path.exists():
            return Progressed()
        try:
            saved = torch.load(path, weights_only=True, map_location="cpu")
            of, progressed = saved["of"], Progressed(**saved["progressed"])
            if of == self._of:
                self._model.load_state_dict(saved["model"])
                self._optimizer.load_state_dict(saved["optimizer"])
                self._schedule.load_state_dict(saved["schedule"])
                if self._accelerator.scaler is not None and saved["scaler"]:
                    self._accelerator.scaler.load_state_dict(saved["scaler"])
        except Exception as error:  # torch raises whatever it likes for a damaged file
            raise InputError(
                f"the checkpoint {path} is damaged ({' '.join(str(error).split())[:200]})",
                remedy=f"delete {self._folder} to train this stage again",
            ) from error
        if of != self._of:
            raise InputError(
                f"{self._folder} holds a run with other data or settings",
                remedy="name another folder with --out, or delete this one",
            )
        return progressed

    def save(self, far: Progressed) -> None:
        """Write how far the run is, whole or not at all."""
        if not self._accelerator.is_main_process:
            return
        scaler = self._accelerator.scaler
        state = {
            "of": self._of,
            "progressed": vars(far),
            "model": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "scaler": scaler.state_dict() if scaler is not None else {},
        }
        save_atomically(state, self._folder / "last.pt")
        write_json(self._folder / "history.json", vars(far))

    def save_best(self) -> None:
        """Write the present weights as the best."""
        if self._accelerator.is_main_process:
            save_atomically(self._model.state_dict(), self._folder / "best.pt")

    def load_best(self) -> None:
        """Load the weights of the best epoch."""
        self._accelerator.wait_for_everyone()
        state = torch.load(self._folder / "best.pt", weights_only=True, map_location="cpu")
        self._model.load_state_dict(state)


def _on_device(batch: dict[str, Tensor], accelerator: Accelerator) -> dict[str, Tensor]:
    return {name: value.to(accelerator.device) for name, value in batch.items()}


def _step_seed(seed: int, step: int, process: int) -> int:
    return int(np.random.SeedSequence([seed, step, process]).generate_state(1)[0])


def _note(far: Progressed) -> str:
    dev = f"  dev W-F1 {far.dev[-1]:.3f}, best {far.best:.3f}" if far.dev else ""
    return f"loss {np.mean(far.losses[-50:]):.3f}{dev}"


def _writer(out: Path, name: str, step: int, accelerator: Accelerator) -> Any:
    if not accelerator.is_main_process:
        return None
    return SummaryWriter(str(out / "tensorboard" / name), purge_step=step or None)
