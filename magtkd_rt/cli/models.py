"""`magtkd models list|pull`: what can be fetched, whether it is at hand, and fetching it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.status import Status
from rich.table import Table

from magtkd_rt.asr.select import unreachable
from magtkd_rt.asr.weights import (
    DEFAULT_WHISPER_MODEL,
    REPOSITORIES,
    cache_folder,
    find_weights,
    hub_cache,
)
from magtkd_rt.bundle.store import find, installed
from magtkd_rt.errors import InputError
from magtkd_rt.features.network import offline
from magtkd_rt.features.yunet import YUNET_URL, fetch_yunet, find_yunet, yunet_place

YUNET: Final = "yunet"
PATIENCE_SECONDS: Final = 20.0
"""How long a name is waited for that a user has asked to fetch."""

_USUAL = ("tiny", "base", "small", "medium", "large-v3")


def list_models() -> None:
    """Print what is needed, whether it is at hand, where, and how large it is."""
    table = Table("model", "what for", "at hand", "size", "where", box=None, pad_edge=False)
    for name in REPOSITORIES:
        found = find_weights(name)
        if found is not None or name in _USUAL:
            use = "words, by Whisper"
            if name == DEFAULT_WHISPER_MODEL:
                use += ": what magtkd-live takes"
            _row(table, f"whisper {name}", use, found, cache_folder(name))
    yunet = find_yunet()
    _row(table, YUNET, "faces, turned ones too", yunet, yunet_place())
    for name in installed():
        place = find(name)
        _row(table, f"bundle {name}", "emotions", place, place)
    console = Console(highlight=False)
    table.columns[-1].overflow = "fold"
    console.print(table)
    console.print(
        "`magtkd models pull NAME` fetches one. Words by pocketsphinx, faces by OpenCV's cascade "
        "and speech detection need no file.",
        style="dim",
    )


def pull_models(names: Sequence[str]) -> None:
    """Fetch models, each whole or not at all; those at hand are left as they are.

    Args:
        names: Whisper's, with or without `whisper-` before it, a repository's, or `yunet`.

    Raises:
        InputError: there is no such model, or it cannot be fetched.
    """
    wanted = [name.removeprefix("whisper-") for name in names]
    for name in wanted:
        if name != YUNET and name not in REPOSITORIES and name.count("/") != 1:
            known = ", ".join([YUNET, *REPOSITORIES])
            raise InputError(f"no model is called {name!r}", remedy=f"known are {known}")
    for name in wanted:
        place = _pull_yunet() if name == YUNET else _pull_whisper(name)
        print(f"{name} is at hand: {place}")


def _pull_yunet() -> Path:
    found = fetch_yunet(PATIENCE_SECONDS)
    if found is None:
        raise InputError(
            f"yunet is not at hand and {_forbidden() or f'{YUNET_URL} cannot be fetched'}",
            remedy=f"fetch that address elsewhere ({YUNET_URL}) and copy the file to "
            f"{yunet_place()}",
        )
    return found


def _pull_whisper(name: str) -> Path:
    found = find_weights(name)
    if found is not None:
        return found
    reason = _forbidden() or unreachable(PATIENCE_SECONDS)
    if reason is None:
        reason = _download(name)
    found = find_weights(name)
    if found is None:
        folder = cache_folder(name)
        raise InputError(
            f"Whisper {name} is not at hand and {reason or 'what was fetched is not all there'}",
            remedy=f"run `magtkd models pull {name}` on a machine with network and copy its "
            f"folder {folder.name} (in ~/.cache/huggingface/hub) into {hub_cache()}, or give "
            "--whisper-model a directory with a converted model",
        )
    return found


def _download(name: str) -> str | None:
    """Fetch by faster-whisper, telling how much has come; returns why it failed."""
    import faster_whisper

    folder, done = cache_folder(name), threading.Event()
    console = Console(stderr=True, highlight=False)

    def watch(status: Status) -> None:
        while not done.wait(0.5):
            with contextlib.suppress(OSError):  # parts are renamed while one looks
                status.update(f"fetching {name}: {_size(folder)} so far ...")

    with Status(f"fetching {name} ...", console=console) as status:
        watching = threading.Thread(target=watch, args=(status,), daemon=True)
        watching.start()
        try:
            faster_whisper.download_model(name)
        except Exception as error:  # the hub and its clients each raise their own
            said = " ".join((str(error).splitlines() or [""])[0].split())
            return f"{name} cannot be fetched ({said or type(error).__name__})"
        finally:
            done.set()
            watching.join()
    return None


def _forbidden() -> str | None:
    return "the network is forbidden (HF_HUB_OFFLINE or MAGTKD_OFFLINE)" if offline() else None


def _row(table: Table, name: str, use: str, found: Path | None, place: Path) -> None:
    at_hand, size = ("no", "") if found is None else ("yes", _size(found))
    where = str(found or place).replace(str(Path.home()), "~", 1)
    table.add_row(name, use, at_hand, size, where)


def _size(place: Path) -> str:
    # What is linked to within the cache counts once.
    files = {file.resolve() for file in (place, *place.rglob("*")) if file.is_file()}
    return f"{sum(file.stat().st_size for file in files) / 1e6:.1f} MB"
