"""Recordings that the tests of sources make on the spot."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest


@pytest.fixture(scope="session")
def recordings() -> SimpleNamespace:
    """The functions of recordings.py beside this file."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("recordings.py"))))
