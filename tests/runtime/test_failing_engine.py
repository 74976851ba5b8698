"""A compiled graph that fails while somebody speaks: told of, and the session goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from live_sessions import Repeats, finals
from numpy.typing import NDArray
from sessions import LoudIsSpeech, sound_of

from magtkd_rt import wire
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.engines.batching import BatchingEngine
from magtkd_rt.engines.fake import FakeEngine
from magtkd_rt.engines.mixed import MixedEngine
from magtkd_rt.errors import EngineError
from magtkd_rt.runtime.assembly import Detectors
from magtkd_rt.runtime.host import SessionHost
from magtkd_rt.runtime.models import Models
from magtkd_rt.runtime.recogniser import Recogniser
from magtkd_rt.sources import MemorySource

pytestmark = pytest.mark.anyio


def no_memory(inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    raise EngineError("the GPU has too little memory", remedy="none")


async def test_it_is_told_of_once_and_every_utterance_gets_its_result(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Detectors, "open", lambda _: Detectors(LoudIsSpeech(), None))
    mixed = MixedEngine(FakeEngine(tiny_bundle), {"audio": no_memory}, "inductor+onnx")
    mixed.troubles.append("video by inductor: it is damaged")  # told of at the start
    recogniser = Recogniser(tiny_bundle, BatchingEngine(mixed))
    models = Models(recogniser, "fake", Repeats(), "repeats", mixed.troubles)
    events: list[wire.Event] = []
    host = SessionHost(models, events.append, drafts=False)
    source = MemorySource(list(sound_of(".##..#.##..", seconds=0.25)))
    hello = wire.Hello(audio=wire.AudioFormat(sample_rate=16_000))
    await (await host.begin(source, hello)).wait()
    told = [e.message for e in events if isinstance(e, wire.Status) and e.level == "warning"]
    assert told == [
        "video by inductor: it is damaged",
        "the graph 'audio' failed and runs on fake now: the GPU has too little memory",
    ]
    assert len(finals(events)) == 2
