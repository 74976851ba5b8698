"""What a graph runs on, told apart well enough that what was built for one is not run on another.

Asked of the system and of CUDA's driver, since importing torch takes a second.
"""

from __future__ import annotations

import ctypes
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal

from magtkd_rt.errors import EngineError

DeviceKind = Literal["cpu", "cuda"]

_FEATURES: Final = (
    "avx2", "fma", "avx512f", "avx512bw", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8",
    "asimddp", "i8mm", "bf16", "sve",
)  # fmt: skip
"""Processor features by which libraries choose their kernels."""


@dataclass(frozen=True, slots=True)
class Device:
    """One device.

    Attributes:
        kind: `cpu` or `cuda`.
        name: the GPU's name, or the processor's with the features that count.
        driver: CUDA's version as the driver tells it; empty on the CPU.
    """

    kind: DeviceKind
    name: str
    driver: str = ""

    def __str__(self) -> str:
        return self.name.split(" (")[0]


@cache
def find_device(kind: DeviceKind) -> Device:
    """Describe the processor, or the first GPU.

    Raises:
        EngineError: there is no GPU, or its driver does not answer.
    """
    if kind == "cpu":
        return Device("cpu", _processor())
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise EngineError(
            "there is no CUDA here (libcuda.so.1 cannot be loaded)",
            remedy="install NVIDIA's driver, or use --device cpu",
        ) from error
    version, gpu, name = ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(256)
    steps = (
        ("cuInit", driver.cuInit, (0,)),
        ("cuDriverGetVersion", driver.cuDriverGetVersion, (ctypes.byref(version),)),
        ("cuDeviceGet", driver.cuDeviceGet, (ctypes.byref(gpu), 0)),
        ("cuDeviceGetName", driver.cuDeviceGetName, (name, len(name), gpu)),
    )
    for what, function, arguments in steps:
        failed = function(*arguments)
        if failed:
            raise EngineError(
                f"CUDA's driver is there but does not answer ({what} gave error {failed})",
                remedy="see whether nvidia-smi works, or use --device cpu",
            )
    number = version.value
    return Device("cuda", name.value.decode(), f"{number // 1000}.{number % 1000 // 10}")


def _processor() -> str:
    name, features = platform.processor() or platform.machine(), set[str]()
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            name = value.strip()
        elif key.strip() in ("flags", "Features"):
            features = set(value.split())
            break
    return f"{name} ({' '.join(feature for feature in _FEATURES if feature in features)})"
