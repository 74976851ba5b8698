"""Whether a microphone hears: PortAudio, who may record, and one second of its level."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.doctor.finding import Finding
from magtkd_rt.errors import MagtkdError
from magtkd_rt.sources.keeper import DeviceLost
from magtkd_rt.sources.microphone import find_microphone
from magtkd_rt.sources.portaudio import AudioSystem, PortAudio

SILENT_DBFS: Final = -70.0
"""Root mean square under which nobody would be heard: muted, or not plugged in."""
CLIPPED_SHARE: Final = 0.001
"""Of samples at the limit, from which speech is distorted."""

_SETTLE_SECONDS = 0.3  # a stream often begins with zeros or a crack
_WITHOUT = "or hear a recording with --input FILE"


def check_microphone(
    wanted: str = "",
    *,
    open_audio: Callable[[], AudioSystem] = PortAudio,
    record: bool = True,
    seconds: float = 1.0,
) -> list[Finding]:
    """PortAudio, the microphone that is wanted or the default, and how loud it is now.

    Args:
        wanted: name or number; empty for the default.
        open_audio: opens PortAudio.
        record: listen to it; nothing is kept.
        seconds: of sound to listen to.
    """
    try:
        audio = open_audio()
    except MagtkdError as error:
        return [Finding("portaudio", "error", error.problem, f"{error.remedy}; {_WITHOUT}")]
    findings = [Finding("portaudio", "ok", _portaudio_version())]
    try:
        found = find_microphone(audio.microphones(), wanted)
    except MagtkdError as error:
        return [*findings, Finding("microphone", "error", error.problem, error.remedy)]
    name = f"{found.index} {found.name}, {found.channels} channels, {found.rate} Hz"
    if not record:
        return [*findings, Finding("microphone", "ok", f"{name}; not listened to")]
    blocks: list[NDArray[np.float32]] = []
    enough = threading.Event()

    def hear(sound: NDArray[np.float32], *_: object) -> None:
        blocks.append(sound)
        if sum(map(len, blocks)) >= (seconds + _SETTLE_SECONDS) * found.rate:
            enough.set()

    try:
        stream = audio.open(found, min(found.channels, 2), hear)
    except DeviceLost as lost:
        remedy = f"{lost.remedy}; {_WITHOUT}"
        return [*findings, Finding("microphone", "error", f"{name}: {lost.problem}", remedy)]
    try:
        enough.wait(2 * seconds + 2)
    finally:
        stream.close()
    heard = np.concatenate(blocks) if blocks else np.zeros((0, 1), np.float32)
    heard = heard[round(_SETTLE_SECONDS * found.rate) :]
    return [*findings, judge_level(name, heard)]


def judge_level(name: str, sound: NDArray[np.float32]) -> Finding:
    """Say whether a microphone's sound, float32 (n, channels), can be worked with."""
    if not len(sound):
        return Finding("microphone", "error", f"{name}: it gives no sound", "unplug and plug it in")
    rms, peak = dbfs(float(np.sqrt(np.mean(sound**2)))), dbfs(float(np.abs(sound).max()))
    found = f"{name}: {rms:.0f} dBFS, peak {peak:.0f} dBFS"
    if rms <= SILENT_DBFS:
        remedy = "is it muted? raise its level: pavucontrol or alsamixer; --mic takes another one"
        return Finding("microphone", "warning", f"{found}, silent", remedy)
    if np.mean(np.abs(sound) >= 0.999) > CLIPPED_SHARE:
        return Finding("microphone", "warning", f"{found}, clipping", "lower its level")
    return Finding("microphone", "ok", found)


def dbfs(level: float) -> float:
    """Decibels of a level whose largest is 1; digital silence is -120."""
    return 20 * math.log10(max(level, 1e-6))


def check_permissions(devices: Path = Path("/dev")) -> list[Finding]:
    """Linux: whether this user may use the sound cards and cameras that there are."""
    if sys.platform != "linux":
        return []
    findings = []
    for what, group, nodes in (
        ("sound cards", "audio", sorted((devices / "snd").glob("pcmC*c"))),
        ("cameras", "video", sorted(devices.glob("video*"))),
    ):
        refused = [str(node) for node in nodes if not os.access(node, os.R_OK | os.W_OK)]
        if refused:
            remedy = f"sudo usermod -aG {group} $USER, then log in anew"
            problem = f"this user may not use {', '.join(refused)}"
            findings.append(Finding(f"{what}, permission", "warning", problem, remedy))
        else:
            found = f"{len(nodes)} in {devices}" + (", allowed" if nodes else "")
            findings.append(Finding(f"{what}, permission", "ok", found))
    return findings


def check_sound_server(ask: Callable[[], str] | None = None) -> list[Finding]:
    """Which source PulseAudio or PipeWire takes by default, and whether it is muted."""
    if ask is None:
        if shutil.which("pactl") is None:
            return []  # ALSA alone, or no desktop
        ask = _pactl
    try:
        said = ask()
    except (OSError, subprocess.SubprocessError):
        return [Finding("sound server", "ok", "neither PulseAudio nor PipeWire runs")]
    facts = dict(line.split(": ", 1) for line in said.splitlines() if ": " in line)
    server = facts.get("Server Name", "a sound server")
    source = facts.get("Default Source", "")
    if not source:
        return [Finding("sound server", "warning", f"{server} has no source", "plug one in")]
    if facts.get("Mute") == "yes":
        remedy = "pactl set-source-mute @DEFAULT_SOURCE@ 0"
        return [Finding("sound server", "warning", f"{server}: {source} is muted", remedy)]
    return [Finding("sound server", "ok", f"{server}: {source}")]


def _pactl() -> str:
    """What `pactl` says of the server, and of its default source."""
    said = ""
    for arguments in (["info"], ["get-source-mute", "@DEFAULT_SOURCE@"]):
        done = subprocess.run(
            ["pactl", *arguments], capture_output=True, text=True, timeout=5,
            env={**os.environ, "LC_ALL": "C"}, check=arguments == ["info"],
        )  # fmt: skip
        said += done.stdout
    return said


def _portaudio_version() -> str:
    try:
        import sounddevice

        return str(sounddevice.get_portaudio_version()[1]).split(",")[0]
    except (ImportError, OSError):
        return "a stand-in"
