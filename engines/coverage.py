"""Which operators of a graph TensorRT has converters for; needs torch_tensorrt, but no GPU."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from magtkd_rt.errors import EngineError, ExtraMissing


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many operators of a lowered graph have converters, and how often each other occurs."""

    covered: int
    missing: dict[str, int]

    @property
    def operators(self) -> int:
        """All of them."""
        return self.covered + sum(self.missing.values())

    def as_json(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"operators": self.operators, "covered": self.covered, "missing": self.missing}


def check_coverage(file: Path) -> Coverage:
    """Lower a graph as torch_tensorrt would and ask its partitioner.

    Raises:
        ExtraMissing: torch or torch_tensorrt is not installed.
        EngineError: the graph cannot be read or traced.
    """
    for module, extra in (("torch", "gpu"), ("onnx", "engines")):
        if importlib.util.find_spec(module) is None:
            raise ExtraMissing(module, extra)
    if importlib.util.find_spec("torch_tensorrt") is None:
        raise ExtraMissing(
            "torch_tensorrt",
            remedy="pip install --no-deps torch-tensorrt dllist brings what this check needs",
        )
    # In a process of its own, which pretends to have a GPU and TensorRT.
    done = subprocess.run(
        [sys.executable, "-m", "magtkd_rt.engines.stand_in", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise EngineError(
            f"the coverage of {file.name} cannot be told ({last})",
            remedy="take the release of torch-tensorrt that is numbered like torch",
        )
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return Coverage(found["covered"], found["missing"])
