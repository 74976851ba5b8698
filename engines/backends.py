"""The engines that graphs can be compiled for, by name; their libraries are imported when asked."""

from __future__ import annotations

from magtkd_rt.engines.cache import EngineName
from magtkd_rt.engines.device import DeviceKind
from magtkd_rt.engines.interface import Backend
from magtkd_rt.errors import EngineError, ExtraMissing

_EXTRAS = {"onnx": "engines", "eager": "gpu", "inductor": "gpu", "tensorrt": "tensorrt"}


def open_backend(
    name: EngineName, device: DeviceKind, threads: int, precision: str = "auto"
) -> Backend:
    """The backend of an engine on a device.

    Args:
        name: of the engine.
        device: where it computes.
        threads: how many, on the processor.
        precision: what to compute in; `auto` is half precision on a GPU and 32 bits on the
            processor; for onnx 32 bits on a GPU and 8 on the processor.

    Raises:
        EngineError: it does not run there, or not in this precision.
        ExtraMissing: its library is not installed.
    """
    if precision not in (fitting := _precisions(name, device)) and precision != "auto":
        raise EngineError(
            f"the engine {name} does not compute in {precision} on {device}",
            remedy=f"choose auto or {', '.join(fitting)}",
        )
    if not fitting:
        raise EngineError(
            f"the engine {name} is compiled for a GPU only, not for {device}",
            remedy="choose another --device or --engine",
        )
    chosen = fitting[0] if precision == "auto" else precision
    try:
        if name == "onnx":
            if device == "cuda":
                from magtkd_rt.engines.onnx_cuda import CudaBackend

                return CudaBackend()
            from magtkd_rt.engines.onnx import Int8Backend

            return Int8Backend(threads)
        if name == "eager":
            from magtkd_rt.engines.eager import EagerBackend

            return EagerBackend(device, chosen, threads)
        if name == "inductor":
            from magtkd_rt.engines.inductor import InductorBackend

            return InductorBackend(device, chosen, threads)
        return _tensorrt(device, chosen, threads)
    except ImportError as error:
        raise ExtraMissing(error.name or name, _EXTRAS[name]) from error


def _tensorrt(device: DeviceKind, precision: str, threads: int) -> Backend:
    try:
        from magtkd_rt.engines.tensorrt import TensorRtBackend
    except ImportError:
        raise
    except Exception as error:  # torch_tensorrt raises no narrower one
        told = " ".join(str(error).split())[:200]
        raise EngineError(
            f"torch_tensorrt is installed, but cannot be imported ({told})",
            remedy="pip install 'magtkd-rt[tensorrt]' brings TensorRT's own library",
        ) from error
    return TensorRtBackend(device, precision, threads)


def _precisions(name: EngineName, device: DeviceKind) -> tuple[str, ...]:
    """What an engine can compute in on a device, the default first."""
    if name == "onnx":
        return ("int8",) if device == "cpu" else ("float32",)
    if name == "tensorrt":
        return ("float16", "float32") if device == "cuda" else ()
    return ("float32",) if device == "cpu" else ("float16", "bfloat16", "float32")
