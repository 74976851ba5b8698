"""A live session as the command line runs it: server, journal, view and signals around it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from magtkd_rt.cli.consent import ask_consent
from magtkd_rt.cli.interrupts import Interrupts
from magtkd_rt.cli.overwrite import ask_to_overwrite
from magtkd_rt.config import LiveConfig
from magtkd_rt.errors import InputError, MagtkdError
from magtkd_rt.runtime.assembly import assemble, open_devices, open_recording
from magtkd_rt.runtime.clock import MonotonicClock
from magtkd_rt.runtime.journal import Journal
from magtkd_rt.runtime.live import LiveSession, Setup, Sink
from magtkd_rt.runtime.recorder import RecordedSource, Recorder
from magtkd_rt.runtime.recording import make_folder
from magtkd_rt.sources import FileSource, Source
from magtkd_rt.sources.live import LiveSource

if TYPE_CHECKING:
    from magtkd_rt.view import OutputConsole


def run_live(config: LiveConfig) -> None:
    """Run one session to its end.

    Raises:
        MagtkdError: it cannot begin, or its source, journal or recording failed on the way.
        typer.Abort: the user does not want it.
    """
    if config.input is None and config.fast:
        raise InputError(
            "a microphone cannot be heard faster than it hears",
            remedy="leave --fast out, or give a recording with --input FILE",
        )
    if config.jsonl is not None:
        ask_to_overwrite(config.jsonl, config.yes)
    if config.record is not None:
        make_folder(config.record)
    source = _open(config)
    try:
        if isinstance(source, LiveSource):
            ask_consent(config, source.info)  # nothing is heard or seen before
        asyncio.run(live(config, source))
    finally:
        source.close()


async def live(config: LiveConfig, source: FileSource | LiveSource) -> None:
    """Hear a recording or the devices in this event loop, as `run_live` does.

    Args:
        config: the settings; nobody is asked anything any more.
        source: closed at the end.
    """
    interrupts = Interrupts()
    async with AsyncExitStack() as stack:
        stack.callback(source.close)
        running = _Running()
        loading = asyncio.create_task(asyncio.to_thread(assemble, config, source.info))
        # What is not needed for loading is imported beside it.
        from magtkd_rt.view import OutputConsole

        console = OutputConsole()
        try:
            address, sinks = await _told(config, running.health, stack)
        except MagtkdError:
            with contextlib.suppress(MagtkdError):  # one problem is enough
                (await loading).close()
            raise
        setup = await loading
        heard: Source = source
        recorder: Recorder | None = None
        if config.record is not None:
            recorder = stack.enter_context(_recorder(config.record, config.fast, source, setup))
            heard = RecordedSource(source, recorder)
            setup = replace(setup, notes=(recorder.begun(), *setup.notes))
        session = LiveSession(heard, setup, clock=MonotonicClock(), fast=config.fast)
        running.session = session
        show = await stack.enter_async_context(
            _shown(config, console, session, setup, address, recorder, interrupts)
        )
        interrupts.first = session.stop
        await session.run([*sinks, show])
        interrupts.first = None
        if recorder is not None:
            await asyncio.to_thread(recorder.close)
        if address and config.linger:
            await asyncio.sleep(config.linger)
        if isinstance(source, FileSource) and source.cut_short:
            raise InputError(
                f"{config.input} is cut short; what is there was recognised",
                remedy="get the whole file for the rest",
            )


async def _told(
    config: LiveConfig, health: Callable[[], Mapping[str, object]], stack: AsyncExitStack
) -> tuple[str, list[Sink]]:
    """Open the server and the journal: where the server listens, and what takes the events."""
    address = ""
    sinks: list[Sink] = []
    if config.server:
        from magtkd_rt.cli.serving import serving
        from magtkd_rt.server.build import hub_from

        hub = hub_from(config)
        server = await stack.enter_async_context(serving(config, hub, health))
        sinks.append(hub.publish)
        address = server.url
        print(f"magtkd: the dashboard is at {server.page}", file=sys.stderr, flush=True)
    if config.jsonl is not None:
        sinks.append(stack.enter_context(Journal(config.jsonl)).write)
    return address, sinks


def _open(config: LiveConfig) -> FileSource | LiveSource:
    return open_recording(config, config.input) if config.input else open_devices(config)


@contextmanager
def _recorder(folder: Path, fast: bool, source: Source, setup: Setup) -> Iterator[Recorder]:
    """A recorder that is named after its session; at the end tell where the recording is."""
    path = folder / f"{setup.session_id}.mkv"
    with Recorder(path, source.info, source.notices.append, may_wait=fast) as recorder:
        yield recorder
    if recorder.error is not None:
        raise recorder.error
    print(f"magtkd: sound and pictures are in {path}", file=sys.stderr)


@asynccontextmanager
async def _shown(
    config: LiveConfig,
    console: OutputConsole,
    session: LiveSession,
    setup: Setup,
    address: str,
    recorder: Recorder | None,
    interrupts: Interrupts,
) -> AsyncIterator[Sink]:
    """Give a sink that shows events: the terminal view, or lines where there is no terminal."""
    from magtkd_rt.view import LineView, TerminalView

    if not (config.view and console.is_terminal):
        if address:
            print(f"magtkd: listening on {address}", file=sys.stderr, flush=True)
        yield LineView(console).show
        return
    console.print(setup.info.notice, style="italic")
    recording = "" if recorder is None else str(recorder.path)
    view = TerminalView(console, address, lambda: session.lag_ms, recording=recording)
    interrupts.leave = view.restore
    drawing = asyncio.create_task(view.run())
    try:
        yield view.show
    finally:
        view.stop()
        await drawing


class _Running:
    """What `/health` tells of the session."""

    def __init__(self) -> None:
        self.session: LiveSession | None = None

    def health(self) -> dict[str, object]:
        if self.session is None:
            return {"status": "starting"}
        return {
            "lag_ms": round(self.session.lag_ms, 1),
            "pending": self.session.pending,
            "dropped": self.session.dropped,
        }
