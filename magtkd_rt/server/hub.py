"""Where events go to be heard: one log per session, one bounded queue per subscriber."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from magtkd_rt import wire
from magtkd_rt.errors import ServerError
from magtkd_rt.server.log import SessionLog
from magtkd_rt.server.subscription import Subscription


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the hub keeps.

    Attributes:
        ring_events: most events of a session that can be replayed.
        ring_seconds: for how many seconds an event can be replayed.
        queue_messages: most messages that wait for one subscriber.
        queue_bytes: most bytes that wait for one subscriber (a single message always may).
        recent_utterances: utterances whose last result a snapshot tells.
        sessions: sessions remembered; the oldest that has ended is forgotten first.
    """

    ring_events: int = 10_000
    ring_seconds: float = 600.0
    queue_messages: int = 256
    queue_bytes: int = 1 << 20
    recent_utterances: int = 50
    sessions: int = 8


class SubscriptionRefused(ServerError):
    """A subscriber asked for what cannot be given.

    Args:
        code: the protocol's error code.
        problem: what was asked for and what there is.
        remedy: what to ask for instead.
    """

    def __init__(self, code: str, problem: str, *, remedy: str) -> None:
        super().__init__(problem, remedy=remedy)
        self.message = wire.Error.model_validate({"code": code, "message": str(self)})


class Hub:
    """Takes events and hands them to subscribers. All methods belong to the event loop's thread.

    Args:
        limits: how much is kept.
        clock: seconds that never go back, for the age of events.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = limits or Limits()
        self.counters: Counter[str] = Counter()
        """Everything dropped or refused, by name; docs/protocol.md lists the names."""
        self.watchers: list[Callable[[wire.Event], None]] = []
        """Get every event beside the subscribers; they must not wait and not fail."""
        self._clock = clock
        self._logs: dict[str, SessionLog] = {}
        self._subscribers: dict[str, set[Subscription]] = {}

    def open(self, session_id: str) -> None:
        """Announce a session before its first event; it becomes the current one.

        Raises:
            ServerError: as many sessions as are kept are all still going on.
        """
        if session_id in self._logs:
            return
        limits = self.limits
        for old in [log.session_id for log in self._logs.values() if log.ended]:
            if len(self._logs) < limits.sessions:
                break
            del self._logs[old], self._subscribers[old]
        if len(self._logs) >= limits.sessions:
            raise ServerError(
                f"{limits.sessions} sessions are going on already",
                remedy="end one of them first",
            )
        self._logs[session_id] = SessionLog(
            session_id,
            limits.ring_events,
            limits.ring_seconds,
            limits.recent_utterances,
        )
        self._subscribers[session_id] = set()

    def publish(self, event: wire.Event) -> None:
        """Hand an event to everyone who listens to its session; opens the session if it is new.

        Never waits: a subscriber that cannot keep up is dealt with by its own queue.

        Raises:
            ValueError: `seq` is not the one after the session's last, or the session has ended.
        """
        self.open(event.session_id)
        log = self._logs[event.session_id]
        entry = log.append(event, self._clock())
        for subscription in self._subscribers[event.session_id]:
            subscription.offer(entry)
            if log.ended:
                subscription.finish()
        for watch in self.watchers:
            watch(event)

    def subscribe(self, session_id: str | None = None, since: int | None = None) -> Subscription:
        """Listen to a session.

        Args:
            session_id: which; None takes the current one, the last that was opened.
            since: deliver everything after this seq. Where that has left the ring, or without
                it, a snapshot comes first and then what is published from now on.

        Raises:
            SubscriptionRefused: there is no such session, or it has not reached `since`.
        """
        log = self._find(session_id)
        if since is not None and not 0 <= since <= log.seq:
            raise SubscriptionRefused(
                "bad_request",
                f"since={since} is not a seq of this session, which is at {log.seq}",
                remedy=f"ask for since=0 to since={log.seq}, or leave since out",
            )
        opening: bytes | None = None
        if since is None or not log.holds_after(since):
            opening, since = log.snapshot()
        subscription = Subscription(
            log.lookup,
            range(since + 1, log.seq + 1),
            opening,
            max_messages=self.limits.queue_messages,
            max_bytes=self.limits.queue_bytes,
            counters=self.counters,
        )
        if log.ended:
            subscription.finish()
        self._subscribers[log.session_id].add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Forget a subscriber; nothing happens if it is not known."""
        for subscribers in self._subscribers.values():
            subscribers.discard(subscription)

    def finish(self) -> None:
        """Let every subscriber end after what is queued for it."""
        for subscribers in self._subscribers.values():
            for subscription in subscribers:
                subscription.finish()

    def queue_depths(self) -> list[int]:
        """For each subscriber, how many messages wait for it."""
        return [one.depth for all_ in self._subscribers.values() for one in all_]

    @property
    def current(self) -> str | None:
        """The session that is meant when none is named."""
        return next(reversed(self._logs), None)

    def describe(self) -> dict[str, object]:
        """The sessions, their numbers and the counters, ready for JSON."""
        current = self.current
        return {
            "session": current,
            "seq": self._logs[current].seq if current is not None else 0,
            "subscribers": sum(map(len, self._subscribers.values())),
            "sessions": {
                log.session_id: {
                    "seq": log.seq,
                    "ended": log.ended,
                    "subscribers": len(self._subscribers[log.session_id]),
                }
                for log in self._logs.values()
            },
            "counters": dict(self.counters),
        }

    def _find(self, session_id: str | None) -> SessionLog:
        wanted = self.current if session_id is None else session_id
        if wanted is None:
            raise SubscriptionRefused(
                "unknown_session",
                "no session has begun yet",
                remedy="try again in a moment",
            )
        log = self._logs.get(wanted)
        if log is None:
            raise SubscriptionRefused(
                "unknown_session",
                f"there is no session {wanted[:64]!r}",
                remedy=f"leave session out to get the current one, {self.current}",
            )
        return log
