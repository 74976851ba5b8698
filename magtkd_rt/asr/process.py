"""A transcriber in a process of its own, for one that holds the interpreter's lock while it works.

pocketsphinx decodes for up to a second at a time without letting other threads of its process run:
sound and pictures were heard and seen late, and some were lost. Here it holds nobody up.

    PocketsphinxProcess --Requests on its stdin---> serve.py: PocketsphinxTranscriber
                        <--Replies on its stdout---
"""

from __future__ import annotations

import contextlib
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from importlib.util import find_spec
from typing import IO, Final, Literal, cast

from magtkd_rt.asr.base import TranscriberStream
from magtkd_rt.core.jobs import Transcribed
from magtkd_rt.core.media import AudioChunk
from magtkd_rt.errors import EngineError, ExtraMissing

Verb = Literal["open", "feed", "pause", "guess", "finish", "close"]
Fed = tuple[AudioChunk, AudioChunk | None]
Request = tuple[Verb, int, Fed | str | None]
"""What to do, with which stream, and the sound (with what is ahead) or a name; pickled."""
Reply = tuple[Transcribed | None, str]
"""What came of it, and what went wrong, empty if nothing did; pickled."""

_END_WITHIN_S: Final = 2.0
_BROKEN: Final = (OSError, EOFError, ValueError, pickle.UnpicklingError)
"""What reading from and writing to a process that has ended raises."""


class PocketsphinxProcess:
    """pocketsphinx behind a pipe; one that died is started anew with the next utterance.

    Raises:
        ExtraMissing: pocketsphinx is not installed.
        EngineError: it cannot be started.
    """

    name = "pocketsphinx"
    guesses_while_speaking = False

    def __init__(self) -> None:
        if find_spec("pocketsphinx") is None:
            raise ExtraMissing("pocketsphinx", "live")
        self._lock = threading.Lock()
        self._opened = 0
        self._closed = False
        self._process = _started()

    def open(self, utterance_id: str) -> TranscriberStream:
        """Begin an utterance."""
        with self._lock:
            self._opened += 1
            number = self._opened
            if self._process.returncode is not None and not self._closed:
                self._process = _started()
            process = self._process
        self._ask(process, ("open", number, utterance_id))
        return _RemoteStream(lambda verb, fed: self._ask(process, (verb, number, fed)))

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def close(self) -> None:
        """End the process. What is still at work fails."""
        self._closed = True
        _end(self._process, _END_WITHIN_S)

    def _ask(self, process: subprocess.Popen[bytes], request: Request) -> Transcribed | None:
        with self._lock:
            try:
                pickle.dump(request, _pipe(process.stdin), pickle.HIGHEST_PROTOCOL)
                _pipe(process.stdin).flush()
                return _answer(process)
            except _BROKEN as error:
                _end(process, within_s=0)
                raise _failure("has ended") from error


class _RemoteStream:
    """One utterance of a `PocketsphinxProcess`."""

    def __init__(self, ask: Callable[[Verb, Fed | None], Transcribed | None]) -> None:
        self._ask = ask
        self._open = True

    def feed(self, sound: AudioChunk, ahead: AudioChunk | None = None) -> Transcribed | None:
        return self._ask("feed", (sound, ahead))

    def pause(self) -> Transcribed | None:
        return self._ask("pause", None)

    def guess(self) -> Transcribed | None:
        return self._ask("guess", None)

    def finish(self) -> Transcribed:
        self._open = False
        return cast("Transcribed", self._ask("finish", None))

    def close(self) -> None:
        if self._open:
            self._open = False
            with contextlib.suppress(EngineError):  # nothing is left to be closed
                self._ask("close", None)


def _started() -> subprocess.Popen[bytes]:
    """A process that has loaded pocketsphinx."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "magtkd_rt.asr.serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the session, which lets the last utterance finish
    )
    try:
        _answer(process)
    except _BROKEN as error:
        _end(process, within_s=0)
        raise _failure("could not start") from error
    return process


def _answer(process: subprocess.Popen[bytes]) -> Transcribed | None:
    reply: Reply = pickle.load(_pipe(process.stdout))
    value, problem = reply
    if problem:
        raise _failure(f"failed ({problem})")
    return value


def _end(process: subprocess.Popen[bytes], within_s: float) -> None:
    """Let the process end by itself, or else end it; nothing of it is left."""
    with contextlib.suppress(OSError):
        _pipe(process.stdin).close()
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _pipe(process.stdout).close()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def _failure(what: str) -> EngineError:
    return EngineError(
        f"the process of pocketsphinx {what}",
        remedy="reinstall pocketsphinx, or take --asr whisper or --asr none",
    )
