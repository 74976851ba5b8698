"""Sound and pictures from elsewhere as a source: a server puts them, a session reads them."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from magtkd_rt import wire
from magtkd_rt.core.media import NANOSECONDS, AudioChunk, VideoFrame
from magtkd_rt.sources._sound import SAMPLE_NS
from magtkd_rt.sources.base import Media, MediaInfo, Notice
from magtkd_rt.sources.inbox import SoundBlock
from magtkd_rt.sources.incoming import Incoming, SentPicture, SentSound
from magtkd_rt.sources.jpeg import BadPicture, JpegDecoder, read_header
from magtkd_rt.sources.soundline import SoundLine
from magtkd_rt.sources.timeline import Present, Timeline

FILL_NS: Final = NANOSECONDS // 2
"""Where sound is missing, silence is filled in up to this long before the present."""
PIXELS_PER_SECOND: Final = 32_000_000
"""Decoding more would take a whole core: a picture of 4096 x 4096 each half second."""
MAX_HELD: Final = 64
"""Pictures that may wait for the sound of their time; beyond it the oldest gives way."""
_PIECE_SECONDS: Final = 0.02
_LOOK_SECONDS: Final = 0.25
_NOTICES: Final = 256


class NoRoom(Exception):
    """The session does not take its media: more would pile up."""


class IngestSource:
    """Media of one sender, whose capture times are on a clock of its own.

    Media zero is the first capture time. Results come out as from a file with the same samples:
    a picture waits for the sound of its time, however the network mixed them. Sound that does
    not come is silence, once it is `patience` late, so that utterances end.

    Every `put` belongs to one thread, `arriving` to another.

    Args:
        audio: how the sound is sent, or None.
        video: how pictures are sent, or None; not both.
        fps: pictures a second to look at, at most.
        ahead: seconds that media may run ahead of real time.
        patience: seconds that sound may be late before silence takes its place.
        now_ns: the monotonic clock.
        incoming: the queue between.
    """

    def __init__(
        self,
        audio: wire.AudioFormat | None,
        video: wire.VideoFormat | None,
        *,
        fps: float = 10.0,
        ahead: float = 5.0,
        patience: float = 3.0,
        now_ns: Callable[[], int] = time.monotonic_ns,
        incoming: Incoming | None = None,
    ) -> None:
        if audio is None and video is None:
            raise ValueError("a sender sends sound or pictures")
        speakers = audio is not None and audio.channels_are_speakers
        self.info = MediaInfo(
            audio=None if audio is None else f"sender, {audio.sample_rate} Hz {audio.encoding}",
            video=None if video is None else f"sender, {video.encoding}",
            channels=0 if audio is None else audio.channels if speakers else 1,
        )
        self.problems: list[str] = []
        self.notices: deque[Notice] = deque(maxlen=_NOTICES)
        self.timeline = Timeline(round(ahead * NANOSECONDS))
        self._dropped: Counter[str] = Counter()  # each kind by one thread alone
        self.dropped: Mapping[str, int] = self._dropped
        self._fps = fps
        self._patience_ns = round(patience * NANOSECONDS)
        self._now_ns = now_ns
        self._incoming = incoming or Incoming()
        self.ended = False
        """Whether the sender has said that there is no more."""
        self._closed = False
        self._last_slot: int | None = None
        self._pixels = PIXELS_PER_SECOND  # that may still be decoded in this second
        self._pixels_ns = 0
        # Of the reader:
        self._line = SoundLine(self.info.channels, 0) if self.info.channels else None
        self._present = Present()
        self._held: deque[SentPicture] = deque()
        self._decoder = JpegDecoder()
        self._silent_from: int | None = None  # sample from which silence took the sound's place

    def put_sound(self, begin_us: int, samples: NDArray[np.float32], rate: int) -> None:
        """Take sound.

        Args:
            begin_us: capture time of the first sample, in microseconds of the sender.
            samples: float32 (n, channels), finite, n at least 1; never written to again.
            rate: samples a second.

        Raises:
            Untimely: the capture time cannot be true.
            NoRoom: it is lost, and counted.
        """
        now_ns = self._now_ns()
        begin_ns = begin_us * 1000
        run = self.timeline.take_sound(begin_ns, len(samples) * NANOSECONDS // rate, now_ns)
        item = SentSound(begin_ns - self._zero_ns, samples, rate, run, now_ns)
        if self.ended:
            return
        if not self._incoming.put(item):
            self._dropped["sender_samples"] += len(samples)
            raise NoRoom

    def put_picture(self, time_us: int, jpeg: bytes) -> None:
        """Take a picture, or leave it out where there are more than `fps` a second.

        Args:
            time_us: when it was captured, in microseconds of the sender.
            jpeg: the picture.

        Raises:
            BadPicture: it cannot be decoded.
            Untimely: the capture time cannot be true.
            NoRoom: it is lost, and counted.
        """
        header = read_header(jpeg)
        now_ns = self._now_ns()
        if not self.timeline.take_picture(time_us * 1000, now_ns) or self.ended:
            return
        time_ns = time_us * 1000 - self._zero_ns
        slot = int(time_ns * self._fps // NANOSECONDS)
        if time_ns < 0 or slot == self._last_slot:
            return
        self._last_slot = slot
        item = SentPicture(time_ns, jpeg[: header.length], now_ns)
        enough = self._may_decode(header.width * header.height, now_ns)
        if not enough or not self._incoming.put(item):
            self._dropped["sender_pictures"] += 1
            raise NoRoom

    def connection_lost(self, seconds: float) -> None:
        """Tell that the sender is gone, and has some seconds to come back."""
        message = f"the sender's connection was lost; the session waits {seconds:g} s for it"
        self.notices.append(Notice("warning", "sender_lost", message))

    def connection_back(self) -> None:
        """Tell that the sender is back; what it sends again is heard once."""
        self.timeline.reconnect()
        self.notices.append(Notice("info", "sender_back", "the sender is back"))

    def end(self) -> None:
        """Nothing more comes; `arriving` ends after what is queued. May be called twice.

        What is put all the same was sent before, on another connection, and is ignored.
        """
        self.ended = True
        self._incoming.end()

    def close(self) -> None:
        """End at once, from any thread."""
        self._closed = True
        self._incoming.close()

    def media(self) -> Iterator[Media]:
        """Yield everything until the end or `close()`."""
        return (item for item, _ in self.arriving())

    def arriving(self) -> Iterator[tuple[Media, int]]:
        """Yield each item, and when it reached this machine on the monotonic clock."""
        while not self._closed and not self._incoming.over:
            silence_may_be_due = self._line is not None and self._present.known
            item = self._incoming.get(_LOOK_SECONDS if silence_may_be_due else None)
            if item is not None:
                self._present.observe(item.end_ns, item.arrived_ns)
            if isinstance(item, SentSound):
                yield from self._hear(item)
            elif item is not None:
                self._hold(item)
            if self._line is None:
                yield from self._look(None)
            elif self._incoming.empty:  # else what is missing may be there
                yield from self._fill(self._line)
        if not self._closed:
            yield from self._look(None)

    def _hear(self, sound: SentSound) -> Iterator[tuple[Media, int]]:
        line = self._line
        assert line is not None
        self._present.longest_ns = max(self._present.longest_ns, sound.end_ns - sound.begin_ns)
        self._count_late(line, sound)
        for block in _pieces(sound):
            yield from self._with_pictures(line.push(block), sound.arrived_ns)

    def _fill(self, line: SoundLine) -> Iterator[tuple[Media, int]]:
        """Silence in place of sound that is too late."""
        now_ns = self._now_ns()
        behind_ns = self._present.behind_ns(line.end * SAMPLE_NS, now_ns)
        if behind_ns <= self._patience_ns:
            return
        if self._silent_from is None:
            self._silent_from = line.end
        until = line.end + (behind_ns - FILL_NS) // SAMPLE_NS
        yield from self._with_pictures(line.silence_until(until), now_ns)

    def _count_late(self, line: SoundLine, sound: SentSound) -> None:
        if self._silent_from is None:
            return
        begin, end = sound.begin_ns // SAMPLE_NS, sound.end_ns // SAMPLE_NS
        late = min(end, line.end) - max(begin, self._silent_from)
        if late > 0:
            self._dropped["late_samples"] += late
            self._present.restart(sound.end_ns, sound.arrived_ns)
        if end > line.end:
            self._silent_from = None

    def _with_pictures(
        self, chunks: Iterator[AudioChunk], arrived_ns: int
    ) -> Iterator[tuple[Media, int]]:
        """Sound, and before each chunk the pictures of its time."""
        for chunk in chunks:
            if self._held:
                yield from self._look(chunk.end * SAMPLE_NS)
            yield chunk, arrived_ns

    def _hold(self, picture: SentPicture) -> None:
        """Let a picture wait until the sound of its time is there."""
        if len(self._held) >= MAX_HELD:
            self._held.popleft()
            self._dropped["late_pictures"] += 1
        self._held.append(picture)

    def _look(self, before_ns: int | None) -> Iterator[tuple[Media, int]]:
        """Decode the pictures that wait, those captured before a time, or all."""
        while self._held and (before_ns is None or self._held[0].time_ns < before_ns):
            picture = self._held.popleft()
            try:
                image = self._decoder.decode(picture.jpeg)
            except BadPicture as bad:
                self._dropped["broken_pictures"] += 1
                if self._dropped["broken_pictures"] == 1:
                    message = f"a picture is left out, and any like it: {bad}"
                    self.notices.append(Notice("warning", "picture_broken", message))
                continue
            yield VideoFrame(picture.time_ns, image), self._now_ns()  # it waited for sound, not us

    def _may_decode(self, pixels: int, now_ns: int) -> bool:
        regained = (now_ns - self._pixels_ns) * PIXELS_PER_SECOND // NANOSECONDS
        self._pixels = min(PIXELS_PER_SECOND, self._pixels + regained)
        self._pixels_ns = now_ns
        if pixels > self._pixels:
            return False
        self._pixels -= pixels
        return True

    @property
    def _zero_ns(self) -> int:
        assert self.timeline.zero_ns is not None
        return self.timeline.zero_ns


def _pieces(sound: SentSound) -> Iterator[SoundBlock]:
    """Short blocks, since a SoundLine looks at its clock once a block."""
    size = max(1, round(sound.rate * _PIECE_SECONDS))
    for first in range(0, len(sound.samples), size):
        begin_ns = sound.begin_ns + first * NANOSECONDS // sound.rate
        yield SoundBlock(sound.samples[first : first + size], sound.rate, begin_ns, sound.run)
