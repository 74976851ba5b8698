"""Reading what `magtkd-live --jsonl` and `magtkd watch --json` wrote: one event a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from pydantic import ValidationError

from magtkd_rt import wire
from magtkd_rt.clients.export.session import Session, Utterance, plain
from magtkd_rt.errors import InputError

LONGEST_LINE: Final = 16 << 20
"""Bytes; no message of a server is longer."""
LONGEST_SESSION: Final = 1e7
"""Seconds, 115 days; later times are taken for mistakes."""


class _Collected:
    """What was read of one session so far."""

    def __init__(self) -> None:
        self.seqs: set[int] = set()
        self.started: wire.SessionStarted | None = None
        self.ended: wire.SessionEnded | None = None
        self.begun: set[str] = set()
        self.results: dict[str, wire.Emotion] = {}
        self.words: dict[str, list[wire.WireWord]] = {}
        self.dropped: dict[str, wire.UtteranceDropped] = {}
        self.statuses: list[wire.Status] = []

    def take(self, event: wire.Event) -> None:
        """Add one event; one that was there already is passed over."""
        if event.seq in self.seqs:
            return
        self.seqs.add(event.seq)
        match event:
            case wire.SessionStarted():
                self.started = event
            case wire.SpeechStarted():
                self.begun.add(event.utterance_id)
            case wire.Transcript(final=True, words=[_, *_] as words):
                self.words[event.utterance_id] = words
            case wire.Emotion():
                self.begun.add(event.utterance_id)
                before = self.results.get(event.utterance_id)
                if before is None or _age(event) > _age(before):
                    self.results[event.utterance_id] = event
            case wire.UtteranceDropped():
                self.begun.add(event.utterance_id)
                self.dropped[event.utterance_id] = event
            case wire.Status():
                self.statuses.append(event)
            case wire.SessionEnded():
                self.ended = event

    def session(self, session_id: str) -> Session:
        """What came of it."""
        with_result = [
            emotion
            for name, emotion in self.results.items()
            if emotion.stage != "provisional" or (self.ended is None and name not in self.dropped)
        ]
        with_result.sort(key=lambda emotion: (emotion.start, emotion.end, emotion.seq))
        done = {emotion.utterance_id for emotion in with_result} | self.dropped.keys()
        return Session(
            session_id=plain(session_id),
            started=self.started,
            ended=self.ended,
            utterances=[
                Utterance(emotion, self.words.get(emotion.utterance_id, ()))
                for emotion in with_result
            ],
            dropped=list(self.dropped.values()),
            unfinished=len(self.begun - done),
            statuses=self.statuses,
            missing=max(self.seqs) - len(self.seqs),
        )


def _age(emotion: wire.Emotion) -> tuple[bool, int, int]:
    return emotion.stage != "provisional", emotion.revision, emotion.seq


def read_session(path: Path, session_id: str | None = None) -> Session:
    """Read one session from a file of events.

    A last line that was cut off is left out, types of a later version are passed over.

    Args:
        path: one JSON object a line, of one session or several.
        session_id: which of them; None where there is but one.

    Raises:
        InputError: there is no such file or session, a line is broken, or there are several
            sessions and none was named.
    """
    sessions: dict[str, _Collected] = {}
    try:
        with path.open("rb") as file:
            for number, message in _messages(path, file):
                for event in _events(path, number, message):
                    sessions.setdefault(event.session_id, _Collected()).take(event)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror})",
            remedy="give a file that magtkd-live --jsonl or magtkd watch --json wrote",
        ) from error
    chosen = _choose(path, list(sessions), session_id)
    return sessions[chosen].session(chosen)


def _messages(path: Path, file: BinaryIO) -> Iterator[tuple[int, wire.Event | wire.Snapshot]]:
    """The messages of a file with the numbers of their lines."""
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise _broken(path, number, f"is longer than {LONGEST_LINE >> 20} MiB")
        text = line.removeprefix(b"\xef\xbb\xbf").strip() if number == 1 else line.strip()
        if not text:
            continue
        try:
            message = wire.parse_message(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            if first["type"] == "union_tag_invalid":
                continue
            if first["type"] == "json_invalid" and not line.endswith(b"\n"):
                return  # the last line was cut off, so there is no `session.ended`
            where = ".".join(str(part) for part in first["loc"])
            problem = f"{where}: {first['msg']}" if where else first["msg"]
            raise _broken(path, number, f"is no event: {problem}") from error
        if not isinstance(message, wire.Error):
            yield number, message


def _events(path: Path, number: int, message: wire.Event | wire.Snapshot) -> Iterator[wire.Event]:
    if isinstance(message, wire.Snapshot):
        parts = [message.session, *message.open_utterances, *message.recent]
        events: list[wire.Event] = [part for part in parts if part is not None]
    else:
        events = [message]
    for event in events:
        if isinstance(event, wire.Emotion) and not 0 <= event.start <= event.end <= LONGEST_SESSION:
            raise _broken(path, number, f"tells of a time from {event.start:g} to {event.end:g} s")
        yield event


def _broken(path: Path, number: int, problem: str) -> InputError:
    return InputError(
        f"{path}, line {number} {plain(problem)}",
        remedy="give a file as magtkd-live --jsonl or magtkd watch --json wrote it, "
        "or take that line out",
    )


def _choose(path: Path, found: list[str], wanted: str | None) -> str:
    if not found:
        raise InputError(
            f"{path} tells of no session",
            remedy="give a file that magtkd-live --jsonl or magtkd watch --json wrote",
        )
    if wanted is None and len(found) == 1:
        return found[0]
    if wanted in found:
        return wanted
    known = ", ".join(plain(name)[:64] for name in found[:8]) + ", ..." * (len(found) > 8)
    if wanted is None:
        raise InputError(
            f"{path} has {len(found)} sessions", remedy=f"choose one with --session: {known}"
        )
    raise InputError(f"{path} has no session {plain(wanted)}", remedy=f"it has {known}")
