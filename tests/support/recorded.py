"""Recordings made on the spot, and the command line run inside the test's process."""

from __future__ import annotations

import sys
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from magtkd_rt.cli import live_main, main


@dataclass(frozen=True)
class Ran:
    """How a program ended and what it printed."""

    code: int
    out: str
    err: str


def write_wav(path: Path, samples: NDArray[np.float64], rate: int = 16_000) -> Path:
    """Write float samples (n,) or (n, channels) as 16-bit PCM."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.round(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


@pytest.fixture
def run_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ran]:
    """Run `magtkd-live` (or with `magtkd` first, that) with these arguments."""

    def run(*arguments: object) -> Ran:
        program, rest = live_main, [str(argument) for argument in arguments]
        if rest and rest[0] == "magtkd":
            program, rest = main, rest[1:]
        monkeypatch.setattr(sys, "argv", ["program", *rest])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            program()
        printed = capsys.readouterr()
        return Ran(int(left.value.code or 0), printed.out, printed.err)

    return run
