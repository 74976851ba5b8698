"""The other end of `magtkd_rt.asr.process`: pocketsphinx served on stdin and stdout."""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
from typing import IO

from magtkd_rt.asr.base import Transcriber, TranscriberStream
from magtkd_rt.asr.pocketsphinx import PocketsphinxTranscriber
from magtkd_rt.asr.process import Reply, Request
from magtkd_rt.core.jobs import Transcribed
from magtkd_rt.core.media import AudioChunk


def serve(transcriber: Transcriber, requests: IO[bytes], replies: IO[bytes]) -> None:
    """Say that it is ready; do what is asked, until `requests` end."""
    streams: dict[int, TranscriberStream] = {}

    def reply(value: Transcribed | None, problem: str = "") -> None:
        answer: Reply = (value, problem)
        pickle.dump(answer, replies, pickle.HIGHEST_PROTOCOL)
        replies.flush()

    reply(None)
    while True:
        try:
            request: Request = pickle.load(requests)
        except EOFError:
            return
        try:
            reply(_done(transcriber, streams, request))
        except Exception as error:  # a decoder may raise anything
            reply(None, str(error) or type(error).__name__)


def _done(
    transcriber: Transcriber, streams: dict[int, TranscriberStream], request: Request
) -> Transcribed | None:
    match request:
        case ("open", number, str(utterance_id)):
            streams[number] = transcriber.open(utterance_id)
        case ("feed", number, (AudioChunk() as sound, AudioChunk() | None as ahead)):
            return streams[number].feed(sound, ahead)
        case ("pause", number, None):
            return streams[number].pause()
        case ("guess", number, None):
            return streams[number].guess()
        case ("finish", number, None):
            return streams.pop(number).finish()
        case ("close", number, None):
            streams.pop(number).close()
        case _:
            raise ValueError(f"nobody knows how to {request[0]}")
    return None


if __name__ == "__main__":
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not come between the replies
    with contextlib.suppress(BrokenPipeError):  # nobody waits for the answer any more
        serve(PocketsphinxTranscriber(), sys.stdin.buffer, replies)
