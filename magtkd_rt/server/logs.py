"""What is logged: sessions, refusals and losses, as one JSON object a line, and no words."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections import Counter
from datetime import UTC, datetime
from typing import Final, TextIO

from magtkd_rt import wire
from magtkd_rt.errors import InputError
from magtkd_rt.server.throttle import Throttle

LOGGER: Final = logging.getLogger("magtkd_rt.server")
LOGGER.addHandler(logging.NullHandler())  # who wants no log gets none, on no terminal
WEBSOCKETS: Final = LOGGER.getChild("websockets")
"""For the library, whose own messages name no session, and in its depths even content."""
WEBSOCKETS.setLevel(logging.WARNING)

BURST: Final = 20
"""Lines about one kind of refusal at once; then one a second. The others are counted."""

_LEVELS: Final = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def say(level: int, event: str, **fields: object) -> None:
    """Log something: `event` says what, the fields say the rest and are ready for JSON."""
    LOGGER.log(level, event, extra={"fields": fields})


def say_raised(event: str, error: Exception, **fields: object) -> None:
    """Log an exception that nobody foresaw, with its traceback as `error`."""
    LOGGER.error(event, extra={"fields": fields}, exc_info=error)


class ServerLog:
    """Logs what happens to sessions and connections.

    Args:
        words: also what was said, with its result.
    """

    def __init__(self, *, words: bool = False) -> None:
        self._words = words
        self._refusals = Throttle(BURST, 1.0)
        self._unlogged: Counter[str] = Counter()

    def observe(self, event: wire.Event) -> None:
        """Log an event of a session, if it is one that counts."""
        session = event.session_id
        match event:
            case wire.SessionStarted():
                about = {"bundle": event.bundle.name, "asr": event.asr.name, "engine": event.engine}
                say(logging.INFO, "session_begun", session_id=session, **about)
            case wire.SessionEnded(reason=reason, totals=totals):
                say(logging.INFO, "session_ended", session_id=session, reason=reason, totals=totals)
            case wire.Status(code=code, message=message):
                level = _LEVELS[event.level]
                say(level, "status", session_id=session, code=code, message=message)
            case wire.UtteranceDropped(reason="overload" | "error" as reason):
                about = {"utterance_id": event.utterance_id, "reason": reason}
                say(logging.WARNING, "utterance_dropped", session_id=session, **about)
            case wire.Emotion(stage="final", text=text) if self._words:
                about = {"utterance_id": event.utterance_id, "label": event.label, "text": text}
                say(logging.INFO, "utterance", session_id=session, **about)
            case _:
                pass

    def lost(self, counter: str, address: str, reason: str, **fields: object) -> None:
        """Log a connection that was refused or cut off, unless there are too many of its kind.

        Args:
            counter: under which it was counted.
            address: of the peer.
            reason: in words.
            fields: what else is known, ready for JSON.
        """
        if not LOGGER.isEnabledFor(logging.WARNING):
            return
        if not self._refusals.take(counter):
            self._unlogged[counter] += 1
            return
        if unlogged := self._unlogged.pop(counter, 0):
            fields["unlogged"] = unlogged
        say(logging.WARNING, counter, address=address, reason=reason, **fields)


class JsonLines(logging.Formatter):
    """One JSON object a line: `time`, `level`, `event`, and the fields of `say`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class LogHandler(logging.StreamHandler[TextIO]):
    """Writes the log; what cannot be written is not worth a session."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Go on."""


def open_log(target: str) -> logging.Handler:
    """Log into a file, to which lines are added, or to the standard error output (`-`).

    Returns:
        what to give to `close_log` at the end.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        stream = sys.stderr if target == "-" else open(target, "a", 1, "utf-8", opener=_private)  # noqa: SIM115
    except OSError as error:
        raise InputError(
            f"the log {target} cannot be written ({error.strerror})",
            remedy="give --log a file that can be written, or - for the standard error output",
        ) from error
    handler = LogHandler(stream)
    handler.setFormatter(JsonLines())
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    return handler


def close_log(handler: logging.Handler) -> None:
    """Log there no more."""
    LOGGER.removeHandler(handler)
    if isinstance(handler, LogHandler) and handler.stream is not sys.stderr:
        with contextlib.suppress(OSError):  # the disk is full
            handler.stream.close()


def _private(path: str, flags: int) -> int:
    """Log files name addresses and devices: nobody else reads them."""
    return os.open(path, flags, 0o600)
