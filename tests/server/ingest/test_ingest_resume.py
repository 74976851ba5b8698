"""A sender that loses its connection comes back with its token, and nobody else does."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
from live_sessions import finals
from senders import PICTURES, SOUND, Sender, Serving, jpeg, meaning, serving, speech

from magtkd_rt import wire
from magtkd_rt.asr.base import TranscriberStream
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.server.ingest import SenderLimits

pytestmark = pytest.mark.anyio

PATTERN = ".##..####..##..."


def coming_back(ready: wire.Ready) -> dict[str, str]:
    return {"session_id": ready.session_id, "resume_token": ready.resume_token}


async def lost(serve: Serving, count: int) -> None:
    """Wait until so many connections are known to be lost."""
    async with asyncio.timeout(5):
        while serve.hub.counters["ingest_lost"] < count:
            await asyncio.sleep(0.005)


async def refused(serve: Serving, **fields: object) -> tuple[str, int | None]:
    """The code of the error and of the close that answer a hello."""
    sender = await Sender.dial(serve.url)
    await sender.say(type="hello", **({"audio": SOUND} | fields))
    code = await sender.closed()
    assert [type(message) for message in sender.messages] == [wire.Error]
    return sender.errors[0].code, code


async def test_nothing_is_lost_where_the_sender_sends_again(serve: Serving) -> None:
    sound = speech(PATTERN)
    whole = await Sender.dial(serve.url)
    expected = (await whole.hello()).session_id
    await whole.talk(sound)
    await whole.end()

    sender = await Sender.dial(serve.url)
    ready = first = await sender.hello()
    taken = 0.0
    for count, cut in enumerate((11_111, 20_000, 47_123), start=1):
        begin = max(0, round(taken * 16_000) - 3_000)  # a part of it is sent again, and heard once
        await sender.talk(sound[begin:cut], at=begin / 16_000)
        while taken < (cut - 5_000) / 16_000:
            await asyncio.sleep(0.01)
            taken = max((m.t for m in sender.messages if isinstance(m, wire.Ack)), default=0.0)
        sender.cut()
        await lost(serve, count)
        sender = await Sender.dial(serve.url)
        ready = await sender.hello(**coming_back(ready))
        assert ready.session_id == first.session_id
    begin = round(taken * 16_000)
    await sender.talk(sound[begin:], at=begin / 16_000)
    assert await sender.end() == 1000
    assert len(meaning(serve.of(expected))) == 3
    assert meaning(serve.of(first.session_id)) == meaning(serve.of(expected))
    assert serve.hub.counters == {"ingest_lost": 3, "ingest_resumed": 3}
    codes = [e.code for e in serve.of(first.session_id) if isinstance(e, wire.Status)]
    assert codes.count("sender_lost") == codes.count("sender_back") == 3


async def test_events_go_on_where_they_were(serve: Serving) -> None:
    sender = await Sender.dial(serve.url)
    ready = await sender.hello(subscribe=True)
    await sender.talk(speech(".##..."))
    await sender.next_of(wire.Emotion)
    sender.cut()
    await sender.closed()
    had = [one for one in sender.messages if not isinstance(one, wire.Ready | wire.Ack)]
    again = await Sender.dial(serve.url)
    await again.hello(**coming_back(ready), subscribe=True, since=had[-1].seq)
    await again.talk(speech(".##..."), at=1.5)
    assert await again.end() == 1000
    had += [one for one in again.messages if not isinstance(one, wire.Ready | wire.Ack)]
    assert had == serve.of(ready.session_id)


async def test_pictures_that_are_sent_again_are_seen_once(serve: Serving) -> None:
    sender = await Sender.dial(serve.url)
    ready = await sender.hello(audio=None, video=PICTURES)
    for n in range(5):
        await sender.picture(jpeg(), at=n / 5)
    await sender.next_of(wire.Ack)
    sender.cut()
    await lost(serve, 1)
    again = await Sender.dial(serve.url)
    await again.hello(**coming_back(ready), audio=None, video=PICTURES)
    for n in range(8):
        await again.picture(jpeg(), at=n / 5)
    assert await again.end() == 1000
    ended = serve.of(ready.session_id)[-1]
    assert isinstance(ended, wire.SessionEnded) and ended.totals["pictures_seen"] == 8
    assert again.errors == []


async def test_a_session_does_not_wait_for_ever(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = SenderLimits(ahead_seconds=60, patience_seconds=0.1, resume_seconds=0.8)
    async with serving(tiny_bundle, monkeypatch, limits) as serve:
        sender = await Sender.dial(serve.url)
        ready = await sender.hello()
        await sender.talk(speech(".##"))
        await sender.next_of(wire.Ack)
        sender.cut()
        async with asyncio.timeout(10):
            while not serve.events or serve.events[-1].type != "session.ended":
                await asyncio.sleep(0.01)
        ended = serve.events[-1]
        assert isinstance(ended, wire.SessionEnded) and ended.reason == "sender lost"
        assert len(finals(serve.of(ready.session_id))) == 1
        assert await refused(serve, **coming_back(ready)) == ("unauthorized", 1008)
        async with asyncio.timeout(10):
            while serve.host.sessions:
                await asyncio.sleep(0.01)
        assert await refused(serve, **coming_back(ready)) == ("unauthorized", 1008)


async def test_a_token_is_good_once(serve: Serving) -> None:
    sender = await Sender.dial(serve.url)
    first = await sender.hello()
    sender.cut()
    again = await Sender.dial(serve.url)
    second = await again.hello(**coming_back(first))
    assert second.resume_token != first.resume_token
    await again.talk(speech("#"))  # so it has got the new one
    await again.next_of(wire.Ack)
    assert await refused(serve, **coming_back(first)) == ("unauthorized", 1008)
    await again.talk(speech("#"), at=0.25)
    assert await again.end() == 1000


async def test_a_token_that_was_lost_on_its_way_costs_nothing(serve: Serving) -> None:
    sender = await Sender.dial(serve.url)
    first = await sender.hello()
    sender.cut()
    unheard = await Sender.dial(serve.url)
    await unheard.hello(**coming_back(first))
    unheard.cut()  # before it has sent anything
    again = await Sender.dial(serve.url)
    assert (await again.hello(**coming_back(first))).session_id == first.session_id


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"resume_token": "wrong"}, "unauthorized"),
        ({"resume_token": ""}, "unauthorized"),
        ({"resume_token": "ä"}, "unauthorized"),
        ({"resume_token": None}, "unauthorized"),
        ({"session_id": "nobody"}, "unknown_session"),
        ({"session_id": None}, "unauthorized"),
        ({"video": PICTURES}, "unsupported"),
        ({"audio": SOUND | {"channels": 2, "channels_are_speakers": True}}, "unsupported"),
        ({"subscribe": True, "since": 10**9}, "bad_request"),
    ],
)
async def test_who_is_not_the_sender_is_refused_and_the_sender_is_not(
    serve: Serving, change: dict[str, object], code: str
) -> None:
    sender = await Sender.dial(serve.url)
    ready = await sender.hello()
    await sender.talk(speech(".##"))
    closes = 1003 if code == "unsupported" else 1008
    assert await refused(serve, **(coming_back(ready) | change)) == (code, closes)
    assert serve.hub.counters == {f"ingest_{code}": 1}
    await sender.talk(speech("#..."), at=0.75)
    assert await sender.end() == 1000
    assert len(finals(serve.of(ready.session_id))) == 1


async def test_the_newer_of_two_connections_wins(serve: Serving) -> None:
    sender = await Sender.dial(serve.url)
    ready = await sender.hello()
    await sender.talk(speech(".#"))
    await sender.next_of(wire.Ack)
    newer = await Sender.dial(serve.url)
    await newer.hello(**coming_back(ready))
    assert await sender.closed() == 1008
    assert sender.connection.close_reason == "another connection has taken over"
    await newer.talk(speech("##..."), at=0.5)
    assert await newer.end() == 1000
    assert len(finals(serve.of(ready.session_id))) == 1
    assert serve.hub.counters == {"ingest_resumed": 1, "ingest_replaced": 1}


async def test_a_clock_that_begins_anew_is_told_of(serve: Serving) -> None:
    sender = await Sender.dial(serve.url)
    ready = await sender.hello()
    await sender.talk(speech(".##"), at=10_000.0)
    await sender.next_of(wire.Ack)
    sender.cut()
    await lost(serve, 1)
    again = await Sender.dial(serve.url)
    await again.hello(**coming_back(ready))
    await again.talk(speech(".##"), at=0.0)
    error = await again.next_of(wire.Error)
    assert error.code == "bad_frame" and "clock began anew" in error.message


async def test_another_rate_may_go_on(serve: Serving) -> None:
    sender = await Sender.dial(serve.url)
    ready = await sender.hello()
    await sender.talk(speech(".##..."))
    await sender.next_of(wire.Ack)
    sender.cut()
    await lost(serve, 1)
    again = await Sender.dial(serve.url)
    await again.hello(**coming_back(ready), audio=SOUND | {"sample_rate": 48_000})
    for n in range(4):  # loud at 48 kHz: 0.3 s
        loud = np.tile(speech("#", seconds=0.032), 9)[: 48 * 75].astype(np.float32)
        await again.sound(loud, at=2.0 + n * 0.075)
    assert await again.end() == 1000
    results = finals(serve.of(ready.session_id))
    assert len(results) == 2
    assert results[1].start == pytest.approx(2.0, abs=0.2)  # it reaches back a little


async def ended(serve: Serving, ready: wire.Ready) -> None:
    """Wait until the server knows that the sender has no more."""
    async with asyncio.timeout(5):
        while not serve.endpoint._sessions[ready.session_id].source.ended:
            await asyncio.sleep(0.001)


async def test_what_was_said_before_the_end_may_be_sent_again(
    serve: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    transcriber = serve.host._models.transcriber
    assert transcriber is not None
    go_on, open_stream = threading.Event(), transcriber.open

    def open_late(utterance_id: str) -> TranscriberStream:
        assert go_on.wait(10)
        return open_stream(utterance_id)

    monkeypatch.setattr(transcriber, "open", open_late)
    sender = await Sender.dial(serve.url)
    ready = await sender.hello()
    await sender.talk(speech(".##..."))
    await sender.say(type="end")
    await ended(serve, ready)
    sender.cut()
    again = await Sender.dial(serve.url)
    await again.hello(**coming_back(ready), subscribe=True)
    await again.talk(speech(".##..."))
    await again.say(type="end")
    await again.next_of(wire.Ack)
    go_on.set()
    assert await again.closed() == 1000
    assert again.errors == []
    had = [one for one in again.messages if not isinstance(one, wire.Ready | wire.Ack)]
    assert had == serve.of(ready.session_id)
    assert len(finals(had)) == 1
    assert serve.hub.counters == {"ingest_resumed": 1}, "nobody was waited for"
