"""A server whose session is made up, in a process of its own: events at a rate that is asked for.

`python -m magtkd_rt.bench.emitter --max-subscribers N --ring-events N` says where it serves and
then does what the lines on its standard input say, one after the other:

    emit RATE COUNT    so many events, so many a second; 0 is as fast as it can
    settle             give back what memory is not in use
    end                end the session

Each line is answered by one line of JSON when it is done.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from magtkd_rt import wire
from magtkd_rt.bench.served import READY
from magtkd_rt.config import ServerConfig
from magtkd_rt.labels import LABELS
from magtkd_rt.server import Hub
from magtkd_rt.server.build import hub_from, make_room, server_from
from magtkd_rt.server.memory import collect_often

SESSION: Final = "bench"
_SAID: Final = "so we went down to the harbour and nobody had told them that the boat was gone"
_BURST: Final = 50
"""Events without a break where they come as fast as they can."""


def events() -> Iterator[wire.Event]:
    """Yield a session without end, as talk is: nine events an utterance, sizes as in real ones."""
    numbers = itertools.count(1)

    def common() -> dict[str, Any]:
        seq = next(numbers)
        return {"seq": seq, "session_id": SESSION, "t": seq / 10, "emitted_at": datetime.now(UTC)}

    yield wire.SessionStarted(
        **common(),
        labels=list(LABELS),
        bundle=wire.BundleInfo(name="none", sha256="0" * 64, licence="none"),
        asr=wire.AsrInfo(name="none"),
        engine="none",
        sources=wire.SourceInfo(audio=None, video=None),
        notice="A made-up session; nobody is heard.",
    )
    words = _SAID.split()
    for number in itertools.count(1):
        name = f"u{number}"
        yield wire.SpeechStarted(**common(), utterance_id=name)
        for revision, heard in enumerate((4, 8, 12)):
            yield _transcript(common(), name, revision, words[:heard], final=False)
            yield _emotion(common(), name, revision, words[:heard], "provisional")
        yield _transcript(common(), name, 3, words, final=True)
        yield _emotion(common(), name, 3, words, "final")


def _transcript(
    common: dict[str, Any], name: str, revision: int, words: list[str], *, final: bool
) -> wire.Transcript:
    timed = [
        wire.WireWord(text=word, start=round(at * 0.3, 3), end=round(at * 0.3 + 0.25, 3),
                      confidence=0.876543)
        for at, word in enumerate(words)
    ]  # fmt: skip
    return wire.Transcript(
        **common, utterance_id=name, revision=revision, final=final, text=" ".join(words),
        words=timed if final else None, language="en", confidence=0.812345, speaker="S1",
        speaker_confidence=0.9, start=0.352, end=4.8,
    )  # fmt: skip


def _emotion(
    common: dict[str, Any], name: str, revision: int, words: list[str], stage: str
) -> wire.Emotion:
    shares = (0.713362, 0.172324, 0.039559, 0.038299, 0.008213, 0.014709, 0.013534)
    present = wire.Modality(present=True, contribution=0.127019)
    return wire.Emotion.model_validate(
        {
            **common,
            "utterance_id": name, "revision": revision, "stage": stage, "label": "neutral",
            "confidence": shares[0], "abstained": False,
            "probabilities": dict(zip(LABELS, shares, strict=True)),
            "modalities": {"text": present, "audio": present, "video": present},
            "speaker": "S1", "speaker_confidence": 0.9, "start": 0.352, "end": 4.8,
            "text": " ".join(words),
            "latency": wire.Latency(endpoint_ms=384.0, asr_ms=190.192, encode_ms=356.928,
                                    fusion_ms=7.72, total_ms=906.482),
            "face": wire.Face(box=(0.2437, 0.25, 0.5687, 0.5687), confidence=1.0, seen=1.0),
        }
    )  # fmt: skip


class Emitter:
    """Publishes the made-up session as it is told to.

    Args:
        hub: where to.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._events = events()
        self._seq = 0

    async def obey(self, line: str) -> dict[str, Any]:
        """Do what a line says; returns what is answered.

        Raises:
            ValueError: it says nothing that can be done.
        """
        match line.split():
            case ["emit", rate, count]:
                return await self._emit(float(rate), int(count))
            case ["settle"]:
                gc.collect()
            case ["end"]:
                self._publish(
                    wire.SessionEnded(
                        seq=self._seq + 1, session_id=SESSION, t=0.0, reason="done", totals={}
                    )
                )
            case _:
                raise ValueError(f"unknown command {line!r}")
        return self._state()

    async def _emit(self, rate: float, count: int) -> dict[str, Any]:
        """Publish so many events; each is made when it is due, so that its stamp is true."""
        loop = asyncio.get_running_loop()
        begun, finals = loop.time(), []
        for number in range(count):
            if rate:
                await asyncio.sleep(begun + number / rate - loop.time())
            elif number % _BURST == 0:
                await asyncio.sleep(0)
            event = next(self._events)
            self._publish(event)
            if isinstance(event, wire.Emotion) and event.stage == "final":
                finals.append(event.seq)
        return self._state() | {"finals": finals}

    def _publish(self, event: wire.Event) -> None:
        self._hub.publish(event)
        self._seq = event.seq

    def _state(self) -> dict[str, Any]:
        return {"seq": self._seq, "counters": dict(self._hub.counters)}


async def run(max_subscribers: int, ring_events: int) -> None:
    """Serve until the standard input ends."""
    config = ServerConfig(port=0, max_subscribers=max_subscribers, ring_events=ring_events)
    make_room(config)
    collect_often()
    hub = hub_from(config)
    emitter = Emitter(hub)
    await emitter.obey("emit 0 1")
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    async with server_from(config, hub) as server:
        print(f"{READY}{server.url}", file=sys.stderr, flush=True)
        while line := await lines.readline():
            answer = await emitter.obey(line.decode())
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--max-subscribers", type=int, required=True)
    parser.add_argument("--ring-events", type=int, required=True)
    given = parser.parse_args()
    asyncio.run(run(given.max_subscribers, given.ring_events))
