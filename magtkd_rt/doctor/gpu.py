"""Whether an NVIDIA driver, where there is one, fits what the installed packages want of it.

The live runtime needs no GPU, so nothing here is an error.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from magtkd_rt.doctor.finding import Finding

CTRANSLATE2_NEEDS: Final = ("libcublas.so.12", "libcudnn.so.9")
"""What CTranslate2's wheels, beneath faster-whisper, open by name on a GPU."""
_BUILDS: Final[Mapping[str, tuple[str, str]]] = {
    "torch": ("torch/version.py", r"cuda[^=\n]*= '([\d.]+)'"),
    "onnxruntime-gpu": (
        "onnxruntime/capi/build_and_package_info.py",
        r"cuda_version *= *['\"]([\d.]+)['\"]",
    ),
}
"""Where packages say which CUDA they were built for; read as text, since importing is slow."""

Version = tuple[int, int]


def check_gpu(
    driver: Callable[[], Version | None] | None = None,
    built_for: Mapping[str, Version | None] | None = None,
    opens: Callable[[str], bool] | None = None,
) -> list[Finding]:
    """Compare the driver's CUDA with what torch, onnxruntime-gpu and CTranslate2 want.

    Args:
        driver: says the newest CUDA that the driver runs, or None without one.
        built_for: CUDA version by package, None for one that uses no GPU.
        opens: whether a library of this name can be loaded.
    """
    version = (driver or driver_version)()
    builds = installed_builds() if built_for is None else built_for
    findings = []
    if "onnxruntime-gpu" in builds and "onnxruntime" in builds:
        findings.append(
            Finding(
                "onnxruntime",
                "warning",
                "onnxruntime and onnxruntime-gpu overwrite each other's files",
                "pip uninstall onnxruntime-gpu; pip install --force-reinstall onnxruntime",
            )
        )
    if version is None:
        found = "no NVIDIA driver; all runs on the processor, as it should"
        return [*findings, Finding("gpu", "ok", found)]
    findings.append(Finding("gpu", "ok", f"the NVIDIA driver runs CUDA up to {_dotted(version)}"))
    for package, wants in builds.items():
        if wants is not None:
            findings.append(_compare(package, wants, version))
    if "ctranslate2" in builds:
        findings.append(_ctranslate2(opens or can_open))
    return findings


def driver_version() -> Version | None:
    """The newest CUDA that the driver runs, by the driver's own library."""
    for name in ("libcuda.so.1", "nvcuda.dll"):
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        number = ctypes.c_int()
        if library.cuDriverGetVersion(ctypes.byref(number)) == 0 and number.value:
            return number.value // 1000, number.value % 1000 // 10
    return None


def installed_builds() -> dict[str, Version | None]:
    """CUDA version of each package here that could use a GPU; None where it was built for none."""
    found: dict[str, Version | None] = {}
    for package in ("onnxruntime", "ctranslate2", *_BUILDS):
        try:
            distribution = importlib.metadata.distribution(package)
        except importlib.metadata.PackageNotFoundError:
            continue
        file, pattern = _BUILDS.get(package, ("", ""))
        path = Path(str(distribution.locate_file(file)))
        text = path.read_text("utf-8") if file and path.is_file() else ""
        said = re.search(pattern, text) if pattern else None
        found[package] = _version(said.group(1)) if said else None
    return found


def can_open(library: str) -> bool:
    """Whether the loader finds a library by its name."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _compare(package: str, wants: Version, driver: Version) -> Finding:
    found = f"built for CUDA {_dotted(wants)}"
    if wants[0] <= driver[0]:  # within a major version older drivers run newer builds
        return Finding(package, "ok", found)
    remedy = "update the NVIDIA driver"
    if package == "torch":
        remedy += (
            ", or: pip install --force-reinstall torch "
            f"--index-url https://download.pytorch.org/whl/cu{driver[0]}{driver[1]}"
        )
    else:
        remedy += f", or install a release of {package} for CUDA {driver[0]}"
    return Finding(package, "warning", f"{found}, the driver runs {_dotted(driver)}", remedy)


def _ctranslate2(opens: Callable[[str], bool]) -> Finding:
    missing = [library for library in CTRANSLATE2_NEEDS if not opens(library)]
    if not missing:
        return Finding("ctranslate2", "ok", f"{' and '.join(CTRANSLATE2_NEEDS)} load")
    return Finding(
        "ctranslate2",
        "warning",
        f"{' and '.join(missing)} cannot be loaded: Whisper stays on the processor",
        "pip install nvidia-cublas-cu12 'nvidia-cudnn-cu12>=9,<10', and name their lib folders in "
        "LD_LIBRARY_PATH",
    )


def _version(text: str) -> Version:
    numbers = [int(part) for part in text.split(".")[:2]]
    return numbers[0], numbers[1] if len(numbers) > 1 else 0


def _dotted(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
