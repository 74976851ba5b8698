"""Write files whole or not at all, whatever happens on the way."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.errors import InputError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A new file that takes the place of `path` once it is whole and on the disk.

    Until then, and if anything goes wrong, what is at `path` stays as it is.

    Raises:
        InputError: it cannot be written, as when the disk is full.
    """
    draft = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        draft = Path(name)
        with os.fdopen(number, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(0o644)  # mkstemp lets nobody else read
        os.replace(draft, path)
        _sync_folder(path.parent)
    except Exception as error:
        cause = _from_the_disk(error)
        if cause is None:
            raise
        raise InputError(
            f"{path} cannot be written ({cause.strerror or cause})",
            remedy="make room or name another folder; what was there before is untouched",
        ) from error
    finally:
        if draft is not None:
            draft.unlink(missing_ok=True)


def _from_the_disk(error: BaseException | None) -> OSError | None:
    """The disk's own error, where torch raised another one while it dealt with that."""
    while error is not None and not isinstance(error, OSError):
        error = error.__context__
    return error


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut, where the platform can."""
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as an npz archive, whole or not at all."""
    with replacing(path) as file:
        np.savez(file, allow_pickle=False, **arrays)


def write_json(path: Path, value: Any) -> None:
    """Write JSON, whole or not at all."""
    with replacing(path) as file:
        file.write(json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n")


def sha256(path: Path) -> str:
    """A file's hash in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
