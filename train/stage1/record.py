"""What a run was made of: configuration, versions, the data's hashes, where it ran."""

from __future__ import annotations

import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from magtkd_rt.train.corpora.types import Corpus
from magtkd_rt.train.files import sha256
from magtkd_rt.train.stage1.settings import Settings

_PACKAGES = (
    "magtkd-rt", "torch", "transformers", "tokenizers", "accelerate", "numpy", "av",
    "opencv-python-headless",
)  # fmt: skip


def describe(
    settings: Settings, corpus: Corpus, data: Path, accelerator: Accelerator
) -> dict[str, Any]:
    """The contents of `run.json`. Media are not hashed: see the keys of `train.stage1.prepare`."""
    return {
        "begun": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": settings.model_dump(mode="json"),
        "corpus": {
            "name": corpus.name,
            "labels": list(corpus.labels),
            "splits": {
                split: {"dialogues": len(found), "utterances": len(corpus.utterances(split))}
                for split, found in corpus.splits.items()
            },
            "problems": [vars(one) for one in corpus.problems],
            "notes": corpus.notes,
            "sha256": {_inside(path, data): sha256(path) for path in corpus.files},
        },
        "processes": accelerator.num_processes,
        "device": str(accelerator.device),
        "precision": accelerator.mixed_precision,
        "versions": {"python": platform.python_version()} | _versions(),
        "command": sys.argv[1:],
    }


def _inside(path: Path, data: Path) -> str:
    return str(path.relative_to(data)) if path.is_relative_to(data) else path.name


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
