"""The authors' feature pickles (`first_stage_{train,dev,test}_features.pkl`), read without risk.

A pickle is a program. This one may build numbers, strings, containers and numpy arrays; whatever
else it asks for is refused before it runs.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.errors import DataError
from magtkd_rt.labels import LABELS
from magtkd_rt.train.corpora.types import SPLITS, Speakers

AUTHORS_LABELS: Final = {
    7: ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise"),
    6: ("ang", "exc", "fru", "hap", "neu", "sad"),
}
"""The order of the authors' label numbers, MELD's and IEMOCAP's."""

LARGEST: Final = 4 << 30
"""Bytes of a pickle that are read at most."""

_NUMPY: Final = ("numpy.core", "numpy._core")  # before and since numpy 2
_ALLOWED: Final = frozenset(
    {(f"{core}.multiarray", name) for core in _NUMPY for name in ("_reconstruct", "scalar")}
    | {(f"{core}.numeric", "_frombuffer") for core in _NUMPY}
    | {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}
    | {
        (builtins, name)
        for builtins in ("builtins", "__builtin__")
        for name in ("set", "frozenset", "bytearray", "complex")
    }
)


class _Latin1:
    """Stands for `_codecs.encode`, by which old pickles write bytes."""

    __slots__ = ()

    def __call__(self, text: str, encoding: str) -> bytes:
        if encoding.lower() not in ("latin1", "latin-1"):
            raise pickle.UnpicklingError(f"bytes are written as {encoding}")
        return text.encode("latin1")


class _FromBuffer:
    """Stands for numpy's `_frombuffer`, whose attributes a pickle could have set."""

    __slots__ = ()

    def __call__(
        self, buffer: Any, dtype: Any, shape: Any, order: Any, *unused: Any
    ) -> NDArray[Any]:
        if not isinstance(dtype, np.dtype) or dtype.hasobject:
            raise pickle.UnpicklingError("an array of objects in a buffer")
        return np.frombuffer(buffer, dtype).reshape(shape, order=order)


_REPLACED: Final = {"encode": _Latin1(), "_frombuffer": _FromBuffer()}


class ArraysOnly(pickle.Unpickler):
    """Unpickles numpy arrays and builtin containers; raises on anything that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what the pickle names, if it is allowed."""
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which could run code")
        if name in _REPLACED:
            return _REPLACED[name]
        if module.startswith("numpy.core"):
            module = module.replace("numpy.core", "numpy._core", 1)
        return super().find_class(module.replace("__builtin__", "builtins"), name)

    def persistent_load(self, pid: Any) -> Any:
        """Refuse: arrays need none."""
        raise pickle.UnpicklingError("it refers to objects outside itself")


def load_arrays(path: Path) -> Any:
    """What a pickle of arrays and containers holds.

    Raises:
        DataError: it is missing, damaged, or holds something else.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path} is larger than 4 GiB", remedy="name the right file")
        with path.open("rb") as file:
            return ArraysOnly(file, encoding="latin1").load()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})", remedy="check it") from error
    except DataError:
        raise
    except Exception as error:  # a hostile stream can make unpickling raise nearly anything
        raise DataError(
            f"{path} was refused: {error}",
            remedy="only pickles of plain numpy arrays and containers are read; get it anew",
        ) from error


def is_pickled(folder: Path) -> bool:
    """Whether the authors' training features are there."""
    return (folder / "first_stage_train_features.pkl").is_file()


def read_pickles(folder: Path, distilled: bool = True) -> dict[str, NDArray[Any]]:
    """The authors' features as the arrays of a feature file (`train.stage1.cache`).

    Args:
        folder: of `first_stage_{train,dev,test}_features.pkl`; dev may be missing.
        distilled: take sound and pictures after distillation (`audio_kd`, `video_kd`).

    Raises:
        DataError: a file is missing or refused, or what it holds cannot be right.
    """
    arrays: dict[str, NDArray[Any]] = {}
    classes = 0
    for split in SPLITS:
        path = folder / f"first_stage_{split}_features.pkl"
        if split == "dev" and not path.exists():
            continue
        found = _split(path, distilled)
        classes = max(classes, int(found["label"].max()) + 1)
        arrays |= {f"{split}_{name}": array for name, array in found.items()}
    names = AUTHORS_LABELS.get(classes)
    if names is None:
        raise DataError(f"{folder}: {classes} labels", remedy="6 (IEMOCAP) or 7 (MELD) are known")
    if classes == len(LABELS):  # into the project's order
        moved = np.array([LABELS.index(name) for name in names])
        for split in SPLITS:
            if f"{split}_label" in arrays:
                arrays[f"{split}_label"] = moved[arrays[f"{split}_label"]]
        names = LABELS
    return arrays | {"classes": np.array(names)}


def _split(path: Path, distilled: bool) -> dict[str, NDArray[Any]]:
    held = load_arrays(path)
    kd = "_kd" if distilled else ""
    kinds = {"text": "text", "audio": f"audio{kd}", "video": f"video{kd}"}
    needed = ("vids", "speakers", "labels", *kinds.values())
    absent = [name for name in needed if not isinstance(held, dict) or name not in held]
    if absent:
        raise DataError(
            f"{path.name} lacks {', '.join(absent)}", remedy="get the authors' archive anew"
        )
    columns: dict[str, list[Any]] = {
        name: [] for name in ("label", "dialogue", "order", "speaker", *kinds)
    }
    for vid in held["vids"]:
        where = f"{path.name}, dialogue {vid}"
        parts = {name: _sequence(held, name, vid, where) for name in needed[1:]}
        count = len(parts["labels"])
        lengths = {name: len(part) for name, part in parts.items()}
        if count == 0 or set(lengths.values()) != {count}:
            raise DataError(f"{where}: lengths are {lengths}", remedy="leave the dialogue out")
        speakers = Speakers()
        for order in range(count):
            columns["label"].append(_label(parts["labels"][order], where))
            columns["dialogue"].append(str(vid))
            columns["order"].append(order)
            columns["speaker"].append(speakers.number(_speaker(parts["speakers"][order])))
            for name, key in kinds.items():
                columns[name].append(_vector(parts[key][order], f"{where}, {key} {order}"))
    if not columns["label"]:
        raise DataError(f"{path.name} holds no utterances", remedy="get it anew")
    for name in kinds:
        if len({len(vector) for vector in columns[name]}) > 1:
            raise DataError(f"{path.name}: {name} vectors differ in size", remedy="get it anew")
    numbers = {name: np.array(columns[name], np.int64) for name in ("label", "order", "speaker")}
    vectors = {name: np.stack(columns[name]) for name in kinds}
    return {**numbers, **vectors, "dialogue": np.array(columns["dialogue"])}


def _sequence(held: dict[str, Any], name: str, vid: Any, where: str) -> Sequence[Any]:
    try:
        found: Sequence[Any] = held[name][vid]
        len(found)
    except (KeyError, TypeError, IndexError) as error:
        raise DataError(f"{where}: no {name}", remedy="leave the dialogue out") from error
    return found


def _label(value: Any, where: str) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: a label is no number", remedy="get it anew") from error
    if not 0 <= number < max(AUTHORS_LABELS):
        raise DataError(f"{where}: label {number} is unknown", remedy="get it anew")
    return number


def _speaker(value: Any) -> str:
    """Names, numbers and one-hot vectors alike: what tells speakers apart."""
    return str(np.asarray(value).tolist())


def _vector(value: Any, where: str) -> NDArray[np.float32]:
    try:
        vector = np.asarray(value, np.float32).reshape(-1)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where} is no vector", remedy="leave the dialogue out") from error
    if len(vector) == 0 or not np.isfinite(vector).all():
        raise DataError(
            f"{where} is empty, infinite or no number (NaN)", remedy="leave the dialogue out"
        )
    return vector
