"""What an engine is: something that runs the graphs of one bundle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.bundle.manifest import GraphName
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.engines.cache import EngineName

Runner = Callable[[Mapping[str, NDArray[Any]]], dict[str, NDArray[Any]]]
"""Runs one graph; raises EngineError where it cannot. May be called from several threads."""


def run_apart(
    runner: Runner, inputs: Mapping[str, NDArray[Any]], parts: Iterable[slice]
) -> dict[str, NDArray[Any]]:
    """Run parts of the rows one after the other, where rows stand alone, and join the outputs."""
    ran = [runner({name: array[part] for name, array in inputs.items()}) for part in parts]
    return {name: np.concatenate([one[name] for one in ran]) for name in ran[0]}


class Engine(Protocol):
    """Runs a bundle's graphs. `run` may be called from several threads at once."""

    name: str
    """Short name for `session.started` and the logs."""

    def warm_up(self) -> None:
        """Load the graphs of the live system now instead of each at its first run.

        Raises:
            EngineError: a graph cannot be loaded.
        """
        ...

    def run(self, graph: GraphName, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run one graph: its named inputs in, its named outputs out.

        Raises:
            EngineError: the graph cannot be loaded, or not be run on these inputs.
        """
        ...

    def close(self) -> None:
        """Let the graphs go; a later `run` raises EngineError."""
        ...


class Backend(Protocol):
    """Builds single graphs for one engine and device, and opens what was built."""

    name: EngineName
    precision: str
    """What it computes in: a key of :data:`magtkd_rt.engines.parity.LIMITS`."""

    def build(
        self,
        bundle: Bundle,
        graph: GraphName,
        cases: Sequence[Mapping[str, NDArray[Any]]],
        folder: Path,
        told: Callable[[str], None],
    ) -> None:
        """Build a graph into an empty folder; `cases` are inputs of the kind that it will get.

        `told` hears which step begins.

        Raises:
            EngineError: it cannot be built.
        """
        ...

    def open(self, bundle: Bundle, graph: GraphName, folder: Path) -> Runner:
        """Open what was built.

        Raises:
            EngineError: it cannot be opened.
        """
        ...
