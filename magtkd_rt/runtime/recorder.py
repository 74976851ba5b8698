"""`--record`: keeps what a source brings, on a thread of its own, and never holds it up."""

from __future__ import annotations

import threading
from collections import ChainMap, Counter, deque
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self, cast

import av.error

from magtkd_rt.core.media import SAMPLE_RATE, AudioChunk
from magtkd_rt.errors import MagtkdError
from magtkd_rt.runtime.recording import RecordingFile, unwritable
from magtkd_rt.runtime.status import Report
from magtkd_rt.sources import Media, MediaInfo, Source
from magtkd_rt.sources.base import Notice

MAX_SOUND: Final = 30 * SAMPLE_RATE
"""Samples that may wait to be written, all channels together; beyond it new sound is lost."""
MAX_PICTURES: Final = 16
"""Pictures that may wait; beyond it new ones are lost."""
CLOSE_SECONDS: Final = 10.0
"""How long a disk may take at the end for what waits."""


class Recorder:
    """Writes media to a file while a session runs.

    Args:
        path: a new file.
        media: what is expected.
        tell: takes what is to be told, on the recorder's thread.
        may_wait: hold the source up where the disk is slow (a recording that is heard as fast as
            possible), instead of losing media.

    Raises:
        InputError: the file cannot be made.
    """

    def __init__(
        self, path: Path, media: MediaInfo, tell: Callable[[Notice], None], *, may_wait: bool
    ) -> None:
        self.path = path
        self.dropped: Counter[str] = Counter()
        """What found no room: `recording_samples`, `recording_pictures`."""
        self.error: MagtkdError | None = None
        """Why it ended before its time."""
        self._tell = tell
        self._may_wait = may_wait
        self._queue: deque[Media] = deque()
        self._waiting: Counter[str] = Counter()
        self._over = False  # nothing more is taken
        self._changed = threading.Condition()
        try:
            self._file = RecordingFile(
                path, channels=media.channels, pictures=media.video is not None
            )
        except (OSError, av.error.FFmpegError) as error:
            raise unwritable(path, error) from error
        self._thread = threading.Thread(target=self._run, name="magtkd-recorder", daemon=True)
        self._thread.start()

    def begun(self) -> Report:
        """What subscribers are told at the start: of the file its name alone."""
        return Report("info", "recording", f"sound and pictures are recorded as {self.path.name}")

    def put(self, item: Media) -> None:
        """Take one item; after the end, or once writing failed, it is ignored."""
        kind, size, most = _measure(item)
        with self._changed:
            while self._may_wait and self._waiting[kind] + size > most and not self._over:
                self._changed.wait()
            if self._over:
                return
            if self._waiting[kind] + size > most:
                self.dropped[kind] += size
                return
            self._waiting[kind] += size
            self._queue.append(item)
            self._changed.notify_all()

    def close(self) -> None:
        """Write what waits and end the file."""
        with self._changed:
            self._over = True
            self._changed.notify_all()
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive():
            self.error = unwritable(self.path, TimeoutError(0, "the disk does not answer"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self) -> None:
        try:
            with self._file:
                while (item := self._get()) is not None:
                    self._file.write(item)
        except Exception as error:  # OpenCV's encoder has errors of its own
            with self._changed:
                self._over = True
                self._queue.clear()
                self._changed.notify_all()
            self.error = unwritable(self.path, error)
            message = f"the recording ends here, the session goes on: {self.error}"
            self._tell(Notice("error", "recording_failed", message))

    def _get(self) -> Media | None:
        with self._changed:
            while not self._queue and not self._over:
                self._changed.wait()
            if not self._queue:
                return None
            item = self._queue.popleft()
            kind, size, _ = _measure(item)
            self._waiting[kind] -= size
            self._changed.notify_all()
            return item


class RecordedSource:
    """A source all of whose media a recorder gets as well.

    Args:
        source: what is heard and seen.
        recorder: closed by who made it.
    """

    def __init__(self, source: Source, recorder: Recorder) -> None:
        self.info = source.info
        self.problems = source.problems
        self.notices = source.notices
        both = cast(MutableMapping[str, int], source.dropped)
        self.dropped: Mapping[str, int] = ChainMap(recorder.dropped, both)
        self._source = source
        self._recorder = recorder

    def media(self) -> Iterator[Media]:
        """Yield what the source yields."""
        for item in self._source.media():
            self._recorder.put(item)
            yield item

    def close(self) -> None:
        """Close the source."""
        self._source.close()


def _measure(item: Media) -> tuple[str, int, int]:
    """What it counts as, how much, and how much of that may wait."""
    if isinstance(item, AudioChunk):
        return "recording_samples", len(item.samples), MAX_SOUND
    return "recording_pictures", 1, MAX_PICTURES
