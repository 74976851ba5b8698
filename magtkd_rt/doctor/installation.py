"""Whether Python and the packages are what this release asks for, and can be imported."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from magtkd_rt.doctor.finding import Finding

NAME: Final = "magtkd-rt"
LEAST_PYTHON: Final = (3, 11)
MODULES: Final = (
    *("av", "cv2", "faster_whisper", "numpy", "onnxruntime", "pocketsphinx", "pydantic", "rich"),
    *("sounddevice", "tokenizers", "typer", "websockets"),
)
"""What the requirements are imported as."""
CONSTRAINTS: Final = Path(__file__).resolve().parents[2] / "constraints.txt"
"""The versions that were tested; there in a clone only."""

_IMPORT_SECONDS: Final = 25
_INSTALL = "install anew: `make clean live` in a clone, else pip install --force-reinstall ..."


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> list[Finding]:
    """Whether Python is new enough."""
    found = ".".join(map(str, version))
    if version < LEAST_PYTHON:
        return [Finding("python", "error", found, "install Python 3.11 or newer")]
    return [Finding("python", "ok", found)]


def check_versions(
    requirements: Sequence[str] | None = None,
    installed: Mapping[str, str] | None = None,
    constraints: Path = CONSTRAINTS,
) -> list[Finding]:
    """Whether what is required is installed, as new as it must be, and as it was tested.

    Args:
        requirements: as `name>=1.2,<3; marker`; those of this package unless told.
        installed: version by name; what is installed here unless told.
        constraints: a file of `name==version`, which need not exist.
    """
    if requirements is None:
        requirements = importlib.metadata.requires(NAME) or []
    wanted = [text.split(";")[0] for text in requirements if "extra ==" not in text]
    missing, old, other = [], [], []
    pins = _pins(constraints)
    for text in wanted:
        name = re.split(r"[^\w.-]", text, maxsplit=1)[0].lower().replace("_", "-")
        version = _version(name) if installed is None else installed.get(name)
        if version is None:
            missing.append(name)
        elif not _fits(version, text[len(name) :]):
            old.append(f"{name} {version}, not {text[len(name) :].strip()}")
        elif name in pins and version.split("+")[0] != pins[name]:
            other.append(f"{name} {version}, tested was {pins[name]}")
    if missing or old:
        problem = "; ".join([f"missing: {', '.join(missing)}"] * bool(missing) + old)
        return [Finding("packages", "error", problem, _INSTALL)]
    if other:
        remedy = "in a clone: pip install -c constraints.txt -e ."
        return [Finding("packages", "warning", "; ".join(other), remedy)]
    tested = ", as tested" if pins else ""
    return [Finding("packages", "ok", f"{len(wanted)} required, all installed{tested}")]


def check_imports(modules: Sequence[str] = MODULES) -> list[Finding]:
    """Whether modules can be imported, in a process of its own: one that crashes harms nobody."""
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    print(name, end=' ', flush=True)\n"
        "    try: importlib.import_module(name)\n"
        "    except OSError as error:\n"
        "        if name != 'sounddevice': raise\n"  # PortAudio's library has a check of its own
        "    print('ok', flush=True)\n"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, *modules],
            capture_output=True, text=True, timeout=_IMPORT_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return [Finding("imports", "error", "they take too long", _INSTALL)]
    if done.returncode == 0:
        return [Finding("imports", "ok", f"{len(modules)} modules can be imported")]
    tried = [line for line in done.stdout.splitlines() if not line.endswith(" ok")]
    said = (done.stderr.strip().splitlines() or [f"it crashed ({done.returncode})"])[-1]
    return [Finding("imports", "error", f"{''.join(tried).strip()}: {said}", _INSTALL)]


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _pins(constraints: Path) -> dict[str, str]:
    if not constraints.is_file():
        return {}
    lines = constraints.read_text("utf-8").splitlines()
    pairs = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {name.strip().lower().replace("_", "-"): version.strip() for name, version in pairs}


def _fits(version: str, specifier: str) -> bool:
    """Whether a version is what `>=1.2,<3` asks for: the two relations that this package uses."""
    for part in filter(None, (part.strip(" ()") for part in specifier.split(","))):
        if part.startswith(">=") and _numbers(version) < _numbers(part[2:]):
            return False
        if part.startswith("<") and _numbers(version) >= _numbers(part[1:]):
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version.split("+")[0])[:3]))
