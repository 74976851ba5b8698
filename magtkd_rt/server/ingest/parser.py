"""What a sender's messages say. Pure: bytes in, media or a refusal out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from magtkd_rt import wire
from magtkd_rt.server.ingest.limits import Refused, SenderLimits

_WIDTHS: Final = {"pcm_s16le": 2, "pcm_f32le": 4}
_OUT_OF_RANGE: Final = {"literal_error", "greater_than_equal", "less_than_equal"}
"""What pydantic calls values of the right type that are not accepted."""
_OFFERED: Final = ("protocol", "audio", "video")
_MOST_SAID: Final = 200
"""Characters: what is said may repeat what was sent."""


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """Sound of one message.

    Attributes:
        begin_us: capture time of its first sample.
        samples: float32 (n, channels), finite, n at least 1.
    """

    begin_us: int
    samples: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture of one message: whatever was sent in the place of a JPEG."""

    time_us: int
    jpeg: bytes


class MediaParser:
    """Reads binary messages.

    Args:
        hello: what the sender announced.
        limits: for the length of sound.
    """

    def __init__(self, hello: wire.Hello, limits: SenderLimits) -> None:
        self._audio = hello.audio
        self._video = hello.video
        self._limits = limits

    def parse(self, data: bytes) -> Sound | Picture:
        """Read one message.

        Raises:
            Refused: it is none of what was announced.
        """
        if len(data) <= wire.MEDIA_HEADER.size:
            raise Refused(
                "bad_frame",
                f"a message of {len(data)} bytes; send 1 of kind, 8 of time, then media",
            )
        kind, time_us = wire.MEDIA_HEADER.unpack_from(data)
        if kind == wire.SOUND:
            return Sound(time_us, self._read_sound(data))
        if kind == wire.PICTURE:
            if self._video is None:
                raise Refused("unsupported", "no pictures were announced; say video in hello")
            return Picture(time_us, data[wire.MEDIA_HEADER.size :])
        raise Refused("bad_frame", f"there is no kind {kind}; send 1 for sound, 2 for a picture")

    def _read_sound(self, data: bytes) -> NDArray[np.float32]:
        """Float32 (n, channels)."""
        audio = self._audio
        if audio is None:
            raise Refused("unsupported", "no sound was announced; say audio in hello")
        size = len(data) - wire.MEDIA_HEADER.size
        frame = audio.channels * _WIDTHS[audio.encoding]
        if size % frame:
            raise Refused(
                "bad_frame", f"{size} bytes of sound are no multiple of {frame}; send whole samples"
            )
        if size // frame > audio.sample_rate * self._limits.sound_seconds:
            most = self._limits.sound_seconds
            raise Refused("too_large", f"a message of much sound; send {most:g} s at most")
        if audio.encoding == "pcm_s16le":
            whole = np.frombuffer(data, "<i2", offset=wire.MEDIA_HEADER.size)
            samples = whole.astype(np.float32) / np.float32(32768)
        else:
            samples = np.frombuffer(data, "<f4", offset=wire.MEDIA_HEADER.size).astype(np.float32)
            if not np.isfinite(samples).all():
                raise Refused(
                    "bad_frame", "the sound holds values that are no numbers; send -1 to 1"
                )
        return samples.reshape(-1, audio.channels)


def read_hello(message: str | bytes) -> wire.Hello:
    """Read the first message.

    Raises:
        Refused: it is no `hello`, or asks for what there is not.
    """
    if isinstance(message, bytes):
        raise Refused("bad_json", "the first message was binary; send hello as text")
    hello = _read(message)
    if not isinstance(hello, wire.Hello):
        raise Refused("bad_request", "the first message was end; send hello")
    if hello.audio is None and hello.video is None:
        raise Refused("bad_request", "hello announces no media; say audio, video or both")
    if hello.speaker and hello.audio is not None and hello.audio.channels_are_speakers:
        raise Refused(
            "bad_request", "speaker names one, channels_are_speakers several; leave one out"
        )
    if (hello.session_id is None) != (hello.resume_token is None):
        raise Refused(
            "unauthorized", "half a resumption; send session_id and resume_token, or neither"
        )
    if hello.session_id is None and hello.since:
        raise Refused("bad_request", f"a new session has no event {hello.since}; leave since out")
    return hello


def read_text(message: str) -> wire.End:
    """Read a text message after `hello`.

    Raises:
        Refused: it is no `end`.
    """
    read = _read(message)
    if not isinstance(read, wire.End):
        raise Refused("bad_request", "hello came twice; connect anew for another session")
    return read


def _read(message: str) -> wire.Hello | wire.End:
    try:
        return wire.parse_client_message(message)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = [str(part) for part in first["loc"] if part not in ("hello", "end")]
        said = " ".join(first["msg"].split())[:_MOST_SAID]
        problem = f"{'.'.join(where)}: {said}" if where else said
        not_offered = first["type"] in _OUT_OF_RANGE and where[0] in _OFFERED
        raise Refused("unsupported" if not_offered else "bad_json", problem) from None
