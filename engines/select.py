"""Which engine runs a bundle, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from magtkd_rt.bundle.golden import check_golden
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.engines.interface import Engine
from magtkd_rt.errors import EngineError

ENGINES: Final[tuple[str, ...]] = ("onnx",)
"""Engines that can be asked for by name, the best default first."""


@dataclass(frozen=True, slots=True)
class Selected:
    """An engine whose graphs are loaded and agree with the bundle; `reason` is one line."""

    engine: Engine
    reason: str


def select(bundle: Bundle, prefer: str = "auto", threads: int = 2) -> Selected:
    """Open an engine for a bundle, and let it prove itself on the golden inputs.

    Args:
        bundle: whose graphs are to be run.
        prefer: a name of :data:`ENGINES`, or `auto`.
        threads: how many threads each graph may compute on.

    Raises:
        EngineError: there is no such engine, or it cannot run the graphs.
        BundleError: the golden outputs are not reproduced.
    """
    if prefer not in ("auto", *ENGINES):
        raise EngineError(
            f"there is no engine {prefer!r}", remedy=f"choose auto or {', '.join(ENGINES)}"
        )
    engine, what = _open_onnx(bundle, threads)
    engine.warm_up()
    check_golden(bundle, engine)
    why = "the default" if prefer == "auto" else "asked for"
    return Selected(engine, f"{what}: {why}; it reproduces the bundle's golden outputs")


def _open_onnx(bundle: Bundle, threads: int) -> tuple[Engine, str]:
    try:
        import onnxruntime

        from magtkd_rt.engines.onnx import OnnxEngine
    except ImportError as error:
        raise EngineError(
            f"onnxruntime cannot be imported ({error})",
            remedy="pip install --upgrade magtkd-rt brings it",
        ) from error
    plural = "" if threads == 1 else "s"
    what = f"onnxruntime {onnxruntime.__version__} on the CPU, {threads} thread{plural}"
    return OnnxEngine(bundle, threads), what
