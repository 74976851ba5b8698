"""One conversation being heard: media and job results in, events and jobs out.

No clock, no I/O, no threads: the same inputs in the same order give the same outputs, byte for
byte, however the sound was chunked. The caller runs the jobs and brings back each result, in
any order; see `magtkd_rt.core.jobs`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from magtkd_rt import wire
from magtkd_rt.core.alignment import HeardWindow, WindowMerge
from magtkd_rt.core.channel import Channel
from magtkd_rt.core.config import SessionConfig
from magtkd_rt.core.encoding import Limits
from magtkd_rt.core.faces import ChosenFaces, FaceMemory
from magtkd_rt.core.jobs import JobResult
from magtkd_rt.core.media import NANOSECONDS, SAMPLE_RATE, WINDOW, AudioChunk, HeardSound, SeenFaces
from magtkd_rt.core.outbox import Outbox, Output
from magtkd_rt.core.recognition import Recognition
from magtkd_rt.core.segmenter import Segmenter
from magtkd_rt.core.speakers import Speakers
from magtkd_rt.core.steps import Closed, Grown, Opened, SoFar, Step
from magtkd_rt.core.turns import TurnFinder


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """What the first event says about the session."""

    bundle: wire.BundleInfo
    asr: wire.AsrInfo
    engine: str
    sources: wire.SourceInfo
    notice: str


class Session:
    """Hears one conversation. Every method returns what follows from its input, once.

    Call `start` first and `end` last. `flush`, then `complete` until `pending` is 0, gives every
    utterance its result before the end. Results of jobs whose utterance was dropped are ignored,
    and a caller may skip such jobs.

    One caller at a time: a session has no locks. Hand pictures in beside the sound of their time:
    an utterance's faces are chosen when it ends, a hang-over after its last sound.

    Every method but `complete` raises RuntimeError before `start` and after `end`; results of
    jobs may still be on their way then, and are ignored.
    """

    def __init__(self, config: SessionConfig, session_id: str) -> None:
        self._config = config
        self._phase: Literal["new", "running", "ended"] = "new"
        self._out = Outbox(session_id)
        self._totals: Counter[str] = Counter()
        self._merge = WindowMerge(config.channels, config.channel_patience * WINDOW)
        self._speakers = Speakers(config.speakers, config.enrolled) if config.voices else None
        self._channels = {number: self._channel(number) for number in range(config.channels)}
        self._faces = FaceMemory(config.max_faces_kept)
        self._recognition = Recognition(config, self._out, self._totals, self._speakers)

    @property
    def pending(self) -> int:
        """Utterances that wait for a result, and results that are looked at again."""
        return self._recognition.pending

    @property
    def totals(self) -> Mapping[str, int]:
        """The counters that the last event carries, as they stand."""
        return dict(sorted(self._totals.items()))

    def start(self, info: SessionInfo) -> Output:
        """Begin the session."""
        if self._phase != "new":
            raise RuntimeError("a session starts once: make a new one")
        self._phase = "running"
        self._out.emit(
            wire.SessionStarted(
                **self._out.stamp(),
                labels=list(self._config.labels),
                bundle=info.bundle,
                asr=info.asr,
                engine=info.engine,
                sources=info.sources,
                notice=info.notice,
            )
        )
        return self._out.drain()

    def hear(self, sound: HeardSound) -> Output:
        """Take sound of one channel.

        Where `start` jumps ahead the gap counts as silence; sound of a time that was heard
        before is ignored and counted as `windows_late`. Where several channels are expected a
        channel waits until the others have come as far, or `tick` says that they will not.

        Raises:
            ValueError: `start` or the length is no whole number of windows, the probabilities
                do not match, or the channel is not below `max_channels`.
        """
        self._check_running()
        count = len(sound.speech)
        if sound.start < 0 or sound.start % WINDOW or sound.samples.shape != (count * WINDOW,):
            raise ValueError(
                f"sound must start at a multiple of {WINDOW} with {WINDOW} samples for each of its "
                f"{count} probabilities, not {sound.samples.shape} from {sound.start}"
            )
        if not 0 <= sound.channel < self._config.max_channels:
            raise ValueError(f"channel {sound.channel} is not below {self._config.max_channels}")
        if sound.channel not in self._channels:
            self._channels[sound.channel] = self._channel(sound.channel)
        self._totals["windows_heard"] += count
        self._totals["windows_late"] += self._merge.add(_finite(sound))
        for window in self._merge.ready():
            self._hear_window(window)
        return self._out.drain()

    def see(self, picture: SeenFaces) -> Output:
        """Take what one picture showed."""
        self._check_running()
        self._out.reach(picture.time_ns * SAMPLE_RATE // NANOSECONDS)
        self._totals["pictures_seen"] += 1
        self._totals["faces_seen"] += bool(picture.faces)
        self._totals["faces_overflowed"] += self._faces.see(picture)
        return self._out.drain()

    def complete(self, result: JobResult) -> Output:
        """Take the result of a job; one that is not awaited (any more) changes nothing."""
        self._recognition.complete(result)
        return self._out.drain()

    def tick(self, now_samples: int) -> Output:
        """The media clock stands at this sample, whether or not sound came.

        An utterance whose sound has been missing for the length of a hang-over ends. So tick
        with the time up to which sound was handed in or is known to be missing.
        """
        self._check_running()
        self._out.reach(now_samples)
        patience = self._config.segmenter.hangover * WINDOW
        for window in self._merge.until(now_samples - patience):
            self._hear_window(window)
        for number, channel in self._channels.items():
            if channel.busy and now_samples - self._merge.reached(number) >= patience:
                self._take(channel.silence_until(channel.position + patience))
                self._merge.reach(number, channel.position)
        return self._out.drain()

    def limit(self, limits: Limits) -> None:
        """Leave something out from now on, for lack of time, or nothing any more."""
        self._recognition.limit(limits)

    def report(
        self,
        level: Literal["info", "warning", "error"],
        code: str,
        message: str,
        lag_ms: float = 0.0,
        dropped: Mapping[str, int] | None = None,
    ) -> Output:
        """Tell the subscribers how the system is doing."""
        self._check_running()
        self._out.status(level, code, message, lag_ms, dropped)
        return self._out.drain()

    def flush(self) -> Output:
        """No more media comes: utterances that are open end here."""
        self._check_running()
        for window in self._merge.rest():
            self._hear_window(window)
        for channel in self._channels.values():
            self._take(channel.flush())
        return self._out.drain()

    def end(self, reason: str) -> Output:
        """End the session; utterances that still wait are dropped with reason `error`."""
        self._check_running()
        self._recognition.drop_all("error")
        self._phase = "ended"
        self._out.emit(
            wire.SessionEnded(**self._out.stamp(), reason=reason, totals=dict(self.totals))
        )
        return self._out.drain()

    def _channel(self, number: int) -> Channel:
        turns = None if self._speakers is None else TurnFinder(self._config.turns, self._speakers)
        return Channel(Segmenter(self._config.segmenter, number), turns)

    def _hear_window(self, window: HeardWindow) -> None:
        channel = self._channels[window.channel]
        self._out.reach(window.start + WINDOW)
        self._faces.hear(window)
        self._take(channel.silence_until(window.start))
        self._take(channel.push(window.samples, window.speech, window.voice, window.power))
        # A channel that has been silent for longer than an utterance keeps no faces. What counts is
        # this window, not the newest sound, which is as far ahead as the sound's pieces are long.
        longest = (self._config.segmenter.longest + self._config.channel_patience) * WINDOW
        needed = min(channel.earliest for channel in self._channels.values())
        self._faces.forget_before(max(needed, window.start - longest))

    def _take(self, steps: list[Step]) -> None:
        for step in steps:
            match step:
                case Opened():
                    self._recognition.open(step)
                case Grown():
                    self._recognition.grow(step)
                case SoFar():
                    most = self._config.max_faces if step.paused else self._config.draft_faces
                    self._recognition.look(step, self._faces_in(step.sound, most))
                case Closed():
                    face = self._faces_in(step.sound, self._config.max_faces)
                    self._faces.remember(step.sound.channel, face)
                    self._recognition.close(step, face)

    def _faces_in(self, sound: AudioChunk, most: int) -> ChosenFaces | None:
        return self._faces.choose(sound.channel, sound.start, sound.end, most)

    def _check_running(self) -> None:
        if self._phase == "new":
            raise RuntimeError("call start() first")
        if self._phase == "ended":
            raise RuntimeError("this session has ended")


def _finite(sound: HeardSound) -> HeardSound:
    """A file may hold anything: what is no number becomes silence, and says nothing of a voice."""
    voices = tuple(voice for voice in sound.voices if np.isfinite(voice.vector).all())
    if len(voices) < len(sound.voices):
        sound = replace(sound, voices=voices)
    if np.isfinite(sound.samples).all() and np.isfinite(sound.speech).all():
        return sound
    return replace(
        sound,
        samples=np.nan_to_num(sound.samples, posinf=0.0, neginf=0.0),
        speech=np.nan_to_num(sound.speech, posinf=0.0, neginf=0.0),
    )
