"""The file of the YuNet face detector: where it is kept and how it is fetched."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

import onnxruntime as ort
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidGraph,
    InvalidProtobuf,
    NoSuchFile,
)

from magtkd_rt.features.network import fetch, offline

YUNET_URL: Final = (
    "https://github.com/opencv/opencv_zoo/raw/82b38c8f98e7b52aa171400f3e4c722352d0669f/"
    "models/face_detection_yunet/face_detection_yunet_2023mar.onnx"
)
YUNET_SHA256: Final = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
OnnxErrors: Final[tuple[type[Exception], ...]] = (
    Fail,
    InvalidGraph,
    InvalidProtobuf,
    NoSuchFile,
    ValueError,
)
"""What onnxruntime raises for a file that holds no good graph."""

_YUNET_BYTES = 232_589

FETCH_WITHIN_S: Final = 3.0


def cache_dir() -> Path:
    """Where fetched files are kept: $MAGTKD_CACHE, else the platform's place. Not created here."""
    if named := os.environ.get("MAGTKD_CACHE"):
        return Path(named)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library/Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "magtkd-rt"


def yunet_place() -> Path:
    """Where the detector's file is kept once it was fetched."""
    return cache_dir() / "face_detection_yunet_2023mar.onnx"


def find_yunet() -> Path | None:
    """The detector's file in the cache, if it is there and has the pinned hash."""
    path = yunet_place()
    return path if path.is_file() and _is_right(path.read_bytes()) else None


def fetch_yunet(within_s: float = FETCH_WITHIN_S) -> Path | None:
    """Return the detector's file from the cache, or fetch it; None if it cannot be had.

    Takes no longer than `within_s` seconds. What does not have the pinned hash is never used.
    """
    if (found := find_yunet()) is not None or offline():
        return found
    path = yunet_place()
    content = fetch(YUNET_URL, limit=_YUNET_BYTES, within_s=within_s)
    if content is None or not _is_right(content):
        return None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(content)
        Path(file.name).replace(path)
    except OSError:
        return None  # no place to keep it
    return path


def freeze_shapes(model: Path, side: int) -> bytes:
    """Return a detector's ONNX file with free picture sizes fixed, which OpenCV asks for.

    Args:
        model: the file; if its sizes are fixed already it is returned as it is.
        side: height and width.

    Raises:
        OnnxErrors: it is no ONNX graph.
    """
    (picture,) = ort.InferenceSession(model, providers=["CPUExecutionProvider"]).get_inputs()
    free = {
        name: size
        for name, size in zip(picture.shape, (1, 3, side, side), strict=True)
        if isinstance(name, str)
    }
    if not free:
        return model.read_bytes()
    options = ort.SessionOptions()
    # Basic: folds constants, but uses none of onnxruntime's own operators.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    for name, size in free.items():
        options.add_free_dimension_override_by_name(name, size)
    with tempfile.TemporaryDirectory() as folder:
        frozen = Path(folder) / "frozen.onnx"
        options.optimized_model_filepath = str(frozen)
        ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return frozen.read_bytes()


def _is_right(content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == YUNET_SHA256
