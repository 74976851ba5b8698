from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_journal(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What magtkd-live wrote of a talking head, with words, voice and face."""
    path = tmp_path_factory.mktemp("journal") / "head.jsonl"
    recording = shared / "media/video/talking_head_1.mp4"
    program = "from magtkd_rt.cli import live_main; live_main()"
    flags = ["--fast", "--no-view", "--no-server", "--asr", "pocketsphinx", "--jsonl", str(path)]
    subprocess.run(
        [sys.executable, "-c", program, "--input", recording, *flags],
        check=True,
        capture_output=True,
    )
    return path
