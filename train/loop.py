"""What every recipe shares: seeds, precision, checkpoints that resume exactly, progress."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from magtkd_rt.errors import InputError
from magtkd_rt.train.files import replacing
from magtkd_rt.train.progress import progress_bar as progress_bar


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def bf16_is_faster() -> bool:
    """Time one matrix product both ways: some CPUs have bfloat16 units, most do not."""
    a = torch.randn(512, 512)

    def seconds(x: Tensor) -> float:
        x @ x
        start = time.perf_counter()
        for _ in range(5):
            x @ x
        return time.perf_counter() - start

    return seconds(a.bfloat16()) < 0.8 * seconds(a)


@contextlib.contextmanager
def mixed_precision(enabled: bool) -> Iterator[None]:
    """bfloat16 autocast on the CPU where it pays."""
    with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
        yield


class Average:
    """Exponential moving average of a module's parameters and buffers."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {k: v.detach().clone() for k, v in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move towards `module`'s present values."""
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value, 1 - self.decay)
            else:
                self.state[name].copy_(value)


def digest(*parts: Any) -> str:
    """Sixteen hexadecimal digits that change with any of the parts.

    Args:
        parts: modules (their weights count), arrays, and what its `repr` tells apart.
    """
    summed = hashlib.sha256()
    for part in parts:
        if isinstance(part, nn.Module):
            for name, value in part.state_dict().items():
                summed.update(name.encode())
                summed.update(value.contiguous().numpy().tobytes())
        elif isinstance(part, np.ndarray):
            summed.update(np.ascontiguousarray(part).tobytes())
        else:
            summed.update(repr(part).encode())
    return summed.hexdigest()[:16]


@dataclass
class Run:
    """One stage's folder: `last.pt` to resume from, `best.pt` chosen on dev, `history.json`.

    Attributes:
        folder: of this stage.
        of: digest of what the stage learns from; a run of something else is not gone on with.
        history: numbers of the epochs.
        best_score: of the best epoch so far.
    """

    folder: Path
    of: str = ""
    history: list[dict[str, float]] = field(default_factory=list)
    best_score: float = -1.0

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.of:
            return
        note = self.folder / "of.txt"
        if not note.exists() or note.read_text() != self.of:
            for name in ("last.pt", "best.pt", "history.json"):
                (self.folder / name).unlink(missing_ok=True)
            note.write_text(self.of)

    @property
    def epoch(self) -> int:
        """How many epochs are behind."""
        return len(self.history)

    def resume(self, *parts: Any) -> None:
        """Load `last.pt`, if there is one, into `parts` (each with `load_state_dict`).

        Raises:
            InputError: it is damaged.
        """
        path = self.folder / "last.pt"
        if not path.exists():
            return
        try:
            saved = torch.load(path, weights_only=True)
            self.history, self.best_score = saved["history"], saved["best_score"]
            for part, state in zip(parts, saved["parts"], strict=True):
                part.load_state_dict(state)
        except Exception as error:  # torch raises whatever it likes for a damaged file
            raise self._damaged(path, error) from error

    def finish_epoch(
        self, score: float, best: dict[str, Tensor], *parts: Any, **numbers: float
    ) -> bool:
        """Record an epoch; keep `best` if `score` (on dev) beats every earlier one."""
        self.history.append({"epoch": self.epoch + 1, "dev_score": score, **numbers})
        improved = score > self.best_score
        if improved:
            self.best_score = score
            save_atomically(best, self.folder / "best.pt")
        state = {
            "history": self.history,
            "best_score": self.best_score,
            "parts": [part.state_dict() for part in parts],
        }
        save_atomically(state, self.folder / "last.pt")
        (self.folder / "history.json").write_text(json.dumps(self.history, indent=1))
        return improved

    def best(self) -> dict[str, Tensor]:
        """The weights of the best epoch by the dev split.

        Raises:
            InputError: they are damaged.
        """
        path = self.folder / "best.pt"
        try:
            state: dict[str, Tensor] = torch.load(path, weights_only=True)
        except Exception as error:  # as above
            raise self._damaged(path, error) from error
        return state

    def _damaged(self, path: Path, error: Exception) -> InputError:
        return InputError(
            f"the checkpoint {path} is damaged ({' '.join(str(error).split())[:200]})",
            remedy=f"delete {self.folder} to train this stage again",
        )


def save_atomically(state: Any, path: Path) -> None:
    """torch.save that never leaves half a file behind."""
    with replacing(path) as file:
        torch.save(state, file)
