"""Who sends media gets a session: hello, sound and pictures, acknowledgements, events, end."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import numpy as np
import pytest
from live_sessions import finals
from senders import PICTURES, SOUND, Sender, Serving, jpeg, meaning, serving, speech
from sessions import sound_of
from websockets.asyncio.client import connect

from magtkd_rt import wire
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.errors import BundleError
from magtkd_rt.server import EventServer, Hub
from magtkd_rt.server.ingest import Hosted, IngestEndpoint, SenderLimits
from magtkd_rt.server.logs import JsonLines
from magtkd_rt.sources import MemorySource, Source

pytestmark = pytest.mark.anyio

PATTERN = ".##..#.##..."


async def test_sound_becomes_the_results_that_it_has_as_a_recording(serve: Serving) -> None:
    hello = wire.Hello(audio=wire.AudioFormat(sample_rate=16_000))
    alone = await serve.host.begin(MemorySource(sound_of(PATTERN, seconds=0.25)), hello)
    await alone.wait()
    sender = await Sender.dial(serve.url)
    ready = await sender.hello()
    await sender.talk(speech(PATTERN), at=77.0, block=0.03)
    assert await sender.end() == 1000
    assert len(meaning(serve.of(ready.session_id))) == 2
    assert meaning(serve.of(ready.session_id)) == meaning(serve.of(alone.session_id))
    ended = serve.of(ready.session_id)[-1]
    assert isinstance(ended, wire.SessionEnded) and ended.reason == "end of input"
    assert serve.hub.counters == {}


async def test_what_was_taken_is_acknowledged(serve: Serving) -> None:
    sender = await Sender.dial(serve.url)
    await sender.hello(video=PICTURES)
    await sender.talk(speech("##.."), at=100.0)
    await sender.picture(jpeg(), at=100.5)
    assert await sender.end() == 1000
    acks = {ack.kind: ack.t for ack in sender.messages if isinstance(ack, wire.Ack)}
    assert acks[1] == pytest.approx(100 + len(speech("##..")) / 16_000, abs=1e-4)
    assert acks[2] == pytest.approx(100.5)


async def test_events_come_over_the_same_connection(serve: Serving) -> None:
    sender = await Sender.dial(serve.url)
    ready = await sender.hello(subscribe=True)
    await sender.talk(speech(PATTERN))
    assert await sender.end() == 1000
    own = [message for message in sender.messages if not isinstance(message, wire.Ready | wire.Ack)]
    assert own == serve.of(ready.session_id)
    assert isinstance(own[-1], wire.SessionEnded)


async def test_others_may_watch_a_senders_session(serve: Serving) -> None:
    sender = await Sender.dial(serve.url)
    ready = await sender.hello()
    async with connect(f"{serve.server.url}?session={ready.session_id}&since=0") as watcher:
        await sender.talk(speech(PATTERN))
        await sender.end()
        seen = [wire.parse_message(message) async for message in watcher]
    assert seen == serve.of(ready.session_id)


async def test_pictures_are_seen_in_the_time_of_their_sound(serve: Serving) -> None:
    sender = await Sender.dial(serve.url)
    ready = await sender.hello(video=PICTURES)
    for n in range(10):  # all pictures first: the network may mix the two as it likes
        await sender.picture(jpeg(grey=n % 2 == 0), at=50 + n / 10)
    await sender.talk(speech(".##..."), at=50.0)
    assert await sender.end() == 1000
    (final,) = finals(serve.of(ready.session_id))
    assert final.modalities["video"].present and final.face is not None
    assert pictures_taken(serve.of(ready.session_id)) == 10


async def test_pictures_beyond_the_limit_are_left_out(serve: Serving) -> None:
    sender = await Sender.dial(serve.url)
    ready = await sender.hello(video=PICTURES)
    assert ready.limits.pictures_per_second == 10
    for n in range(50):
        await sender.picture(jpeg(), at=50 + n / 50)
    await sender.talk(speech("...."), at=50.0)
    await sender.end()
    assert pictures_taken(serve.of(ready.session_id)) == 10
    assert sender.errors == []


def pictures_taken(events: list[wire.Event]) -> int:
    """Those looked at, and those that gave way to later ones on a busy machine."""
    ended = events[-1]
    assert isinstance(ended, wire.SessionEnded)
    told = [event.dropped for event in events if isinstance(event, wire.Status) and event.dropped]
    return ended.totals["pictures_seen"] + (told[-1].get("pictures", 0) if told else 0)


async def test_channels_may_be_speakers(serve: Serving) -> None:
    sender = await Sender.dial(serve.url)
    ready = await sender.hello(audio=SOUND | {"channels": 2, "channels_are_speakers": True})
    both = np.stack([speech("##......"), speech("....##..")], axis=1)
    await sender.talk(both)
    await sender.end()
    assert [final.speaker for final in finals(serve.of(ready.session_id))] == ["S1", "S2"]


async def test_one_speaker_may_have_a_name(serve: Serving) -> None:
    sender = await Sender.dial(serve.url)
    ready = await sender.hello(speaker="Ann", audio={"sample_rate": 16_000})
    loud = (speech(PATTERN) * 32767).astype("<i2")
    await sender.connection.send(wire.MEDIA_HEADER.pack(1, 0) + loud.tobytes())
    await sender.end()
    assert {final.speaker for final in finals(serve.of(ready.session_id))} == {"Ann"}


async def test_a_pause_of_the_sender_is_silence(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = SenderLimits(patience_seconds=0.3)
    async with serving(tiny_bundle, monkeypatch, limits) as serve:
        sender = await Sender.dial(serve.url)
        ready = await sender.hello(subscribe=True)
        await sender.talk(speech(".##"))
        result = await sender.next_of(wire.Emotion)  # though nothing says that it is over
        assert result.end < 1.0
        await sender.talk(speech(".##..."), at=2.5)  # media goes on with the time that has passed
        await sender.end()
        assert len(finals(serve.of(ready.session_id))) == 2
        assert finals(serve.of(ready.session_id))[1].start == pytest.approx(2.75, abs=0.3)


async def test_shutting_down_gives_results_and_says_so(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tiny_bundle, monkeypatch) as serve:
        sender, silent = await Sender.dial(serve.url), await Sender.dial(serve.url)
        await sender.hello(subscribe=True)
        await sender.talk(speech(PATTERN))
        await sender.next_of(wire.Emotion, 2)
        await serve.endpoint.close("server is shutting down")
        assert await sender.closed() == 1001
        assert await silent.closed() == 1001
        ended = sender.messages[-1]
        assert isinstance(ended, wire.SessionEnded)
        assert ended.reason == "server is shutting down"
        late = await Sender.dial(serve.url)
        assert await late.closed() == 1001


async def test_more_sessions_than_the_host_runs_are_refused(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tiny_bundle, monkeypatch, most=1) as serve:
        first, second = await Sender.dial(serve.url), await Sender.dial(serve.url)
        await first.hello()
        await second.say(type="hello", audio=SOUND)
        assert await second.closed() == 1013
        assert [error.code for error in second.errors] == ["overload"]
        assert "1 conversations" in second.errors[0].message
        assert serve.hub.counters["ingest_overload"] == 1
        await first.talk(speech(PATTERN))
        assert await first.end() == 1000


async def test_senders_are_counted_for_whoever_asks(serve: Serving) -> None:
    sender = await Sender.dial(serve.url)
    assert serve.endpoint.describe() == {"senders": 0, "senders_lost": 0}
    await sender.hello()
    assert serve.endpoint.describe() == {"senders": 1, "senders_lost": 0}
    sender.cut()
    async with asyncio.timeout(5):
        while serve.endpoint.describe() != {"senders": 0, "senders_lost": 1}:
            await asyncio.sleep(0.01)


class NeverReady:
    """A host whose models do not load."""

    async def begin(self, source: Source, hello: wire.Hello) -> Hosted:
        await asyncio.Event().wait()
        raise AssertionError


async def test_shutting_down_does_not_wait_for_what_never_begins() -> None:
    hub = Hub()
    endpoint = IngestEndpoint(hub, NeverReady())
    async with EventServer(hub, port=0, ingest=endpoint) as server, endpoint:
        sender = await Sender.dial(server.url.replace("events", "ingest"))
        await sender.say(type="hello", audio=SOUND)
        await sender.connection.ping()
        await asyncio.sleep(0.05)
        begin = time.monotonic()
    assert time.monotonic() - begin < 5
    assert await sender.closed() == 1001


class Broken:
    """A host that cannot begin, for a reason that is not the sender's."""

    async def begin(self, source: Source, hello: wire.Hello) -> Hosted:
        raise BundleError("/secret/bundle is damaged", remedy="get it anew")


async def test_what_is_wrong_here_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    hub = Hub()
    endpoint = IngestEndpoint(hub, Broken())
    async with EventServer(hub, port=0, ingest=endpoint) as server, endpoint:
        sender = await Sender.dial(server.url.replace("events", "ingest"))
        await sender.say(type="hello", audio=SOUND)
        assert await sender.closed() == 1013
    assert [error.code for error in sender.errors] == ["overload"]
    assert "secret" not in sender.errors[0].message
    line, _ = logged(caplog)
    assert (line["level"], line["event"]) == ("error", "session_not_begun")
    assert "/secret/bundle is damaged" in line["reason"]


def logged(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(JsonLines().format(record)) for record in caplog.records]


class Failing:
    """A session that fails at once."""

    session_id = "call-9"

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def begin(self, source: Source, hello: wire.Hello) -> Hosted:
        return self

    def stop(self, reason: str) -> None:
        pass

    async def wait(self) -> None:
        raise self._error


@pytest.mark.parametrize(
    ("error", "field"),
    [(BundleError("it is damaged", remedy="get it anew"), "reason"), (ValueError("odd"), "error")],
)
async def test_a_session_that_fails_is_logged_under_its_id(
    caplog: pytest.LogCaptureFixture, error: Exception, field: str
) -> None:
    hub = Hub()
    endpoint = IngestEndpoint(hub, Failing(error))
    async with EventServer(hub, port=0, ingest=endpoint) as server, endpoint:
        sender = await Sender.dial(server.url.replace("events", "ingest"))
        await sender.say(type="hello", audio=SOUND)
        assert await sender.closed() == 1011
    (line,) = logged(caplog)
    assert (line["level"], line["event"]) == ("error", "session_failed")
    assert line["session_id"] == "call-9"
    assert str(error) in line[field]
