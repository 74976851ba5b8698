"""What the server remembers of one session: a ring of recent events and the state for snapshots."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from magtkd_rt import wire
from magtkd_rt.server.subscription import Entry


@dataclass(eq=False)
class SessionLog:
    """The ring and the present state of one session.

    The newest event never leaves the ring, so `session.ended` can always be told.

    Args:
        session_id: whose events these are.
        ring_events: most events kept.
        ring_seconds: age in seconds at which an event leaves.
        recent: utterances whose last result a snapshot holds.
    """

    session_id: str
    ring_events: int
    ring_seconds: float
    recent: int
    seq: int = 0
    ended: bool = False
    _started: wire.SessionStarted | None = field(default=None, repr=False)
    _open: dict[str, wire.SpeechStarted] = field(default_factory=dict, repr=False)
    _results: OrderedDict[str, wire.Emotion] = field(default_factory=OrderedDict, repr=False)
    _ring: dict[int, Entry] = field(default_factory=dict, repr=False)
    _times: deque[tuple[float, int]] = field(default_factory=deque, repr=False)
    _newest: dict[tuple[str, str], Entry] = field(default_factory=dict, repr=False)
    _snapshot: bytes | None = field(default=None, repr=False)

    def append(self, event: wire.Event, now: float) -> Entry:
        """Remember one event.

        Args:
            event: the next of the session.
            now: seconds on any clock that never goes back.

        Raises:
            ValueError: `seq` is not the one after the last, or the session has ended.
        """
        if event.seq != self.seq + 1 or self.ended:
            after = "its end" if self.ended else f"{self.seq}"
            raise ValueError(f"session {self.session_id}: event {event.seq} after {after}")
        entry = Entry(event.seq, wire.dump_message(event).encode(), _is_provisional(event))
        self._supersede(event, entry)
        self.seq = event.seq
        self._ring[event.seq] = entry
        self._times.append((now, event.seq))
        while len(self._times) > self.ring_events or now - self._times[0][0] > self.ring_seconds:
            del self._ring[self._times.popleft()[1]]
        self._follow(event)
        self._snapshot = None
        return entry

    def lookup(self, seq: int) -> Entry | None:
        """The entry with this number, None where it has left the ring."""
        return self._ring.get(seq)

    def holds_after(self, seq: int) -> bool:
        """Whether every event after `seq` is still in the ring."""
        return seq >= self.seq or seq + 1 in self._ring

    def snapshot(self) -> tuple[bytes, int]:
        """The present state as a message, and the seq after which the stream goes on.

        Of a session that has ended, the end itself is left to the stream.
        """
        seq = self.seq - 1 if self.ended else self.seq
        if self._snapshot is None:
            state = wire.Snapshot(
                seq=seq,
                session=self._started,
                open_utterances=list(self._open.values()),
                recent=list(self._results.values()),
            )
            self._snapshot = wire.dump_message(state).encode()
        return self._snapshot, seq

    def _supersede(self, event: wire.Event, entry: Entry) -> None:
        """Mark what this event makes stale; queues may drop it when they are full."""
        match event:
            case wire.Emotion() | wire.Transcript():
                stale = [(event.type, event.utterance_id)]
            case wire.UtteranceDropped(utterance_id=utterance_id):
                stale = [("emotion", utterance_id), ("transcript", utterance_id)]
            case _:
                return
        for key in stale:
            old = self._newest.pop(key, None)
            if old is not None:
                old.superseded = True
        if entry.provisional:
            self._newest[stale[0]] = entry

    def _follow(self, event: wire.Event) -> None:
        """Keep the state that a snapshot tells."""
        match event:
            case wire.SessionStarted():
                self._started = event
            case wire.SpeechStarted(utterance_id=utterance_id):
                self._open[utterance_id] = event
            case wire.Emotion(utterance_id=utterance_id):
                if event.stage == "final":
                    self._open.pop(utterance_id, None)
                self._results[utterance_id] = event
                while len(self._results) > self.recent:
                    self._results.popitem(last=False)
            case wire.UtteranceDropped(utterance_id=utterance_id):
                self._open.pop(utterance_id, None)
                self._results.pop(utterance_id, None)
            case wire.SessionEnded():
                self.ended = True
            case _:
                pass


def _is_provisional(event: wire.Event) -> bool:
    match event:
        case wire.Emotion(stage="provisional") | wire.Transcript(final=False):
            return True
        case _:
            return False
