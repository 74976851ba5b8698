"""`magtkd serve` behind its options: one server, one set of models, the sessions of others."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from pathlib import Path

from magtkd_rt import wire
from magtkd_rt.cli.interrupts import Interrupts
from magtkd_rt.cli.serving import serving
from magtkd_rt.config import ServeConfig
from magtkd_rt.runtime.host import HostedSession, SessionHost
from magtkd_rt.runtime.journal import Journal
from magtkd_rt.runtime.live import Sink
from magtkd_rt.runtime.models import load_models
from magtkd_rt.runtime.recording import make_folder
from magtkd_rt.server.build import hub_from
from magtkd_rt.server.ingest import IngestEndpoint, SenderLimits
from magtkd_rt.sources import Source

KEPT = 8
"""Sessions that have ended and can still be read."""


class LoadingHost:
    """A host that lets senders wait until the models are loaded."""

    def __init__(self) -> None:
        self._host: asyncio.Future[SessionHost] = asyncio.get_running_loop().create_future()

    def ready(self, host: SessionHost) -> None:
        """The models are loaded."""
        self._host.set_result(host)

    async def begin(self, source: Source, hello: wire.Hello) -> HostedSession:
        """Begin to hear a source, as `SessionHost` does."""
        host = await asyncio.shield(self._host)
        return await host.begin(source, hello)

    def health(self) -> dict[str, object]:
        """What `/health` tells of the sessions."""
        return self._host.result().describe() if self._host.done() else {"status": "starting"}


def run_serve(config: ServeConfig) -> None:
    """Serve until Ctrl-C or SIGTERM; then sessions get their last results.

    Raises:
        MagtkdError: the models cannot be had, or the address cannot be listened on.
    """
    if config.jsonl is not None:
        make_folder(config.jsonl)
    asyncio.run(serve(config))


async def serve(config: ServeConfig) -> None:
    """Serve in this event loop, as `run_serve` does."""
    interrupts = Interrupts()
    stopped = asyncio.Event()
    reasons: list[str] = []

    def stop(reason: str) -> None:
        reasons.append(reason)
        stopped.set()

    async with AsyncExitStack() as stack:
        hub = hub_from(config, sessions=config.max_sessions + KEPT)
        loading = LoadingHost()
        ingest = IngestEndpoint(hub, loading, sender_limits(config))
        serve_all = serving(
            config, hub, lambda: {**loading.health(), **ingest.describe()}, ingest=ingest
        )
        server = await stack.enter_async_context(serve_all)
        await stack.enter_async_context(ingest)
        interrupts.first = stop
        models = await asyncio.to_thread(load_models, config)
        stack.callback(models.close)
        also = None if config.jsonl is None else partial(_journal, config.jsonl)
        host = SessionHost(
            models,
            hub.publish,
            most=config.max_sessions,
            drafts=config.provisional,
            also=also,
        )
        stack.push_async_callback(host.close, "server is shutting down")
        loading.ready(host)
        print(f"magtkd: {models.asr_reason}; {models.engine_reason}", file=sys.stderr)
        for trouble in models.troubles:
            print(f"magtkd: warning: {trouble}", file=sys.stderr)
        print(f"magtkd: serving on {server.page}", file=sys.stderr, flush=True)
        await stopped.wait()
        await ingest.close(reasons[0])


def sender_limits(config: ServeConfig) -> SenderLimits:
    """What the settings put up with from senders."""
    return SenderLimits(
        connections=config.max_senders,
        message_bytes=config.max_media_bytes,
        bytes_per_second=config.max_media_bytes_per_second,
        pictures_per_second=config.fps,
        ahead_seconds=config.ahead_seconds,
        queue_seconds=config.media_queue_seconds,
        idle_seconds=config.idle_seconds,
        resume_seconds=config.resume_seconds,
    )


@contextmanager
def _journal(folder: Path, session_id: str) -> Iterator[Sink]:
    with Journal(folder / f"{session_id}.jsonl") as journal:
        yield journal.write
