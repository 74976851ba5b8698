"""onnxruntime on a GPU, where its package for CUDA is installed instead of the usual one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import onnxruntime
from numpy.typing import NDArray

from magtkd_rt.bundle.manifest import GraphName
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.engines.cache import EngineName
from magtkd_rt.engines.interface import Runner
from magtkd_rt.engines.onnx import Provider, open_session, run_session
from magtkd_rt.errors import EngineError

PROVIDER: Final = "CUDAExecutionProvider"
_OPTIONS: Final = {
    "use_tf32": "0",  # products of 10 bits would not be within the gate's limit for 32
    "cudnn_conv_algo_search": "HEURISTIC",  # trying all takes seconds for each new length
    "arena_extend_strategy": "kSameAsRequested",
}


class CudaBackend:
    """The bundle's own graphs on the first GPU, in 32 bits; what CUDA lacks runs on the processor.

    Raises:
        EngineError: this onnxruntime is built without CUDA.
    """

    name: EngineName = "onnx"
    precision = "float32"

    def __init__(self) -> None:
        available = onnxruntime.get_available_providers()
        if PROVIDER not in available:
            raise EngineError(
                f"onnxruntime {onnxruntime.__version__} is built without CUDA "
                f"(it has {', '.join(available)})",
                remedy="pip uninstall onnxruntime, then pip install 'onnxruntime-gpu[cuda,cudnn]'; "
                "or use --device cpu",
            )
        if hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls()  # CUDA's libraries out of pip's packages, where they are

    def build(
        self,
        bundle: Bundle,
        graph: GraphName,
        cases: Sequence[Mapping[str, NDArray[Any]]],
        folder: Path,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Nothing to build: the bundle's own file is read each time."""

    def open(self, bundle: Bundle, graph: GraphName, folder: Path) -> Runner:
        """Read the bundle's graph.

        Raises:
            EngineError: CUDA does not start, such as with an older driver, or the graph does not
                fit into the GPU's memory.
        """
        providers: list[Provider] = [(PROVIDER, _OPTIONS), "CPUExecutionProvider"]
        session = open_session(bundle, graph, bundle.graph_path(graph), 1, providers)
        if PROVIDER not in session.get_providers():  # it says why to stderr, and takes the next one
            raise EngineError(
                f"onnxruntime {onnxruntime.__version__} cannot start CUDA for the graph {graph!r}",
                remedy="install the driver, CUDA and cuDNN that this release wants, which it names "
                "above; or use --device cpu",
            )
        return partial(run_session, session, bundle, graph)
