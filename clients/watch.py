"""`magtkd watch`: a running server's events in the terminal, readable or as JSON lines."""

from __future__ import annotations

import asyncio
import os
import ssl as tls
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from rich.console import Console
from rich.text import Text

from magtkd_rt import wire
from magtkd_rt.clients.connection import DEFAULT_URL
from magtkd_rt.clients.follow import follow
from magtkd_rt.clients.subscriber import Update, subscribe

BAR_WIDTH = 20


async def watch(
    url: str = DEFAULT_URL,
    *,
    json: bool = False,
    session: str | None = None,
    since: int | None = 0,
    once: bool = True,
    token: str | None = None,
    tls_context: tls.SSLContext | None = None,
    console: Console | None = None,
) -> None:
    """Print events until the session ends.

    Args:
        url: the server, as for `subscribe`.
        json: one JSON object a line, as received, instead of text for people.
        session: which session; None takes the current one.
        since: print everything after this seq; None begins with the present state.
        once: end with the session; otherwise wait for the next one (session and since are then
            not used).
        token: the server's token, where it wants one.
        tls_context: which certificates are trusted; None for the system's.
        console: where to print; the standard output if None.

    Raises:
        ServerError: the server cannot be reached or refuses the request.
    """
    out = console or Console(highlight=False)

    def say_lost(problem: str, delay: float) -> None:
        line = Text(f"{clean(problem)}; trying again in {delay:.1f} s", style="yellow")
        Console(stderr=True).print(line)

    updates: AsyncGenerator[Update, None]
    if once:
        updates = subscribe(
            url,
            session=session,
            since=since,
            token=token,
            tls_context=tls_context,
            on_retry=say_lost,
        )
    else:
        updates = follow(url, token=token, tls_context=tls_context, on_retry=say_lost)
    show: Callable[[Update], None] = _JsonLines(out) if json else _Lines(out)
    async with aclosing(updates):
        async for update in updates:
            show(update)


def run_watch(
    url: str = DEFAULT_URL,
    *,
    json: bool = False,
    once: bool = True,
    token: str | None = None,
    tls_context: tls.SSLContext | None = None,
) -> int:
    """Watch from a command line; return the exit code.

    Ctrl-C and a closed pipe (`| head`) end it quietly.

    Raises:
        ServerError: the server cannot be reached or refuses the request.
    """
    try:
        asyncio.run(watch(url, json=json, once=once, token=token, tls_context=tls_context))
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        # What is still buffered cannot be written either; Python would say so at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def clean(text: str) -> str:
    """Text of others without control characters, which a terminal would obey."""
    return "".join(char if char.isprintable() else " " for char in text)


class _JsonLines:
    def __init__(self, out: Console) -> None:
        self._out = out

    def __call__(self, update: Update) -> None:
        self._out.file.write(wire.dump_message(update) + "\n")
        self._out.file.flush()


class _Lines:
    """One or two lines per event."""

    def __init__(self, out: Console) -> None:
        self._out = out

    def __call__(self, update: Update) -> None:
        for line in describe(update):
            self._out.print(line, soft_wrap=True)


def describe(update: Update) -> list[Text]:
    """An event as lines for people."""
    match update:
        case wire.Snapshot(recent=recent):
            head = Text(
                f"snapshot at {update.seq}: {len(recent)} recent utterances",
                style="dim",
            )
            return [head, *(line for emotion in recent for line in _emotion(emotion))]
        case wire.SessionStarted():
            return [
                _line(update, "session", "bold")
                .append(f"{clean(update.session_id)}, bundle {clean(update.bundle.name)}")
                .append(f", words by {clean(update.asr.name)}, engine {clean(update.engine)}"),
                Text(clean(update.notice), style="italic"),
            ]
        case wire.SpeechStarted():
            return [_line(update, "speech", "dim").append(clean(update.utterance_id))]
        case wire.Transcript():
            kind, style = ("words", "") if update.final else ("words ...", "dim")
            said = f"{clean(update.speaker)}: {clean(update.text) or '(no words)'}"
            return [_line(update, kind, style).append(said)]
        case wire.Emotion():
            return _emotion(update)
        case wire.UtteranceDropped():
            return [
                _line(update, "dropped", "yellow").append(
                    f"{clean(update.utterance_id)}: {update.reason}"
                )
            ]
        case wire.Status():
            style = {"info": "dim", "warning": "yellow", "error": "red"}[update.level]
            line = _line(update, update.level, style).append(clean(update.message))
            if update.lag_ms:
                line.append(f" (lag {update.lag_ms:.0f} ms)")
            for kind, count in update.dropped.items():
                line.append(f" [dropped {clean(kind)} {count}]")
            return [line]
        case wire.SessionEnded():
            totals = ", ".join(f"{clean(name)} {count}" for name, count in update.totals.items())
            return [_line(update, "ended", "bold").append(f"{clean(update.reason)}; {totals}")]


def _emotion(emotion: wire.Emotion) -> list[Text]:
    filled = round(emotion.confidence * BAR_WIDTH)
    style = "dim" if emotion.stage == "provisional" or emotion.abstained else "bold green"
    line = _line(emotion, emotion.stage, style)
    line.append(f"{clean(emotion.label):<9}", style=style)
    line.append("█" * filled + "░" * (BAR_WIDTH - filled), style=style)
    line.append(f" {emotion.confidence:4.0%}")
    if emotion.abstained:
        line.append(" unsure")
    parts = [_modality(name, part) for name, part in emotion.modalities.items()]
    line.append(f"  {'  '.join(parts)}  {clean(emotion.speaker)}", style="dim")
    if emotion.stage == "provisional":
        return [line]
    total = f"{emotion.latency.total_ms:.0f} ms"
    said = f"{'':21}{clean(emotion.text) or '(no words)'}"
    return [line.append(f"  {total}", style="dim"), Text(said)]


def _modality(name: str, modality: wire.Modality) -> str:
    if not modality.present:
        return f"no {name}" + (f" ({modality.reason})" if modality.reason else "")
    return name if modality.contribution is None else f"{name} {modality.contribution:+.2f}"


def _line(event: wire.Event, kind: str, style: str) -> Text:
    return Text(f"{event.t:8.2f} ", style="dim").append(f"{kind:<12}", style=style)
