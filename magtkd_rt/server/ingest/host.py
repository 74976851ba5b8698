"""What is needed of who runs the sessions; `runtime.host.SessionHost` is one."""

from __future__ import annotations

from typing import Protocol

from magtkd_rt import wire
from magtkd_rt.sources import Source


class Hosted(Protocol):
    """A session that is going on. The hub has all of its events before `wait` returns."""

    session_id: str

    def stop(self, reason: str) -> None:
        """Hear nothing more; what was heard gets its results, then the session ends."""
        ...

    async def wait(self) -> None:
        """Wait until the session has ended.

        Raises:
            MagtkdError: it failed on the way.
        """
        ...


class Host(Protocol):
    """Begins sessions."""

    async def begin(self, source: Source, hello: wire.Hello) -> Hosted:
        """Begin to hear a source, which is closed at the session's end.

        Raises:
            ServerError: there are too many sessions.
            MagtkdError: what the session needs cannot be had.
        """
        ...
