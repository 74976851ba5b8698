"""Bundles on disk: found by name, checked by hash, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pydantic
import pydantic_core

from magtkd_rt.bundle.manifest import FORMAT, MANIFEST, GraphName, Manifest
from magtkd_rt.errors import BundleError

INSTALLED: Final = Path(__file__).parent / "data"
"""Where the bundles that come with the package lie, one directory each."""

_LARGEST_MANIFEST: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose files are all there and unchanged.

    Attributes:
        directory: where it lies.
        manifest: what it says of itself.
        sha256: hash of the manifest, and so of everything, since that has the files' hashes.
    """

    directory: Path
    manifest: Manifest
    sha256: str

    @classmethod
    def load(cls, name_or_dir: str | Path) -> Bundle:
        """Open a bundle by the name of an installed one, or by its directory; check every hash.

        Raises:
            BundleError: it is not there, damaged, or of another version.
        """
        directory = find(name_or_dir)
        raw = _read_manifest(directory)
        manifest = parse_manifest(raw, directory)
        for file, what in manifest.wanted_files.items():
            if file not in manifest.files:
                raise _broken(directory, f"names {what} ({file}) without a hash")
        for file, wanted in manifest.files.items():
            try:
                found = _sha256(directory / file)
            except OSError as error:
                raise _broken(directory, f"has no readable {file} ({error.strerror})") from error
            if found != wanted:
                raise _broken(directory, f"has a wrong hash for {file}")
        return cls(directory, manifest, hashlib.sha256(raw).hexdigest())

    def path(self, file: str) -> Path:
        """Where a file of the bundle lies."""
        return self.directory / file

    def graph_path(self, graph: GraphName) -> Path:
        """Where a graph lies."""
        return self.path(self.manifest.graphs[graph].file)


def installed() -> list[str]:
    """Names of the bundles that come with the package."""
    return sorted(path.parent.name for path in INSTALLED.glob(f"*/{MANIFEST}"))


def find(name_or_dir: str | Path) -> Path:
    """The directory of a bundle: a bare name is looked for among the installed ones first.

    Raises:
        BundleError: there is no such bundle.
    """
    if isinstance(name_or_dir, str) and name_or_dir in installed():
        return INSTALLED / name_or_dir
    directory = Path(name_or_dir)
    if not directory.is_dir():
        known = ", ".join(installed()) or "none"
        raise BundleError(
            f"there is no bundle {str(name_or_dir)!r}",
            remedy=f"give the directory of one, or the name of an installed one ({known})",
        )
    return directory


def parse_manifest(raw: bytes, directory: Path) -> Manifest:
    """Read a manifest; `directory` is only named in errors.

    Raises:
        BundleError: no JSON, another version, or not as it should be.
    """
    try:
        content = pydantic_core.from_json(raw)
    except ValueError as error:
        raise _broken(directory, f"has a {MANIFEST} that is no JSON ({error})") from error
    version = content.get("format") if isinstance(content, dict) else None
    if version != FORMAT:
        raise BundleError(
            f"the bundle {directory} has manifest format {version!r}, this release reads {FORMAT}",
            remedy="install the release of magtkd-rt that wrote it, or use another bundle",
        )
    try:
        return Manifest.model_validate_json(raw)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or MANIFEST
        raise _broken(directory, f"has a wrong manifest: {place}: {first['msg']}") from error


def write_bundle(directory: Path, manifest: Manifest, files: Mapping[str, bytes | Path]) -> Bundle:
    """Write a bundle whole or not at all; an older bundle in its place is replaced.

    Args:
        directory: where to; its parent must exist.
        manifest: its `files` is ignored and filled with the hashes.
        files: name in the bundle -> content, or the file to copy.

    Raises:
        BundleError: the manifest and the files do not fit, or `directory` holds something else.
        OSError: a file cannot be read or written.
    """
    if directory.exists() and any(directory.iterdir()) and not (directory / MANIFEST).exists():
        raise BundleError(f"{directory} is not empty and no bundle", remedy="name a new directory")
    hashes = {file: _hash_of(content) for file, content in files.items()}
    described = manifest.model_dump(mode="json") | {"files": hashes}
    raw = json.dumps(described, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    parse_manifest(raw, directory)  # refuses file names that lead out of the bundle
    part = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        for file, content in files.items():
            target = part / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
        (part / MANIFEST).write_bytes(raw)
        part.chmod(0o755)  # mkdtemp lets nobody else in
        bundle = Bundle.load(part)
        _swap(part, directory)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return Bundle(directory, bundle.manifest, bundle.sha256)


def _swap(new: Path, directory: Path) -> None:
    """Put `new` in the place of `directory`, which may exist."""
    if not directory.exists():
        os.rename(new, directory)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    old = aside / directory.name
    os.rename(directory, old)
    try:
        os.rename(new, directory)
    except OSError:
        os.rename(old, directory)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _read_manifest(directory: Path) -> bytes:
    try:
        with (directory / MANIFEST).open("rb") as stream:
            raw = stream.read(_LARGEST_MANIFEST + 1)
    except OSError as error:
        raise _broken(directory, f"has no readable {MANIFEST} ({error.strerror})") from error
    if len(raw) > _LARGEST_MANIFEST:
        raise _broken(directory, f"has a {MANIFEST} of more than {_LARGEST_MANIFEST} bytes")
    return raw


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _hash_of(content: bytes | Path) -> str:
    return _sha256(content) if isinstance(content, Path) else hashlib.sha256(content).hexdigest()


def _broken(directory: Path, problem: str) -> BundleError:
    return BundleError(
        f"the bundle {directory} {problem}",
        remedy="install or copy it again, or train one with `magtkd train starter`",
    )
