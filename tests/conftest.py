"""Fixtures that every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest

_SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of recordings, corpora and models beside the checkout; skips where absent."""
    missing = [part for part in ("data", "media", "models") if not (_SHARED / part).is_dir()]
    if missing:
        pytest.skip(f"{', '.join(f'../shared/{part}' for part in missing)} not found")
    return _SHARED
