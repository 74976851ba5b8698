"""What `magtkd compile` built: one directory a graph and engine, outside of every bundle.

A directory's name is a hash of all that the build depends on. Change the graph, the device, its
driver or a library, and it is not found any more: it is never run where it does not belong.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from magtkd_rt.bundle.manifest import FileName, GraphName, Sha256
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.engines.device import Device
from magtkd_rt.errors import EngineError

EngineName = Literal["onnx", "eager", "inductor", "tensorrt"]

LIBRARIES: Final[dict[EngineName, tuple[str, ...]]] = {
    "onnx": ("onnxruntime", "onnxruntime-gpu"),
    "eager": ("torch",),
    "inductor": ("torch",),
    "tensorrt": ("torch", "torch-tensorrt", "tensorrt"),
}
"""Packages whose versions a build of each engine depends on."""

_RECORD: Final = "record.json"
_FORMAT: Final = 1
_LARGEST_RECORD: Final = 100_000


class Record(BaseModel):
    """What is known of one graph on one engine: whether it may be used, and how fast it is.

    `why` says in words how it compares with 32 bits, or why it could not be built. `median_ms` and
    `plain_ms` are its time and the default engine's on the same inputs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal[1] = _FORMAT
    graph: GraphName
    engine: EngineName
    precision: str
    device: str
    accepted: bool
    why: str
    median_ms: Annotated[float, Field(ge=0)] = 0.0
    plain_ms: Annotated[float, Field(ge=0)] = 0.0
    files: dict[FileName, Sha256] = {}


@dataclass(frozen=True, slots=True)
class Entry:
    """A record and the directory that holds its files."""

    directory: Path
    record: Record


@dataclass(frozen=True, slots=True)
class Key:
    """All that a build depends on."""

    graph: GraphName
    sha256: str
    engine: EngineName
    device: Device
    threads: int
    libraries: tuple[tuple[str, str], ...]

    @classmethod
    def of(
        cls, bundle: Bundle, graph: GraphName, engine: EngineName, device: Device, threads: int
    ) -> Key:
        """The key of one graph of a bundle, with the libraries that are installed now."""
        sha256 = bundle.manifest.files[bundle.manifest.graphs[graph].file]
        libraries = tuple((name, _version(name)) for name in LIBRARIES[engine])
        counted = threads if device.kind == "cpu" else 0
        return cls(graph, sha256, engine, device, counted, libraries)

    @property
    def directory(self) -> Path:
        """Where its build lies, whether or not there is one."""
        told = (_FORMAT, self.sha256, self.engine, self.threads, self.libraries)
        device = (self.device.kind, self.device.name, self.device.driver)
        digest = hashlib.sha256(repr((told, device)).encode()).hexdigest()[:16]
        return root() / f"{self.graph}-{self.engine}-{digest}"


def root() -> Path:
    """The folder of all builds: `magtkd/engines` in the user's cache, or MAGTKD_ENGINE_CACHE."""
    named = os.environ.get("MAGTKD_ENGINE_CACHE")
    if named:
        return Path(named)
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "magtkd" / "engines"


def read(key: Key) -> Entry | None:
    """What was built under this key, or None.

    Raises:
        EngineError: it is there but damaged, such as a file that was cut off, or others may write
            to it.
    """
    directory = key.directory
    try:
        check_private(directory)
        with (directory / _RECORD).open("rb") as stream:
            raw = stream.read(_LARGEST_RECORD + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _damaged(directory, f"its record cannot be read ({error.strerror})") from error
    try:
        record = Record.model_validate_json(raw)
    except pydantic.ValidationError as error:
        raise _damaged(directory, "its record is none") from error
    for file, wanted in record.files.items():
        try:
            with (directory / file).open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise _damaged(directory, f"{file} cannot be read ({error.strerror})") from error
        if found != wanted:
            raise _damaged(directory, f"{file} is not as it was built")
    return Entry(directory, record)


@contextmanager
def building(key: Key, waits: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """A new folder to build in, while no other process builds under this key; gone afterwards.

    Args:
        key: of the build.
        waits: called where another process builds it, before it is waited for.

    Raises:
        EngineError: the cache cannot be written, such as on a full disk, or others may write to it.
    """
    try:
        from filelock import FileLock, Timeout
    except ImportError as error:
        raise EngineError(
            "filelock is not installed", remedy="pip install 'magtkd-rt[engines]' brings it"
        ) from error
    try:
        root().parent.mkdir(parents=True, exist_ok=True)
        root().mkdir(mode=0o700, exist_ok=True)
        check_private(root())
        lock = FileLock(f"{key.directory}.lock")
        try:
            held = lock.acquire(timeout=0)
        except Timeout:
            waits()
            held = lock.acquire()
        with held:
            for left in root().glob(f".*.{key.directory.name}.*"):
                shutil.rmtree(left, ignore_errors=True)  # by a process that was killed
            folder = _beside(key, "building")
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise _unwritable(error) from error


def keep(key: Key, folder: Path, record: Record) -> Entry:
    """Put what was built into its place, whole or not at all; an older build is replaced.

    Raises:
        EngineError: the disk is full, or the cache cannot be written.
    """
    files = {}
    try:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            with file.open("rb") as stream:
                name = file.relative_to(folder).as_posix()
                files[name] = hashlib.file_digest(stream, "sha256").hexdigest()
        whole = record.model_copy(update={"files": files})
        text = json.dumps(whole.model_dump(mode="json"), indent=1)
        (folder / _RECORD).write_text(text + "\n", "utf-8")
        if key.directory.exists():
            aside = _beside(key, "old")
            os.rename(key.directory, aside / "it")
            shutil.rmtree(aside, ignore_errors=True)
        os.rename(folder, key.directory)
    except OSError as error:
        raise _unwritable(error) from error
    return Entry(key.directory, whole)


def check_private(folder: Path) -> None:
    """See that nobody but this user, and root, can put files there: they are run.

    Raises:
        FileNotFoundError: there is no such folder.
        EngineError: others can.
    """
    status = folder.stat()
    if status.st_uid not in (0, os.geteuid()):
        raise EngineError(
            f"{folder} belongs to another user, and what is compiled is run",
            remedy="let MAGTKD_ENGINE_CACHE name a folder of your own",
        )
    if status.st_mode & 0o022:
        raise EngineError(
            f"other users may write into {folder}, and what is compiled is run",
            remedy=f"chmod go-w {folder}; if you do not trust them, delete it and compile again",
        )


def _beside(key: Key, what: str) -> Path:
    """A new folder that is known for one of this key, and is no build."""
    return Path(tempfile.mkdtemp(prefix=f".{what}.{key.directory.name}.", dir=root()))


def _unwritable(error: OSError) -> EngineError:
    return EngineError(
        f"what is compiled cannot be kept in {root()} ({error.strerror or error})",
        remedy="make room there, or let MAGTKD_ENGINE_CACHE name a folder that can be written",
    )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _damaged(directory: Path, problem: str) -> EngineError:
    return EngineError(
        f"the compiled graph in {directory} cannot be used: {problem}",
        remedy="run magtkd compile again; until then the default engine does it",
    )
