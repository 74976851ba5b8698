"""Which transcriber to take, and why."""

from __future__ import annotations

import os
from typing import Literal, get_args

from magtkd_rt.asr.base import Transcriber
from magtkd_rt.asr.process import PocketsphinxProcess
from magtkd_rt.asr.weights import DEFAULT_WHISPER_MODEL, find_weights
from magtkd_rt.asr.whisper import WhisperTranscriber
from magtkd_rt.errors import EngineError, ExtraMissing, InputError
from magtkd_rt.features.network import fetch, offline

AsrKind = Literal["auto", "whisper", "pocketsphinx", "none"]

_REACH_WITHIN_S = 1.2
_PROBE = "Systran/faster-whisper-base/resolve/main/config.json"
"""A small file that any hub with these models has."""

_PROBE_BYTES = 100_000


def select(kind: AsrKind, whisper_model: str | None = None) -> tuple[Transcriber | None, str]:
    """Open a transcriber.

    Args:
        kind: `auto` takes Whisper if its weights are at hand or can be fetched, else
            pocketsphinx.
        whisper_model: name or directory; `base` unless told.

    Returns:
        the transcriber, or None for `none`, and one line that says which it is and why.

    Raises:
        InputError: there is no such kind.
        EngineError, ExtraMissing: the one that was asked for by name cannot be had.
    """
    if kind not in get_args(AsrKind):
        raise InputError(
            f"no transcriber is called {kind}", remedy=f"take one of {', '.join(get_args(AsrKind))}"
        )
    if kind == "none":
        return None, "no words: voice and face only, as asked"
    if kind == "pocketsphinx":
        return PocketsphinxProcess(), "words by pocketsphinx (English), as asked"
    try:
        return _whisper(whisper_model or DEFAULT_WHISPER_MODEL)
    except (EngineError, ExtraMissing) as error:
        if kind == "whisper":
            raise
        return PocketsphinxProcess(), f"words by pocketsphinx (English), because {error.problem}"


def _whisper(model: str) -> tuple[Transcriber, str]:
    """Whisper from a directory, from the cache, or else from the network: each tried once."""
    if find_weights(model) is not None:
        return WhisperTranscriber(model, local_only=True), f"words by Whisper {model}, at hand"
    reason = (
        "the network is forbidden (HF_HUB_OFFLINE or MAGTKD_OFFLINE)"
        if offline()
        else unreachable()
    )
    if reason is not None:
        raise EngineError(
            f"Whisper {model} is not at hand and {reason}",
            remedy="give --whisper-model a directory with a converted model, or take "
            "--asr pocketsphinx",
        )
    return WhisperTranscriber(model), f"words by Whisper {model}, fetched"


def unreachable(within_s: float = _REACH_WITHIN_S) -> str | None:
    """Why the hub cannot be reached, or None if it can; one try of bounded time."""
    address = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    page = fetch(f"{address}/{_PROBE}", limit=_PROBE_BYTES, within_s=within_s)
    return f"{address} cannot be reached" if page is None else None
