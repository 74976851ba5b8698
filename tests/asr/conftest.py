"""A Whisper model small enough to build for the tests."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A converted Whisper with random weights."""
    for module in ("torch", "transformers", "ctranslate2", "faster_whisper"):
        pytest.importorskip(module)
    builder = runpy.run_path(str(Path(__file__).with_name("tiny_whisper.py")))
    path: Path = builder["build_tiny_whisper"](tmp_path_factory.mktemp("whisper"))
    return path
