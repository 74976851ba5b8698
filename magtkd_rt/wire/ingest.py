"""What goes over `/v1/ingest`: sound and pictures in, acknowledgements out."""

from __future__ import annotations

import struct
from typing import Annotated, Final, Literal

from pydantic import Field

from magtkd_rt.wire.base import Message

SOUND: Final = 1
"""First byte of a binary message that holds sound."""
PICTURE: Final = 2
"""First byte of a binary message that holds a picture."""
MEDIA_HEADER: Final = struct.Struct("<BQ")
"""How a binary message begins: its kind, and the capture time of its first sample or of its
picture in microseconds on a clock of the sender's that never goes back."""


class AudioFormat(Message):
    """How the sound is sent: samples of all channels interleaved."""

    sample_rate: Annotated[int, Field(ge=8_000, le=192_000)]
    """Samples a second and channel."""
    channels: Annotated[int, Field(ge=1, le=16)] = 1
    encoding: Literal["pcm_s16le", "pcm_f32le"] = "pcm_s16le"
    """Both little endian; 32-bit floats are -1 to 1."""
    channels_are_speakers: bool = False
    """Each channel is one speaker; else they are mixed and voices tell speakers apart."""


class VideoFormat(Message):
    """How pictures are sent: each binary message is one."""

    encoding: Literal["jpeg"] = "jpeg"


class Hello(Message):
    """First message of who sends media."""

    type: Literal["hello"] = "hello"
    protocol: Literal["magtkd.v1"] = "magtkd.v1"
    audio: AudioFormat | None = None
    """Null where no sound will be sent; without sound there are no utterances."""
    video: VideoFormat | None = None
    """Null where no pictures will be sent."""
    speaker: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Who is heard, where that is one person: utterances then carry that name."""
    session_id: str | None = None
    """With `resume_token`: the session to go on with after a lost connection."""
    resume_token: str | None = None
    subscribe: bool = False
    """Whether the session's events are to come over this connection too."""
    since: Annotated[int, Field(ge=0)] | None = None
    """With `subscribe`: deliver everything after this seq; null takes all from the start."""


class End(Message):
    """Last message of who sends media: what was said by now gets its results."""

    type: Literal["end"] = "end"


ClientMessage = Annotated[Hello | End, Field(discriminator="type")]
"""Any text message of a client on `/v1/ingest`; what it sends of media is binary."""


class IngestLimits(Message):
    """What the server puts up with."""

    max_message_bytes: int
    """Of one binary message."""
    ahead_seconds: float
    """Capture times may run ahead of real time so far; what is faster is refused."""
    pictures_per_second: float
    """More are left out."""
    resume_seconds: float
    """How long a session waits for its sender to come back after a lost connection."""


class Ready(Message):
    """The answer to `hello`: media may be sent."""

    type: Literal["ready"] = "ready"
    session_id: str
    resume_token: str
    """Shows, after a lost connection, that it is the same sender; good for one resumption."""
    limits: IngestLimits


class Ack(Message):
    """What has been taken; at most once a second for each kind."""

    type: Literal["ack"] = "ack"
    kind: Literal[1, 2]
    """1 sound, 2 pictures."""
    t: float
    """Seconds on the sender's clock up to which media was taken: the end of the last sound, or
    the last picture. After a lost connection the sender goes on from there."""
