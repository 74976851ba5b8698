"""Whisper's weights in the hub's cache: what they are called and whether they are at hand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

DEFAULT_WHISPER_MODEL: Final = "base"

_OWN = "Systran/faster-whisper-"
_TURBO = "mobiuslabsgmbh/faster-whisper-large-v3-turbo"

REPOSITORIES: Final[dict[str, str]] = {
    **{
        name: f"{_OWN}{name}"
        for name in (
            *("tiny.en", "tiny", "base.en", "base", "small.en", "small", "medium.en", "medium"),
            *("large-v1", "large-v2", "large-v3"),
        )
    },
    "large": f"{_OWN}large-v3",
    "distil-large-v2": "Systran/faster-distil-whisper-large-v2",
    "distil-medium.en": "Systran/faster-distil-whisper-medium.en",
    "distil-small.en": "Systran/faster-distil-whisper-small.en",
    "distil-large-v3": "Systran/faster-distil-whisper-large-v3",
    "distil-large-v3.5": "distil-whisper/distil-large-v3.5-ct2",
    "large-v3-turbo": _TURBO,
    "turbo": _TURBO,
}
"""Whisper's names, and where faster-whisper finds them: its own list, whose import is slow."""


def hub_cache() -> Path:
    """Where the hub's library keeps what it fetched."""
    home = os.environ.get("HF_HOME")
    if not home:
        home = str(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface")
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()


def cache_folder(model: str) -> Path:
    """The folder in the cache of a model, by Whisper's name or a repository's, there or not."""
    return hub_cache() / f"models--{REPOSITORIES.get(model, model).replace('/', '--')}"


def find_weights(model: str) -> Path | None:
    """The directory of a model's weights: the one that is named, or the one in the cache."""
    if Path(model).is_dir():
        return Path(model)
    # The newest: of a model that was fetched anew the older snapshots stay.
    found = sorted(
        cache_folder(model).glob("snapshots/*/model.bin"), key=lambda file: file.stat().st_mtime
    )
    return found[-1].parent if found else None
