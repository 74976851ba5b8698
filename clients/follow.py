"""One session after the other, for views that stay open."""

from __future__ import annotations

import asyncio
import ssl as tls
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from magtkd_rt import wire
from magtkd_rt.clients.connection import DEFAULT_URL, ServerUnavailable
from magtkd_rt.clients.subscriber import Update, subscribe


async def follow(
    url: str = DEFAULT_URL,
    *,
    token: str | None = None,
    tls_context: tls.SSLContext | None = None,
    wait: float = 2.0,
    on_retry: Callable[[str, float], None] | None = None,
) -> AsyncGenerator[Update, None]:
    """Yield every event of the current session, then of the next, and so on without end.

    Args:
        url: as for `subscribe`; `token` and `tls_context` too.
        wait: seconds between two looks for the next session, or for a server that has gone.
        on_retry: as for `subscribe`.

    Raises:
        ServerError: the server cannot be reached at first, or refuses the request.
    """
    ended: str | None = None
    met = False
    while True:
        try:
            updates = subscribe(
                url, since=0, token=token, tls_context=tls_context, on_retry=on_retry
            )
            async with aclosing(updates):
                async for update in updates:
                    if ended is not None and _session_of(update) == ended:
                        break
                    met = True
                    yield update
                    if isinstance(update, wire.SessionEnded):
                        ended = update.session_id
        except ServerUnavailable as unavailable:
            if not met:
                raise
            if on_retry is not None:
                on_retry(unavailable.problem, wait)
        await asyncio.sleep(wait)


def _session_of(update: Update) -> str | None:
    if isinstance(update, wire.Snapshot):
        return None if update.session is None else update.session.session_id
    return update.session_id
