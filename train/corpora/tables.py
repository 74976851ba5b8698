"""Read the rows of a CSV or JSON-lines file, whatever was done to its encoding."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from magtkd_rt.errors import DataError

LARGEST = 1 << 30
"""Bytes of a table that are read at most."""

_C1 = {code: bytes([code]).decode("cp1252", errors="ignore") for code in range(0x80, 0xA0)}
"""Windows-1252 bytes that somebody read as Latin-1 (quotes, dashes) are control characters."""


def read_text(path: Path) -> str:
    """A text file as UTF-8, else as Windows-1252; its stray control characters mended.

    Raises:
        DataError: it cannot be read.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path} is larger than a gigabyte", remedy="name the right file")
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror})", remedy="check the folder that you named"
        ) from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")
    return text.translate(_C1).replace("\0", "")


def rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Rows of a CSV file with a heading, or the objects of a `.jsonl` file.

    Args:
        path: the file.
        needed: columns that every row must have.

    Yields:
        `FILE, line N` to tell in errors, and the row; missing values are empty.

    Raises:
        DataError: the file cannot be read or lacks a column.
    """
    jsonl = path.suffix.lower() in (".jsonl", ".ndjson")
    for where, row in _objects(path) if jsonl else _csv(path):
        absent = [name for name in needed if name not in row]
        if absent:
            raise DataError(
                f"{where}: no {', '.join(absent)}",
                remedy=f"it needs the columns {', '.join(needed)}",
            )
        yield where, row


def _csv(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        for row in reader:
            extra = row.pop(None, None)
            if extra is not None:
                raise DataError(
                    f"{path.name}, line {reader.line_num}: more cells than the heading has",
                    remedy="quote texts that hold commas",
                )
            strings = {key.strip(): value or "" for key, value in row.items() if key}
            yield f"{path.name}, line {reader.line_num}", strings
    except csv.Error as error:
        raise DataError(
            f"{path.name}, line {reader.line_num}: {error}", remedy="write it again as CSV"
        ) from error


def _objects(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path.name}, line {number}"
        try:
            found: Any = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: {error}", remedy="write one JSON object a line") from error
        plain = (str, int, float, type(None))
        if not isinstance(found, dict) or not all(isinstance(v, plain) for v in found.values()):
            raise DataError(
                f"{where}: no object of plain values", remedy="write one JSON object a line"
            )
        yield where, {key: "" if value is None else str(value) for key, value in found.items()}
