"""Every event of a session as one line of JSON in a file."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from magtkd_rt import wire
from magtkd_rt.errors import InputError


class Journal:
    """Writes events to a file, each line at once, so that nothing is lost whatever comes after.

    Args:
        path: the file; one that exists is overwritten.

    Raises:
        InputError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = path.open("w", encoding="utf-8", buffering=1, newline="\n")
        except OSError as error:
            raise self._unwritable(error) from error

    def write(self, event: wire.Event) -> None:
        """Append one event.

        Raises:
            InputError: the file cannot be written (any more): the disk may be full.
        """
        try:
            self._file.write(wire.dump_message(event) + "\n")
        except OSError as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(
            f"{self._path} cannot be written ({error.strerror})",
            remedy="give another file with --jsonl",
        )
