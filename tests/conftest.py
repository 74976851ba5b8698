"""Fixtures that every test may use."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "support"))
pytest_plugins = [
    "event_script",
    "recorded",
    "small_corpora",
    "tiny_bundle",
    "tiny_checkpoints",
    "tiny_whisper",
]

_SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of recordings, corpora and models beside the checkout.

    Where it is absent the test is skipped, in CI it fails: there nothing may go untested.
    """
    missing = [part for part in ("data", "media", "models") if not (_SHARED / part).is_dir()]
    if missing:
        refuse = pytest.fail if os.environ.get("CI") else pytest.skip
        refuse(f"{', '.join(f'../shared/{part}' for part in missing)} not found")
    return _SHARED


@pytest.fixture(autouse=True, scope="session")
def no_settings_of_this_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What whoever runs the tests has configured or compiled counts for nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        patch.setenv("MAGTKD_ENGINE_CACHE", str(tmp_path_factory.mktemp("engines")))
        yield


@pytest.fixture
def anyio_backend() -> str:
    """Tests marked `anyio` run on asyncio, as the server does."""
    return "asyncio"
