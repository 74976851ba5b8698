"""The project's files agree with one another and with the code."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT: dict[str, Any] = PYPROJECT["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]

COMES_WITH = {
    "ctranslate2": "faster-whisper",
    "cv2": "opencv-python-headless",
    "pyannote": "pyannote.metrics",
    "sklearn": "scikit-learn",
    "pydantic_core": "pydantic",
}
"""Modules that are named otherwise than the requirement that brings them."""

ONLY_FOR = {
    "onnxscript": "torch.onnx.export imports it",
    "faster-whisper": "the speech detector reads the model in its wheel",
    "tensorboard": "torch.utils.tensorboard imports it",
    "plotly": "the dashboard serves the JavaScript in its wheel",
}
"""Requirements that the code needs and never imports by name."""


def _names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


def _brought_by(*folders: Path) -> set[str]:
    """The distributions whose modules the code of these folders imports."""
    roots = set()
    for file in (file for folder in folders for file in folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                roots |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                roots.add(node.module.split(".")[0])
    roots -= {*sys.stdlib_module_names, "magtkd_rt"}
    return {canonicalize_name(COMES_WITH.get(root, root)) for root in roots}


def _runtime_folders() -> list[Path]:
    package = ROOT / "magtkd_rt"
    inner = [path for path in package.iterdir() if path.is_dir() and path.name != "models"]
    return [*inner, ROOT / "engines", ROOT / "clients"]


def _pins() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins: dict[str, Version] = {}
    for line in lines:
        if text := line.partition("#")[0].strip():
            name, version = text.split("==")
            pins[canonicalize_name(name)] = Version(version)
    return pins


def _tracked() -> Iterator[tuple[Path, str]]:
    """Every text file that git tracks here, with its content."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if not path.is_file():
            continue
        content = path.read_bytes()
        if b"\0" not in content[:8192]:
            yield path, content.decode("utf-8", errors="replace")


def test_packages_are_the_folders_that_have_code() -> None:
    tops = {"magtkd_rt": "magtkd_rt"} | {
        name: f"magtkd_rt.{name}" for name in ("train", "engines", "clients")
    }
    found = {
        ".".join([package, *init.parent.relative_to(ROOT / folder).parts])
        for folder, package in tops.items()
        for init in (ROOT / folder).rglob("__init__.py")
    }
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == found
    without = {
        file.parent.relative_to(ROOT)
        for folder in tops
        for file in (ROOT / folder).rglob("*.py")
        if not (file.parent / "__init__.py").exists()
    }
    assert not without, "folders with code and no __init__.py are not installed"
    assert PYPROJECT["tool"]["setuptools"]["package-dir"] == {
        package: folder for folder, package in tops.items()
    }


def test_the_installed_version_is_the_project_s() -> None:
    assert importlib.metadata.version("magtkd-rt") == PROJECT["version"], (
        "run the installation anew"
    )


def test_scripts_can_be_loaded() -> None:
    points = importlib.metadata.distribution("magtkd-rt").entry_points
    scripts = {point.name: point for point in points if point.group == "console_scripts"}
    assert {name: point.value for name, point in scripts.items()} == PROJECT["scripts"]
    for point in scripts.values():
        assert callable(point.load())


def test_base_requirements_are_what_the_runtime_imports() -> None:
    imported = _brought_by(*_runtime_folders()) - _names(EXTRAS["train"] + EXTRAS["tensorrt"])
    imported.discard("tensorrt")  # torch-tensorrt brings the release that it was built for
    assert _names(PROJECT["dependencies"]) - ONLY_FOR.keys() == imported - ONLY_FOR.keys()


def test_training_imports_nothing_that_is_not_required() -> None:
    base = _names(PROJECT["dependencies"])
    imported = _brought_by(ROOT / "train", ROOT / "magtkd_rt" / "models")
    assert _names(EXTRAS["train"]) - ONLY_FOR.keys() == imported - base


def test_tests_import_nothing_that_is_not_required() -> None:
    own = {canonicalize_name(file.stem) for file in (ROOT / "tests").rglob("*.py")}
    have = _names(PROJECT["dependencies"] + EXTRAS["train"] + EXTRAS["dev"])
    assert _brought_by(ROOT / "tests") - own <= have


def test_torch_is_in_extras_only() -> None:
    heavy = {"torch", "transformers", "torch-tensorrt"}
    assert not heavy & _names(PROJECT["dependencies"] + EXTRAS["dev"])


@pytest.mark.parametrize("group", ["base", "train", "dev"])
def test_every_requirement_is_pinned_to_a_version_that_fits(group: str) -> None:
    pins = _pins()
    for text in PROJECT["dependencies"] if group == "base" else EXTRAS[group]:
        requirement = Requirement(text)
        pin = pins.get(canonicalize_name(requirement.name))
        assert pin is not None, f"constraints.txt has no version of {requirement.name}"
        assert requirement.specifier.contains(pin), f"{requirement} does not allow {pin}"


def test_what_is_installed_here_is_what_the_constraints_say() -> None:
    """The base alone: torch and the like may differ on a machine with a GPU."""
    pins = _pins()
    wrong = {
        name: f"{installed}, not {pins[name]}"
        for name in _names(PROJECT["dependencies"])
        if Version(installed := importlib.metadata.version(name)).base_version
        != pins[name].base_version
    }
    assert not wrong, f"run `make test`, or mend constraints.txt: {wrong}"


def test_markers_of_the_default_run() -> None:
    options = PYPROJECT["tool"]["pytest"]["ini_options"]
    declared = {text.split(":")[0] for text in options["markers"]}
    assert declared == {"browser", "gpu", "tensorrt", "network", "devices", "slow", "soak"}
    assert options["filterwarnings"] == ["error"]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
def test_no_file_names_a_machine_s_folders_or_a_registry() -> None:
    """A path or a host of one machine would be wrong on every other."""
    folders = "|".join(("work", "root", "home", "Users"))
    hosts = "|".join(
        re.escape(".".join(parts))
        for parts in (
            ("pypi", "org"),
            ("files", "pythonhosted", "org"),
            ("registry", "npmjs", "org"),
        )
    )
    unwanted = re.compile(rf"(?<![\w./~$}}-])/(?:{folders})/\w|{hosts}")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path, text in _tracked()
        for number, line in enumerate(text.splitlines(), 1)
        if unwanted.search(line)
    ]
    assert not found, "\n".join(["", *found])


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
def test_no_source_file_is_longer_than_400_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path, text in _tracked()
        if path.suffix == ".py" and (lines := text.count("\n")) > 400
    }
    assert not long
