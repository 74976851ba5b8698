"""What an engine is: something that runs the graphs of one bundle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from magtkd_rt.bundle.manifest import GraphName


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
