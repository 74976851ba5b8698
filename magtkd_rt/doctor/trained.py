"""Whether the models are at hand, unharmed, and run."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import numpy as np

from magtkd_rt.asr.select import select as select_asr
from magtkd_rt.asr.weights import DEFAULT_WHISPER_MODEL, find_weights
from magtkd_rt.asr.whisper import WhisperTranscriber
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.config import AsrChoice
from magtkd_rt.core.media import SAMPLE_RATE, AudioChunk
from magtkd_rt.doctor.finding import Finding
from magtkd_rt.engines.select import select as select_engine
from magtkd_rt.errors import MagtkdError
from magtkd_rt.features.faces import YuNet
from magtkd_rt.features.yunet import find_yunet
from magtkd_rt.vad import StreamingVad


def check_bundle(name: str) -> list[Finding]:
    """Whether every file of a bundle has its hash, and its graphs give the golden outputs.

    Raises:
        MagtkdError: not so; the error says which and what to do.
    """
    bundle = Bundle.load(name)
    selected = select_engine(bundle)
    selected.engine.close()
    found = f"{bundle.manifest.name}: {len(bundle.manifest.files)} files have the right hash"
    unused = [
        Finding("engine", "warning", f"not used: {trouble}", "magtkd compile builds it anew")
        for trouble in selected.troubles
    ]
    return [Finding("bundle", "ok", found), Finding("engine", "ok", selected.reason), *unused]


def check_words(kind: AsrChoice, model: str) -> list[Finding]:
    """Whether the words can be had: Whisper's weights, and pocketsphinx, each really loaded.

    Nothing is fetched.

    Args:
        kind: who is to transcribe.
        model: Whisper's, or empty for the default.
    """
    if kind == "none":
        return [Finding("words", "ok", "none wanted (asr = none)")]
    findings = []
    whisper = False
    if kind != "pocketsphinx":
        findings.append(_whisper(model or DEFAULT_WHISPER_MODEL, needed=kind == "whisper"))
        whisper = findings[-1].level == "ok"
    if kind != "whisper":
        findings.append(_pocketsphinx(needed=not whisper))
    return findings


def _whisper(model: str, *, needed: bool) -> Finding:
    place = find_weights(model)
    name = f"whisper {model}"
    if place is None:
        remedy = f"magtkd models pull {model}"
        if needed:
            return Finding(name, "error", "its weights are not at hand", remedy)
        found = "its weights are not at hand: words by pocketsphinx, which hears much less well"
        return Finding(name, "warning", found, remedy)
    try:
        WhisperTranscriber(model, local_only=True).close()
    except MagtkdError as error:
        remedy = f"remove {place} and run magtkd models pull {model}"
        return Finding(name, "error" if needed else "warning", error.problem, remedy)
    return Finding(name, "ok", f"it loads from {place}")


def _pocketsphinx(*, needed: bool) -> Finding:
    try:
        transcriber, _ = select_asr("pocketsphinx")
        assert transcriber is not None
        with closing(transcriber):
            stream = transcriber.open("doctor")
            stream.feed(AudioChunk(0, 0, np.zeros(SAMPLE_RATE, np.float32)))
            stream.finish()
    except Exception as error:  # its extension module raises anything
        remedy = "pip install --force-reinstall pocketsphinx"
        said = " ".join(str(error).split())
        return Finding("pocketsphinx", "error" if needed else "warning", said, remedy)
    return Finding("pocketsphinx", "ok", "its English model loads and decodes")


def check_faces() -> list[Finding]:
    """Whether the better face detector is at hand; without it a cascade finds frontal faces.

    Raises:
        InputError: MAGTKD_YUNET names a file that is none.
    """
    named = os.environ.get("MAGTKD_YUNET")
    path = Path(named) if named else find_yunet()
    if path is not None:
        return [Finding("faces", "ok", f"{YuNet(path).name} in {path}")]
    found = "YuNet is not at hand: OpenCV's cascade sees frontal faces only"
    return [Finding("faces", "warning", found, "magtkd models pull yunet")]


def check_speech() -> list[Finding]:
    """Whether the speech detector loads.

    Raises:
        EngineError: it does not.
    """
    StreamingVad(1)
    return [Finding("speech detector", "ok", "Silero loads")]
