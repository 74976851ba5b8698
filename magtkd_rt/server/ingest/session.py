"""One session and its sender, over all of the sender's connections."""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
from typing import TYPE_CHECKING

from magtkd_rt import wire
from magtkd_rt.errors import MagtkdError
from magtkd_rt.server.ingest.host import Hosted
from magtkd_rt.server.ingest.limits import Refused
from magtkd_rt.server.logs import say, say_raised
from magtkd_rt.sources.ingest import IngestSource

if TYPE_CHECKING:
    from magtkd_rt.server.ingest.link import SenderLink


class SenderSession:
    """Belongs to one link at a time; without one it waits for its sender, then ends.

    Args:
        hosted: the session.
        source: what it hears and sees.
        hello: what its sender announced first.
        resume_seconds: that it waits.
    """

    def __init__(
        self, hosted: Hosted, source: IngestSource, hello: wire.Hello, resume_seconds: float
    ) -> None:
        self.session_id = hosted.session_id
        self.source = source
        self.link: SenderLink | None = None
        """Whose media it takes."""
        self.failed = False
        """Whether it ended since something failed."""
        self._hosted = hosted
        self._hello = hello
        self._resume_seconds = resume_seconds
        self._token = ""
        self._used_token = ""
        self._expired = False
        self._expiry: asyncio.TimerHandle | None = None
        self.over = asyncio.create_task(self._wait())
        """Done once the session has ended; never raises."""

    def attach(self, link: SenderLink, used_token: str | None) -> str:
        """Take media from this link, and from no other; returns what shows that it is the sender.

        The token used for it stays good until the sender shows, by its first message, that it
        has got the new one.
        """
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        self._used_token, self._token = used_token or "", secrets.token_urlsafe(32)
        if used_token is not None:
            self.source.connection_back()
        replaced, self.link = self.link, link
        if replaced is not None:
            replaced.replaced.set()
        return self._token

    def confirm(self) -> None:
        """The sender has sent something since it was given its token."""
        self._used_token = ""

    def detach(self, link: SenderLink) -> bool:
        """A link is gone; returns whether the session now waits for its sender to come back."""
        if self.link is not link:
            return False
        self.link = None
        if self.over.done() or self.source.ended:
            return False
        self.source.connection_lost(self._resume_seconds)
        loop = asyncio.get_running_loop()
        self._expiry = loop.call_later(self._resume_seconds, self._expire)
        return True

    def check(self, hello: wire.Hello) -> None:
        """Look whether who says hello may go on with this session.

        Raises:
            Refused: the token is wrong or too old, or other media is announced.
        """
        given = (hello.resume_token or "").encode(errors="replace")
        good = [
            hmac.compare_digest(given, token.encode())
            for token in (self._token, self._used_token or self._token)
        ]
        if not any(good):
            raise Refused(
                "unauthorized", "this is not the resume_token given last; begin a new session"
            )
        if self._expired:
            waited = f"{self._resume_seconds:g} s"
            raise Refused(
                "unauthorized", f"the session waited {waited} and has ended; begin a new one"
            )
        if _shape(hello) != _shape(self._hello):
            raise Refused(
                "unsupported",
                "other media than before; go on with the same, or begin a new session",
            )

    def stop(self, reason: str) -> None:
        """Hear nothing more; what was heard gets its results."""
        self._hosted.stop(reason)

    def _expire(self) -> None:
        self._expired = True
        self.stop("sender lost")

    async def _wait(self) -> None:
        try:
            await self._hosted.wait()
        except MagtkdError as error:
            self.failed = True
            say(logging.ERROR, "session_failed", session_id=self.session_id, reason=str(error))
        except Exception as error:
            self.failed = True
            say_raised("session_failed", error, session_id=self.session_id)
        finally:
            if self._expiry is not None:
                self._expiry.cancel()
            self.source.close()


def _shape(hello: wire.Hello) -> tuple[object, ...]:
    """What a session cannot change on its way: rate and encoding it can."""
    speakers = hello.audio.channels if hello.audio and hello.audio.channels_are_speakers else 0
    return hello.audio is None, hello.video is None, speakers
