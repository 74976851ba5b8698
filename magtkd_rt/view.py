"""The terminal view of `magtkd-live`: what is said, what it expresses, and how sure that is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from magtkd_rt import wire
from magtkd_rt.clients.watch import clean, describe

RECENT: Final = 100
"""Utterances remembered; as many are shown as the terminal has room for."""
NOTICES: Final = 4
REFRESH_SECONDS: Final = 0.1
IDLE_REFRESH_SECONDS: Final = 1.0

_STYLES: Final = {
    "neutral": "white",
    "joy": "yellow",
    "sadness": "blue",
    "anger": "red",
    "surprise": "magenta",
    "fear": "cyan",
    "disgust": "green",
}
_LEVELS: Final = {"info": "dim", "warning": "yellow", "error": "bold red"}
_BAR: Final = 24
_WHY_ABSENT: Final = {
    "no_sound": "no sound",
    "no_face": "no face",
    "no_words": "no words",
    "low_confidence": "words too unsure",
    "error": "failed",
    None: "absent",
}


class OutputConsole(Console):
    """The standard output; where its reader has left, the program goes on without."""

    def __init__(self) -> None:
        super().__init__(highlight=False)

    def on_broken_pipe(self) -> None:
        """Print nothing any more, and let Python flush its buffer to nowhere."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class LineView:
    """Events as lines, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, event: wire.Event) -> None:
        """Print one event."""
        for line in describe(event):
            self._console.print(line, soft_wrap=True)


@dataclass
class Board:
    """What the view shows, as events change it.

    Attributes:
        started: how the session began.
        speaking: utterances that have no result yet, with their words so far.
        provisional: what is thought of those so far.
        results: the last utterances with a result, the newest last.
        notices: the last things to know.
        ended: how the session ended.
        recording: the file that sound and pictures are recorded in, or empty.
    """

    started: wire.SessionStarted | None = None
    speaking: dict[str, wire.Transcript | None] = field(default_factory=dict)
    provisional: dict[str, wire.Emotion] = field(default_factory=dict)
    results: deque[wire.Emotion] = field(default_factory=lambda: deque(maxlen=RECENT))
    notices: deque[wire.Status] = field(default_factory=lambda: deque(maxlen=NOTICES))
    ended: wire.SessionEnded | None = None
    recording: str = ""

    def take(self, event: wire.Event) -> None:
        """Let one event change the board."""
        match event:
            case wire.SessionStarted():
                self.started = event
            case wire.SpeechStarted(utterance_id=utterance_id):
                self.speaking[utterance_id] = None
            case wire.Transcript(utterance_id=utterance_id):
                if utterance_id in self.speaking:
                    self.speaking[utterance_id] = event
            case wire.Emotion(stage="provisional", utterance_id=utterance_id):
                self.provisional[utterance_id] = event
            case wire.Emotion(stage="final", utterance_id=utterance_id):
                self._leave(utterance_id)
                self.results.append(event)
            case wire.Emotion(stage="revised", utterance_id=utterance_id):
                for n, result in enumerate(self.results):
                    if result.utterance_id == utterance_id:
                        self.results[n] = event
            case wire.UtteranceDropped(utterance_id=utterance_id):
                self._leave(utterance_id)
            case wire.Status():
                self.notices.append(event)
                if event.code == "recording_failed":
                    self.recording = ""
            case wire.SessionEnded():
                self.ended = event
            case _:
                pass

    def _leave(self, utterance_id: str) -> None:
        self.speaking.pop(utterance_id, None)
        self.provisional.pop(utterance_id, None)

    def render(self, height: int, address: str, lag_ms: float) -> RenderableType:
        """The whole view in at most `height` lines."""
        parts: list[RenderableType] = [self._header(address, lag_ms)]
        result = self.results[-1] if self.results else None
        below: list[RenderableType] = [self._speech()]
        used = 5 + bool(self.recording) + max(1, len(self.speaking)) + max(1, len(self.notices))
        if result is not None:
            below.append(_result(result))
            used += max(len(result.probabilities), 4) + 2
        below.append(self._notices())
        room = max(1, (height - used - 3) // 2)
        if result is not None:
            parts.append(_history(list(self.results)[-room:]))
        return Group(*parts, *below)

    def _header(self, address: str, lag_ms: float) -> RenderableType:
        lines = Text("waiting for the session ...", style="dim")
        if (started := self.started) is not None:
            sources = [s for s in (started.sources.audio, started.sources.video) if s is not None]
            lines = Text(clean(" and ".join(dict.fromkeys(sources)) or "no source"), style="bold")
            lines.append(
                f"\nwords by {clean(started.asr.name)} · bundle {clean(started.bundle.name)} · "
                f"engine {clean(started.engine)}",
                style="not bold",
            )
            if address:
                lines.append(f" · {address}", style="not bold")
            late = "bold red" if lag_ms >= 2000 else "not bold green"
            lines.append(f" · lag {lag_ms / 1000:.1f} s", style=late)
        if self.recording and self.ended is None:
            lines.append("\n● REC", style="bold red")
            lines.append(f" {clean(self.recording)}", style="not bold red")
        title = "magtkd-live" if self.ended is None else f"magtkd-live: {clean(self.ended.reason)}"
        return Panel(lines, title=title, title_align="left", border_style="blue", padding=(0, 1))

    def _speech(self) -> RenderableType:
        if not self.speaking:
            return Text("  (nobody speaks)", style="dim")
        lines = Text()
        for utterance_id, transcript in self.speaking.items():
            who = clean(transcript.speaker) if transcript else clean(utterance_id)
            said = clean(transcript.text) if transcript else ""
            lines.append("\n" if lines else "").append(f"▶ {who:<4} ", style="bold green")
            if (so_far := self.provisional.get(utterance_id)) is not None:
                lines.append(f"{clean(so_far.label)}? {so_far.confidence:.0%} ", style="dim")
            lines.append(said or "...", style="italic")
            lines.append("" if transcript and transcript.final else " …", style="dim")
        lines.no_wrap, lines.overflow = True, "ellipsis"
        return lines

    def _notices(self) -> RenderableType:
        lines = Text(no_wrap=True, overflow="ellipsis")
        for status in self.notices:
            lines.append("\n" if lines else "").append(
                f"{status.level}: {clean(status.message)}", style=_LEVELS[status.level]
            )
        return lines


def _history(results: list[wire.Emotion]) -> RenderableType:
    """Two lines for each result."""
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(justify="right", style="dim", width=7)
    table.add_column(width=4)
    table.add_column(width=9)
    table.add_column(width=13)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    for result in results:
        masked = result.modalities["text"].reason == "low_confidence"
        words = Text(clean(result.text) or "(no words)", style="dim italic" if masked else "")
        label = Text(clean(result.label), style=_STYLES.get(result.label, "white"))
        sure = Text(f"{result.confidence:4.0%}")
        if result.abstained:
            label.stylize("dim")
            sure.append(" unsure", style="dim")
        taking = " ".join(
            name if part.present else f"no {name}" for name, part in result.modalities.items()
        )
        note = Text(taking, style="dim")
        if masked:
            note.append(" · the words were too unsure to count", style="yellow")
        table.add_row(f"{result.start:.1f} s", clean(result.speaker), label, sure, words)
        table.add_row("", "", "", "", note)
    return table


def _result(result: wire.Emotion) -> RenderableType:
    """A bar per label beside what each modality did."""
    bars = Table.grid(padding=(0, 1))
    for name, share in result.probabilities.items():
        style = _STYLES.get(name, "white")
        best = name == result.label
        filled = round(share * _BAR)
        bar = Text("█" * filled, style=style).append("░" * (_BAR - filled), style="dim")
        head = Text(clean(name), style=f"bold {style}" if best and not result.abstained else "")
        bars.add_row(head, bar, f"{share:4.0%}")
    parts = Table.grid(padding=(0, 1))
    for modality, part in result.modalities.items():
        if part.present:
            moved = "" if part.contribution is None else f"moved it by {part.contribution:+.0%}"
            parts.add_row(Text("●", style="green"), modality, moved)
        else:
            parts.add_row(
                Text("○", style="dim"),
                Text(modality, style="dim"),
                Text(_WHY_ABSENT.get(part.reason, "absent"), style="dim"),
            )
    total = f"{result.latency.total_ms:.0f} ms after the last sound"
    parts.add_row("", Text("latency", style="dim"), Text(total, style="dim"))
    columns = Table.grid(padding=(0, 3))
    columns.add_row(bars, parts)
    unsure = " (unsure: better not act on it)" if result.abstained else ""
    title = f"last utterance: {clean(result.label)}, {result.confidence:.0%}{unsure}"
    return Panel(columns, title=title, title_align="left", border_style="dim", padding=(0, 1))


class TerminalView:
    """Draws a board on a terminal; drawing happens beside the event loop, however slow it is.

    Args:
        console: a terminal.
        address: where others can watch, or empty.
        lag_ms: tells how far behind the machine is.
        recording: the file that sound and pictures are recorded in, or empty.
    """

    def __init__(
        self, console: Console, address: str, lag_ms: Callable[[], float], *, recording: str = ""
    ) -> None:
        self._console = console
        self._address = address
        self._lag_ms = lag_ms
        self._board = Board(recording=recording)
        self._news = asyncio.Event()
        self._stopped = False
        self._live = Live(console=console, auto_refresh=False, transient=False)

    def show(self, event: wire.Event) -> None:
        """Take one event; it is drawn soon."""
        self._board.take(event)
        self._news.set()

    async def run(self) -> None:
        """Draw until `stop`, then once more."""
        with self._live:
            while not self._stopped:
                self._news.clear()
                await self._draw()
                await asyncio.sleep(REFRESH_SECONDS)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(IDLE_REFRESH_SECONDS):
                        await self._news.wait()
            await self._draw()

    def stop(self) -> None:
        """Let `run` draw what there is and end."""
        self._stopped = True
        self._news.set()

    def restore(self) -> None:
        """Give the cursor back, where there is no time for a proper end."""
        self._console.show_cursor(True)

    async def _draw(self) -> None:
        await asyncio.to_thread(self._live.update, self._rendered(), refresh=True)

    def _rendered(self) -> RenderableType:
        return self._board.render(self._console.height, self._address, self._lag_ms())
