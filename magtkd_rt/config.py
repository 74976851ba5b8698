"""Settings of the programs: frozen dataclasses, each filled from one TOML file plus flags."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import field, fields
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from magtkd_rt.errors import InputError

EngineChoice = Literal["auto", "onnx", "eager", "inductor", "tensorrt"]
DeviceChoice = Literal["auto", "cpu", "cuda"]
AsrChoice = Literal["auto", "whisper", "pocketsphinx", "none"]


_STRICT: Final = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, config=_STRICT)
class ModelConfig:
    """Which models are run.

    Attributes:
        asr: who transcribes.
        whisper_model: name or directory of Whisper's weights; empty for the default.
        bundle: name or directory of the bundle.
        threads: threads that each graph may compute on.
        engine: what runs the graphs, of what was compiled; the fastest where it says auto.
        device: what the graphs were compiled for; either where it says auto.
    """

    asr: AsrChoice = "auto"
    whisper_model: str = ""
    bundle: str = "starter"
    threads: Annotated[int, Field(ge=1, le=64)] = 2
    engine: EngineChoice = "auto"
    device: DeviceChoice = "auto"


@dataclass(frozen=True, config=_STRICT)
class ServerConfig:
    """How the events are served, to whom, and how much anybody may ask.

    Attributes:
        host: address that the server listens on.
        port: its port; 0 for any free one.
        token: secrets, each `SECRET`, `observe:SECRET` or `publish:SECRET`.
        token_file: file with such secrets, one a line.
        tls_cert: PEM file with the certificate.
        tls_key: PEM file with its key.
        allow_origin: web origins that may connect, beside the server's own.
        allow_host: names by which the server may be called, beside this machine's.
        max_subscribers: websockets at once.
        max_connections: TCP connections at once; None for 64 more than subscribers.
        max_per_address: TCP connections at once of one address; None for 64, and no such bound
            for this machine's own programs.
        max_requests: requests a minute of one address, this machine's own programs not counted.
        max_message_bytes: of one message of a subscriber.
        max_bytes_per_second: that a subscriber may send.
        queue_messages: messages that wait for one subscriber.
        queue_bytes: bytes that wait for one subscriber.
        ring_events: events of a session that are kept for who comes back.
        ring_seconds: for how long they are kept.
        log: file that gets what happens as lines of JSON, `-` for the standard error output.
        log_text: log what was said, too.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8765
    token: tuple[str, ...] = field(default=(), repr=False)
    token_file: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    allow_origin: tuple[str, ...] = ()
    allow_host: tuple[str, ...] = ()
    max_subscribers: Annotated[int, Field(ge=0, le=100_000)] = 1100
    max_connections: Annotated[int, Field(ge=1, le=200_000)] | None = None
    max_per_address: Annotated[int, Field(ge=1, le=200_000)] | None = None
    max_requests: Annotated[int, Field(ge=1, le=1_000_000)] = 600
    max_message_bytes: Annotated[int, Field(ge=1, le=1 << 20)] = 16 * 1024
    max_bytes_per_second: Annotated[int, Field(ge=1024)] = 4 * 1024
    queue_messages: Annotated[int, Field(ge=1, le=1_000_000)] = 256
    queue_bytes: Annotated[int, Field(ge=1024)] = 1 << 20
    ring_events: Annotated[int, Field(ge=1, le=10_000_000)] = 10_000
    ring_seconds: Annotated[float, Field(gt=0)] = 600.0
    log: str = ""
    log_text: bool = False


@dataclass(frozen=True, config=_STRICT)
class LiveConfig(ModelConfig, ServerConfig):
    """What `magtkd-live` can be told; the keys of the TOML file are the names of the fields.

    Attributes:
        input: the recording to hear, instead of the devices.
        mic: the microphone to hear, by name or index; empty for the default.
        camera: the camera to see: an index, an address, or a video file.
        no_mic: hear nothing.
        no_camera: see nothing.
        fast: hear it as fast as the machine can, instead of as fast as it was recorded.
        provisional: tell results while somebody speaks; never where a recording is heard fast.
        fps: pictures a second that are looked at, at most.
        channels_are_speakers: each channel of the sound is one speaker.
        speaker: speakers known beforehand, each as `NAME=FILE` with a recording of that voice.
        record: folder that gets the sound and the pictures; without it neither is ever written.
        jsonl: file that gets every event as one line of JSON.
        view: show the terminal view, where there is a terminal.
        server: serve the events over a websocket.
        linger: seconds that the server stays after the end.
        consent: those who are heard and seen know of it: devices are opened without a question.
        yes: answer every question with yes.
    """

    input: Path | None = None
    mic: Annotated[str, Field(coerce_numbers_to_str=True)] = ""
    camera: Annotated[str, Field(coerce_numbers_to_str=True, min_length=1)] = "0"
    no_mic: bool = False
    no_camera: bool = False
    fast: bool = False
    provisional: bool = True
    fps: Annotated[float, Field(gt=0, le=240)] = 10.0
    channels_are_speakers: bool = False
    speaker: tuple[str, ...] = ()
    record: Path | None = None
    jsonl: Path | None = None
    view: bool = True
    server: bool = True
    linger: Annotated[float, Field(ge=0, le=86_400)] = 0.0
    consent: bool = False
    yes: bool = False


@dataclass(frozen=True, config=_STRICT)
class ServeConfig(ModelConfig, ServerConfig):
    """What `magtkd serve` can be told; the keys of the TOML file are the names of the fields.

    Attributes:
        provisional: tell results while somebody speaks.
        max_sessions: conversations that may go on at once; more are refused.
        jsonl: folder that gets a file of events for each session.
        max_senders: connections that may send at once.
        fps: pictures a second that are looked at; more are left out.
        max_media_bytes: of one message with sound or a picture.
        max_media_bytes_per_second: that a sender may send beside the sound that it announced.
        ahead_seconds: that media may run ahead of real time.
        media_queue_seconds: that media may wait to be taken by its session.
        idle_seconds: after which a sender that sends nothing is let go.
        resume_seconds: that a session waits for its sender after a lost connection.
    """

    provisional: bool = True
    max_sessions: Annotated[int, Field(ge=1, le=1000)] = 8
    jsonl: Path | None = None
    max_senders: Annotated[int, Field(ge=1, le=100_000)] = 64
    fps: Annotated[float, Field(gt=0, le=240)] = 10.0
    max_media_bytes: Annotated[int, Field(ge=4096, le=1 << 30)] = 1 << 20
    max_media_bytes_per_second: Annotated[int, Field(ge=4096, le=1 << 30)] = 2 << 20
    ahead_seconds: Annotated[float, Field(gt=0, le=3600)] = 5.0
    media_queue_seconds: Annotated[float, Field(gt=0, le=3600)] = 10.0
    idle_seconds: Annotated[float, Field(ge=1, le=86_400)] = 120.0
    resume_seconds: Annotated[float, Field(ge=0, le=86_400)] = 30.0


_SECRET: Final = ("token",)
"""What has no place in these files, since others may read them."""

Config = TypeVar("Config", LiveConfig, ServeConfig)

_FILES: Final = {LiveConfig: "config.toml", ServeConfig: "serve.toml"}


def usual_file(kind: type[LiveConfig | ServeConfig] = LiveConfig) -> Path:
    """Where a program looks for settings unless told; there need not be such a file."""
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "magtkd" / _FILES[kind]


def find_config(kind: type[Config], file: Path | None, flags: Mapping[str, object]) -> Config:
    """As `load_config`, with the file in the usual place where none is named.

    Raises:
        InputError: see `load_config`.
    """
    usual = usual_file(kind)
    return load_config(kind, usual if file is None and usual.exists() else file, flags)


def load_config(kind: type[Config], file: Path | None, flags: Mapping[str, object]) -> Config:
    """Settings of the file, then of the flags: a flag that is not None wins.

    Raises:
        InputError: the file cannot be read, a key is unknown, or a value makes no sense.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    return _build(kind, {**(_read(kind, file) if file is not None else {}), **given})


def _read(kind: type[ModelConfig], file: Path) -> dict[str, object]:
    try:
        found = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise InputError(
            f"the configuration {file} cannot be read ({error.strerror})",
            remedy="give a TOML file with --config",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(
            f"the configuration {file} is no TOML ({error})", remedy="mend that line"
        ) from error
    known = [field.name for field in fields(kind) if field.name not in _SECRET]
    for key in found:
        if key not in known:
            raise InputError(
                f"the configuration {file} has the unknown key {key!r}",
                remedy=f"known are {', '.join(known)}",
            )
    return found


def _build(kind: type[Config], settings: dict[str, object]) -> Config:
    try:
        return kind(**settings)  # type: ignore[arg-type]  # pydantic checks every value
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = str(first["loc"][0])
        value = "..." if key in _SECRET else repr(first["input"])
        raise InputError(
            f"{key} = {value} makes no sense ({first['msg']})",
            remedy=f"its default is {getattr(kind(), key)!r}",
        ) from error
