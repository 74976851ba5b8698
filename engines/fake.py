"""An engine without weights, for tests: right shapes, and numbers that follow from the inputs."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.bundle.manifest import GraphName
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.errors import EngineError

Arrays = Mapping[str, NDArray[Any]]


class FakeEngine:
    """Gives the same numbers for the same inputs, and others for others.

    Like a real fusion, a masked modality's feature does not count, each row of a batch stands
    alone, and the result depends on the state and on how far it looks ahead.

    Args:
        bundle: whose sizes and names it takes; its graphs are never opened.
        failing: graphs whose every run raises EngineError.
    """

    name = "fake"

    def __init__(self, bundle: Bundle, failing: frozenset[GraphName] = frozenset()) -> None:
        self.runs: Counter[GraphName] = Counter()
        """How often each graph was run."""
        self._manifest = bundle.manifest
        self._failing = failing

    def warm_up(self) -> None:
        """Nothing to load."""

    def run(self, graph: GraphName, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run one graph.

        Raises:
            EngineError: the graph is one of the failing ones, or an input is missing.
        """
        if graph == "paper":
            raise EngineError("the fake has no paper mode", remedy="take the engine onnx")
        self.runs[graph] += 1
        wanted = self._manifest.graphs[graph].inputs
        if graph in self._failing or sorted(inputs) != sorted(wanted):
            raise EngineError(
                f"the fake graph {graph!r} failed on {', '.join(sorted(inputs))}",
                remedy=f"let it succeed, and give it {', '.join(sorted(wanted))}",
            )
        if graph == "fusion":
            rows = [self._fuse_row(inputs, row) for row in range(len(inputs["present"]))]
            return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        random = _random(*(inputs[name] for name in wanted))
        voices = self._manifest.preprocessing.voice_of(graph)
        if voices is not None:
            voice = _floats(random, (len(inputs["waveform"]), voices.vector_size))
            return {"voice": voice / np.linalg.norm(voice, axis=1, keepdims=True)}
        return {
            "feature": _floats(random, (1, self._manifest.feature_size)),
            "logits": _floats(random, (1, len(self._manifest.labels))),
        }

    def close(self) -> None:
        """Nothing to let go."""

    def _fuse_row(self, inputs: Arrays, row: int) -> dict[str, NDArray[Any]]:
        present = inputs["present"][row]
        features = [
            inputs[modality][row] if here else np.zeros(0)
            for modality, here in zip(("text", "audio", "video"), present, strict=True)
        ]
        state = self._manifest.fusion.state
        random = _random(
            *features,
            present,
            inputs["speaker"][row],
            inputs["ahead"][row] if "ahead" in inputs else np.zeros(0),
            *(inputs[array.name][row] for array in state),
        )
        outputs: dict[str, NDArray[Any]] = {
            "logits": _floats(random, (len(self._manifest.labels),))
        }
        for array in state:
            outputs[f"{array.name}_out"] = _floats(random, tuple(array.shape)).astype(array.dtype)
        return outputs


def _random(*arrays: NDArray[Any]) -> np.random.Generator:
    """A generator seeded with what the arrays hold."""
    seed = 0
    for array in arrays:
        seed = zlib.crc32(np.ascontiguousarray(array).tobytes(), seed)
    return np.random.default_rng(seed)


def _floats(random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return random.standard_normal(shape, dtype=np.float32)
