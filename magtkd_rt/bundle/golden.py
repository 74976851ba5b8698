"""Golden inputs and outputs: what the graphs gave when they were exported, they must give again.

They lie in an npz under `<graph>/<case>/in/<name>` and `<graph>/<case>/out/<name>`.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, get_args
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.bundle.manifest import GraphName
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.errors import BundleError

Arrays = Mapping[str, NDArray[Any]]

_REMEDY: Final = "choose another engine, or install or export the bundle again"


class RunsGraphs(Protocol):
    """What the check needs of an engine."""

    name: str

    def run(self, graph: GraphName, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run one graph."""
        ...


@dataclass(frozen=True, slots=True)
class GoldenCase:
    """One run of one graph, by the framework that it was exported from."""

    graph: GraphName
    name: str
    inputs: Arrays
    outputs: Arrays


def write_golden(cases: Iterable[GoldenCase]) -> bytes:
    """The content of a golden file."""
    arrays: dict[str, NDArray[Any]] = {}
    for case in cases:
        for side, named in (("in", case.inputs), ("out", case.outputs)):
            for name, array in named.items():
                arrays[f"{case.graph}/{case.name}/{side}/{name}"] = array
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file.getvalue()


def read_golden(bundle: Bundle) -> list[GoldenCase]:
    """The golden cases of a bundle, at least one for each of its graphs.

    Raises:
        BundleError: the file cannot be read, or a graph has no case.
    """
    found: dict[tuple[GraphName, str], dict[str, dict[str, NDArray[Any]]]] = {}
    try:
        with (
            bundle.path(bundle.manifest.golden).open("rb") as file,
            np.load(file, allow_pickle=False) as arrays,
        ):
            for key in arrays.files:
                graph, case, side, name = key.split("/")
                if graph not in get_args(GraphName):
                    raise ValueError(f"unknown graph {graph!r}")
                sides = found.setdefault((graph, case), {"in": {}, "out": {}})
                sides[side][name] = arrays[key]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise BundleError(
            f"{bundle.manifest.golden} of the bundle {bundle.directory} cannot be read ({error})",
            remedy="install or export the bundle again",
        ) from error
    for graph, described in bundle.manifest.graphs.items():
        wanted = set(described.outputs)
        cases = [sides["out"] for (of, _), sides in found.items() if of == graph]
        if not cases or any(set(outputs) != wanted for outputs in cases):
            raise BundleError(
                f"the bundle {bundle.directory} has no whole golden case of the graph {graph!r}",
                remedy="export the bundle again",
            )
    return [GoldenCase(graph, case, s["in"], s["out"]) for (graph, case), s in found.items()]


def check_golden(
    bundle: Bundle,
    engine: RunsGraphs,
    tolerance: float | None = None,
    graphs: Collection[GraphName] | None = None,
) -> None:
    """Run every golden case on an engine and compare.

    Args:
        bundle: whose cases.
        engine: that has the bundle's graphs.
        tolerance: largest difference of any number; None for what the manifest grants each graph.
        graphs: which to check; None for those of the live system.

    Raises:
        BundleError: an output is missing, of another shape, or too different.
        EngineError: the engine cannot run a graph.
    """
    checked = bundle.manifest.live_graphs if graphs is None else graphs
    for case in read_golden(bundle):
        if case.graph not in checked:
            continue
        granted = bundle.manifest.graphs[case.graph].tolerance if tolerance is None else tolerance
        outputs = engine.run(case.graph, case.inputs)
        for name, wanted in case.outputs.items():
            where = f"graph {case.graph!r}, golden case {case.name!r}, output {name!r}"
            got = outputs.get(name)
            if got is None or got.shape != wanted.shape or got.dtype != wanted.dtype:
                shown = "nothing" if got is None else f"{got.dtype}{list(got.shape)}"
                raise BundleError(
                    f"{where}: {engine.name} gives {shown}, "
                    f"wanted {wanted.dtype}{list(wanted.shape)}",
                    remedy=_REMEDY,
                )
            apart = np.abs(got.astype(np.float64) - wanted.astype(np.float64))
            largest = float(apart.max(initial=0.0))
            if not largest <= granted:  # also where it is not a number
                raise BundleError(
                    f"{where}: {engine.name} is {largest:.3g} away, {granted:.3g} is allowed",
                    remedy=_REMEDY,
                )
