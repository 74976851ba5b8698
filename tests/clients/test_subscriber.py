"""The Python subscriber against a real server, over connections that break."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import serve
from websockets.typing import Subprotocol

from magtkd_rt import wire
from magtkd_rt.clients import subscribe, subscriber
from magtkd_rt.clients.follow import follow
from magtkd_rt.clients.subscriber import events_url
from magtkd_rt.errors import ServerError
from magtkd_rt.server import EventServer, Hub, Limits
from magtkd_rt.server.limits import ConnectionLimits

PROTOCOL = Subprotocol(wire.PROTOCOL)

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriber, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(subscriber, "LONGEST_DELAY", 0.05)


async def collect(updates: AsyncGenerator[Any, None], into: list[Any]) -> list[Any]:
    async with asyncio.timeout(15), aclosing(updates):
        async for update in updates:
            into.append(update)  # noqa: PERF401  (others look into it meanwhile)
    return into


async def until(count: int, seen: list[Any]) -> None:
    async with asyncio.timeout(10):
        while len(seen) < count:
            await asyncio.sleep(0.005)


@asynccontextmanager
async def cutting_proxy(port: int, cut_after: list[int]) -> AsyncGenerator[int, None]:
    """A relay to a server that breaks each connection after so many bytes, until none are left."""
    left = list(cut_after)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        budget = left.pop(0) if left else None
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", port)

        async def upstream() -> None:
            while data := await reader.read(4096):
                server_writer.write(data)
            server_writer.close()

        task = asyncio.create_task(upstream())
        try:
            while data := await server_reader.read(4096):
                part = data if budget is None else data[:budget]
                writer.write(part)
                await writer.drain()
                if budget is not None:
                    budget -= len(part)
                    if budget == 0:
                        break
        finally:
            task.cancel()
            server_writer.transport.abort()
            writer.close()

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_events_arrive_typed_and_the_stream_ends_with_the_session(script: Any) -> None:
    hub = Hub()
    hub.open("call-1")
    async with EventServer(hub, port=0) as server:
        seen: list[Any] = []
        reading = asyncio.create_task(collect(subscribe(server.url, since=0), seen))
        events = [script.started(), *script.utterance("u1"), script.ended()]
        for event in events:
            hub.publish(event)
            await until(event.seq, seen)
        assert await reading == events
    assert isinstance(seen[-2], wire.Emotion)


@pytest.mark.parametrize("seed", range(5))
async def test_broken_connections_change_nothing(script: Any, seed: int) -> None:
    cuts = [random.Random(seed).randrange(1, 6000) for _ in range(8)]
    hub = Hub()
    events = [script.started()]
    hub.publish(events[0])
    async with (
        EventServer(hub, port=0) as server,
        # The first attempt must get through, later ones may break even within the handshake.
        cutting_proxy(server.port, [1000 + cuts[0], *cuts[1:]]) as port,
    ):
        seen: list[Any] = []
        retries: list[str] = []
        updates = subscribe(
            f"127.0.0.1:{port}", since=0, on_retry=lambda why, _: retries.append(why)
        )
        reading = asyncio.create_task(collect(updates, seen))
        for number in range(12):
            for event in script.utterance(f"u{number}"):
                events.append(event)
                hub.publish(event)
            await asyncio.sleep(0.002)
        events.append(script.ended())
        hub.publish(events[-1])
        assert await reading == events
        assert len(retries) == len(cuts)


@asynccontextmanager
async def playing(*scenes: list[Any]) -> AsyncGenerator[str, None]:
    """A server that plays one scene of messages to each connection, then closes it."""
    left = list(scenes)

    async def play(connection: Any) -> None:
        for message in left.pop(0):
            await connection.send(
                message if isinstance(message, str) else wire.dump_message(message)
            )

    async with serve(play, "127.0.0.1", 0, subprotocols=[PROTOCOL]) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_what_has_been_had_is_not_given_again(script: Any) -> None:
    first, second, third = script.started(), script.status(), script.ended()
    async with playing([first, second], [first, second, second, third]) as url:
        assert await collect(subscribe(url), []) == [first, second, third]


async def test_only_failures_in_a_row_count(script: Any) -> None:
    events = [script.started(), *(script.status() for _ in range(8)), script.ended()]
    async with playing(*([event] for event in events)) as url:
        assert await collect(subscribe(url, attempts=1), []) == events
    async with playing([events[0]], [], []) as url:
        with pytest.raises(ServerError, match="closed the connection before the session ended"):
            await collect(subscribe(url, attempts=1), [])


async def test_a_restarted_server_is_found_again(script: Any) -> None:
    hub = Hub()
    events = [script.started(), *script.utterance("u1"), script.ended()]
    async with EventServer(hub, port=0) as server:
        seen: list[Any] = []
        reading = asyncio.create_task(collect(subscribe(server.url, since=0), seen))
        for event in events[:4]:
            hub.publish(event)
        await until(4, seen)
    for event in events[4:6]:
        hub.publish(event)
    async with EventServer(hub, port=server.port):
        await until(6, seen)
        for event in events[6:]:
            hub.publish(event)
        assert await reading == events


async def test_what_was_missed_for_too_long_comes_as_a_snapshot(script: Any) -> None:
    hub = Hub(Limits(ring_events=3))
    hub.publish(script.started())
    async with EventServer(hub, port=0) as server:
        seen: list[Any] = []
        reading = asyncio.create_task(collect(subscribe(server.url, since=0), seen))
        await until(1, seen)
    for event in script.utterance("u1"):
        hub.publish(event)
    async with EventServer(hub, port=server.port):
        await until(2, seen)
        hub.publish(script.ended())
        await reading
    assert [update.type for update in seen] == ["session.started", "snapshot", "session.ended"]
    assert [update.seq for update in seen] == [1, 8, 9]


async def test_a_slow_consumer_comes_back_and_misses_no_final(script: Any) -> None:
    hub = Hub(Limits(queue_messages=4))
    hub.open("call-1")
    finals: list[Any] = []
    async with EventServer(hub, port=0) as server:
        updates = subscribe(server.url, since=0)
        hub.publish(script.started())
        first = await anext(updates)
        # Nothing is read meanwhile, until all buffers and the queue are full.
        while not hub.counters["slow_readers"]:
            finals.append(script.emotion(f"u{len(finals)}", text="words " * 1000))
            hub.publish(finals[-1])
            await asyncio.sleep(0)
        hub.publish(script.ended())
        rest = await collect(updates, [])
    assert first.type == "session.started"
    assert rest[:-1] == finals
    assert rest[-1].type == "session.ended"


async def test_without_reconnection_a_loss_is_told_with_the_place(script: Any) -> None:
    hub = Hub()
    hub.publish(script.started())
    async with EventServer(hub, port=0) as server:
        updates = subscribe(server.url, since=0, reconnect=False)
        await anext(updates)
    with pytest.raises(ServerError, match="subscribe again with since=1"):
        await anext(updates)


async def test_a_server_that_stays_away_is_given_up(script: Any) -> None:
    hub = Hub()
    hub.publish(script.started())
    retries: list[float] = []
    async with EventServer(hub, port=0) as server:
        updates = subscribe(
            server.url, since=0, attempts=3, on_retry=lambda _, delay: retries.append(delay)
        )
        await anext(updates)
    with pytest.raises(ServerError, match=r"no connection to .*; subscribe again with since=1"):
        await anext(updates)
    assert len(retries) == 3
    assert all(delay <= bound for delay, bound in zip(retries, (0.01, 0.02, 0.04), strict=True))


async def test_another_session_on_the_same_port_is_not_mistaken_for_this_one(script: Any) -> None:
    hub = Hub()
    hub.publish(script.started())
    async with EventServer(hub, port=0) as server:
        updates = subscribe(server.url, since=0)
        await anext(updates)
    other = Hub()
    later = type(script)("call-2")
    for event in [later.started(), *later.utterance("u1")]:
        other.publish(event)
    async with EventServer(other, port=server.port):
        with pytest.raises(ServerError, match="no session 'call-1'; .* current one, call-2"):
            await anext(updates)


async def test_a_server_without_a_session_yet_is_waited_for(script: Any) -> None:
    hub = Hub()
    events = [script.started(), script.ended()]
    async with EventServer(hub, port=0) as server:
        with pytest.raises(ServerError, match="no session has begun yet"):
            await anext(subscribe(server.url, since=0, reconnect=False))

        def begin(problem: str, _: float) -> None:
            assert "no session has begun yet" in problem
            for event in events:
                hub.publish(event)

        assert await collect(subscribe(server.url, since=0, on_retry=begin), []) == events


async def test_no_server_is_one_line_with_the_remedy() -> None:
    async with EventServer(Hub(), port=0) as server:
        pass
    with pytest.raises(ServerError, match="no server answers at .*; start one with magtkd-live"):
        await anext(subscribe(server.url))


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"session": "nobody"}, "no session 'nobody'; leave session out"),
        ({"since": 7}, "since=7 is not a seq of this session, which is at 1; ask for"),
    ],
)
async def test_a_refused_request_is_told(script: Any, query: dict[str, Any], says: str) -> None:
    hub = Hub()
    hub.publish(script.started())
    async with EventServer(hub, port=0) as server:
        with pytest.raises(ServerError, match=says):
            await anext(subscribe(server.url, **query))


async def test_refused_handshakes_are_told(script: Any) -> None:
    hub = Hub()
    hub.publish(script.started())
    async with EventServer(hub, port=0, limits=ConnectionLimits(subscribers=0)) as server:
        with pytest.raises(ServerError, match="503 too many subscribers; try again later"):
            await anext(subscribe(server.url))
        with pytest.raises(ServerError, match="404 nothing here.*; use the path of ws://"):
            await anext(subscribe(f"ws://127.0.0.1:{server.port}/elsewhere"))


async def test_a_stranger_on_the_port_is_told() -> None:
    async def talk(connection: Any) -> None:
        await connection.send("hello")

    async with serve(talk, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        with pytest.raises(ServerError, match=re.escape("does not speak magtkd.v1")):
            await anext(subscribe(f"127.0.0.1:{port}"))
    async with playing(["hello"]) as url:
        with pytest.raises(ServerError, match=re.escape("sent what is not magtkd.v1")):
            await anext(subscribe(url))


async def test_events_of_a_later_version_are_passed_over(script: Any) -> None:
    known = script.ended()
    async with playing(['{"type":"weather","seq":1,"sun":true}', known]) as url:
        assert await collect(subscribe(url), []) == [known]


async def test_follow_goes_from_session_to_session(script: Any) -> None:
    hub = Hub()
    seen: list[Any] = []
    async with EventServer(hub, port=0) as server:
        for event in (first := [script.started(), script.ended()]):
            hub.publish(event)
        reading = asyncio.create_task(collect(follow(server.url, wait=0.01), seen))
        await until(2, seen)
        await asyncio.sleep(0.05)  # meets the ended session again, which tells nothing new
    later = Hub()
    second = type(script)("call-2")
    async with EventServer(later, port=server.port):
        for event in (more := [second.started(), second.status(), second.ended()]):
            later.publish(event)
        await until(5, seen)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    assert seen == [*first, *more]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("127.0.0.1:9", "ws://127.0.0.1:9/v1/events"),
        ("http://localhost:9/", "ws://localhost:9/v1/events"),
        ("https://host/proxy/events", "wss://host/proxy/events"),
        ("ws://[::1]:9/v1/events", "ws://[::1]:9/v1/events"),
    ],
)
def test_addresses(given: str, wanted: str) -> None:
    assert events_url(given) == wanted
    assert events_url(given, "a b", 3) == f"{wanted}?session=a+b&since=3"


def test_the_query_of_an_address_is_kept_unless_told_otherwise() -> None:
    given = "ws://h:9/v1/events?key=x&since=4"
    assert events_url(given) == given
    assert events_url(given, since=7) == "ws://h:9/v1/events?key=x&since=7"


@pytest.mark.parametrize("given", ["", "ftp://x", "ws://", "ws://h:99999", "ws://[::1", "ws://h:x"])
async def test_bad_addresses_are_told(given: str) -> None:
    with pytest.raises(ServerError, match="is no address of a server; give one like ws://"):
        await anext(subscribe(given))


def test_delays_are_random_up_to_a_bound_that_grows() -> None:
    for failures, bound in ((1, 0.01), (2, 0.02), (3, 0.04), (9, 0.05), (1000, 0.05)):
        delays = [subscriber.retry_delay(failures) for _ in range(200)]
        assert bound * 0.8 < max(delays) <= bound
        assert min(delays) < bound * 0.2
