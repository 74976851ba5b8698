"""Several conversations in one process, on models that are loaded once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Final

from magtkd_rt import wire
from magtkd_rt.errors import MagtkdError, ServerError
from magtkd_rt.runtime.assembly import Detectors, set_up
from magtkd_rt.runtime.clock import MonotonicClock
from magtkd_rt.runtime.live import LiveSession, Setup, Sink
from magtkd_rt.runtime.models import Models
from magtkd_rt.sources import Source

NOTICE: Final = (
    "A machine analyses what is said here, voices and faces, for the expression they show; "
    "it does not know what anybody feels. Sound and pictures are sent to the machine that runs "
    "magtkd-rt, and are not kept."
)
"""What those who are recorded should be told, where sound and pictures come over the network."""

Open = Callable[[str], AbstractContextManager[Sink]]
"""For a session's id: who else gets its events, until the session has ended."""


class HostedSession:
    """A session that is going on; to be had from `SessionHost.begin`."""

    def __init__(self, live: LiveSession, session_id: str, running: asyncio.Task[None]) -> None:
        self.session_id = session_id
        self._live = live
        self._running = running

    def stop(self, reason: str) -> None:
        """Hear nothing more; what was heard gets its results, then the session ends."""
        self._live.stop(reason)

    async def wait(self) -> None:
        """Wait until the session has ended and its last event was published.

        Raises:
            MagtkdError: its source or a sink failed on the way.
        """
        await asyncio.shield(self._running)

    @property
    def lag_ms(self) -> float:
        """How far behind its input it is."""
        return self._live.lag_ms

    @property
    def pending(self) -> int:
        """Utterances that wait for their result."""
        return self._live.pending

    @property
    def dropped(self) -> dict[str, int]:
        """What was lost for lack of time, by kind."""
        return self._live.dropped


class SessionHost:
    """Begins sessions and keeps them apart. Made and used on an event loop.

    Args:
        models: that all sessions share; closed by who loaded them.
        publish: gets every event of every session.
        most: sessions at once; more are refused.
        drafts: whether there are provisional results.
        also: opens who else gets a session's events, such as a journal.
    """

    def __init__(
        self,
        models: Models,
        publish: Sink,
        *,
        most: int = 8,
        drafts: bool = True,
        also: Open | None = None,
    ) -> None:
        self.counters: Counter[str] = Counter()
        """`sessions_begun`, `sessions_refused`, `sessions_failed`."""
        self._models = models
        self._publish = publish
        self._most = most
        self._drafts = drafts
        self._also = also
        self._sessions: dict[str, HostedSession] = {}
        self._beginning = 0
        self._closed = False

    async def begin(self, source: Source, hello: wire.Hello) -> HostedSession:
        """Begin to hear a source.

        Args:
            source: what is heard and seen; closed at the session's end.
            hello: how it is to be heard.

        Raises:
            ServerError: as many sessions as may be are going on, or the host is closing.
            MagtkdError: what the session needs cannot be had.
        """
        if self._closed or len(self._sessions) + self._beginning >= self._most:
            self.counters["sessions_refused"] += 1
            problem = (
                "the server is shutting down"
                if self._closed
                else f"{self._most} conversations are going on already"
            )
            raise ServerError(problem, remedy="try again later")
        self._beginning += 1
        try:
            setup = await asyncio.to_thread(self._set_up, source, hello)
            return self._start(source, setup)
        finally:
            self._beginning -= 1

    @property
    def sessions(self) -> list[HostedSession]:
        """Those that are going on."""
        return list(self._sessions.values())

    def describe(self) -> dict[str, object]:
        """How the sessions are doing, ready for JSON."""
        going_on = self._sessions.values()
        dropped: Counter[str] = Counter()
        for session in going_on:
            dropped.update(session.dropped)
        return {
            "sessions_running": len(self._sessions),
            "sessions_most": self._most,
            "lag_ms": round(max((one.lag_ms for one in going_on), default=0.0), 1),
            "pending": sum(one.pending for one in going_on),
            "dropped": dict(dropped),
            "batches": {graph: dict(runs) for graph, runs in self._models.batches().items()},
            **self.counters,
        }

    async def close(self, reason: str) -> None:
        """Begin nothing more, stop every session and wait for their last events."""
        self._closed = True
        for session in self.sessions:
            session.stop(reason)
        await asyncio.gather(*(one.wait() for one in self.sessions), return_exceptions=True)

    def _set_up(self, source: Source, hello: wire.Hello) -> Setup:
        detectors = Detectors.open(source.info)
        transcriber = self._models.transcriber_for_session()
        by_channel = hello.audio is not None and hello.audio.channels_are_speakers
        return set_up(
            self._models,
            detectors,
            source.info,
            transcriber=transcriber,
            release=partial(self._models.release, transcriber),
            notice=NOTICE,
            # Whoever is known to be heard alone needs no telling apart.
            channels_are_speakers=by_channel or hello.speaker is not None,
            speaker_names=() if hello.speaker is None else (hello.speaker,),
            drafts=self._drafts,
        )

    def _start(self, source: Source, setup: Setup) -> HostedSession:
        live = LiveSession(source, setup, clock=MonotonicClock(), fast=False)
        running = asyncio.create_task(self._run(live, source, setup))
        session = HostedSession(live, setup.session_id, running)
        self._sessions[setup.session_id] = session
        self.counters["sessions_begun"] += 1
        return session

    async def _run(self, live: LiveSession, source: Source, setup: Setup) -> None:
        try:
            with ExitStack() as stack:
                sinks = [self._publish]
                if self._also is not None:
                    sinks.append(stack.enter_context(self._also(setup.session_id)))
                await live.run(sinks)
        except MagtkdError:
            self.counters["sessions_failed"] += 1
            raise
        finally:
            source.close()
            del self._sessions[setup.session_id]
