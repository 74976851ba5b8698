"""What the machine hears and sees: speech, voices and faces, in the order of the media."""

from __future__ import annotations

from typing import Final, Protocol

from magtkd_rt.core.media import (
    NANOSECONDS,
    AudioChunk,
    HeardSound,
    SeenFaces,
    VideoFrame,
    samples_to_ns,
)
from magtkd_rt.runtime.lane import one_line
from magtkd_rt.runtime.meter import Meter
from magtkd_rt.sources.base import Media

_SPEECH: Final = 0.5
"""Probability from which somebody may be speaking."""
_CALM_AFTER_NS: Final = 2 * NANOSECONDS
"""Nobody has been speaking for so long: faces need less attention."""

Percept = HeardSound | SeenFaces
"""What the core takes."""


class HearsSpeech(Protocol):
    """What is needed of a speech detector."""

    def push(self, chunk: AudioChunk) -> HeardSound | None:
        """Take the next sound of a channel; return the windows that it completes."""
        ...

    def flush(self, channel: int) -> HeardSound | None:
        """Return the last window of a channel, filled with silence, if there is one."""
        ...


class FindsFaces(Protocol):
    """What is needed of a face finder."""

    def find(self, frame: VideoFrame, *, calm: bool = False) -> SeenFaces:
        """Look for the faces; `calm` says that nobody has been speaking for a while."""
        ...


class KnowsVoices(Protocol):
    """What is needed of who listens to voices."""

    def listen(self, heard: HeardSound) -> HeardSound:
        """Take the next sound of a channel; return it with its voice prints."""
        ...


class Senses:
    """Turns media into what the core takes; keeps the order. For one thread.

    A picture on which the face finder fails shows no face. Once the voices failed there are no
    more of them.

    Args:
        speech: detects speech.
        faces: finds faces; None looks at no picture.
        channels: of the sound.
        meter: counts the time of both.
        voices: adds voice prints; None where they decide nothing.
    """

    def __init__(
        self,
        speech: HearsSpeech,
        faces: FindsFaces | None,
        channels: int,
        meter: Meter,
        voices: KnowsVoices | None = None,
    ) -> None:
        self._speech = speech
        self._faces = faces
        self._channels = channels
        self._meter = meter
        self._voices = voices
        self._no_face_told = False
        self._spoken_until_ns = 0
        self.problems: list[str] = []
        """One line for the first failure of the face finder, and of the voices."""

    def perceive(self, item: Media) -> Percept | None:
        """Take the next item."""
        if isinstance(item, AudioChunk):
            with self._meter.measure("vad"):
                heard = self._speech.push(item)
            return None if heard is None else self._listen(heard)
        if self._faces is None:
            return None
        with self._meter.measure("faces"):
            return self._find(self._faces, item)

    def _find(self, finder: FindsFaces, frame: VideoFrame) -> SeenFaces:
        try:
            calm = frame.time_ns > self._spoken_until_ns + _CALM_AFTER_NS
            return finder.find(frame, calm=calm)
        except Exception as error:  # OpenCV's errors share no narrower class
            if not self._no_face_told:
                self._no_face_told = True
                self.problems.append(f"no face was looked for in a picture: {one_line(error)}")
            return SeenFaces(frame.time_ns)

    def _listen(self, heard: HeardSound) -> HeardSound:
        if heard.speech.max() >= _SPEECH:
            end = heard.start + len(heard.samples)
            self._spoken_until_ns = max(self._spoken_until_ns, samples_to_ns(end))
        if self._voices is None:
            return heard
        try:
            return self._voices.listen(heard)
        except Exception as error:  # an engine may raise anything
            self._voices = None
            self.problems.append(f"voices are told apart no more: {one_line(error)}")
            return heard

    def flush(self) -> list[HeardSound]:
        """The windows that the end of the sound leaves unfinished."""
        rests = [self._speech.flush(channel) for channel in range(self._channels)]
        return [self._listen(rest) for rest in rests if rest is not None]
