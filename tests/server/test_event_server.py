"""The server as subscribers meet it: real sockets."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from magtkd_rt import wire
from magtkd_rt.errors import ServerError
from magtkd_rt.server import EventServer, Hub, Limits
from magtkd_rt.server import connection as connection_module
from magtkd_rt.server.access import rules
from magtkd_rt.server.gate import Access
from magtkd_rt.server.limits import ConnectionLimits

PROTOCOL = Subprotocol(wire.PROTOCOL)

pytestmark = pytest.mark.anyio


async def read_all(connection: ClientConnection) -> tuple[list[Any], int | None]:
    """Every message until the close, and its code."""
    messages = []
    try:
        async with asyncio.timeout(10):
            while True:
                messages.append(wire.parse_message(await connection.recv()))
    except ConnectionClosed:
        return messages, connection.close_code


def stalling(url: str) -> Any:
    """A connection whose reader takes next to nothing unless asked."""
    host, port = url.removeprefix("ws://").split("/")[0].split(":")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect((host, int(port)))
    sock.setblocking(False)
    return connect(url, sock=sock, max_queue=1, ping_interval=None, compression=None)


async def test_a_late_subscriber_gets_everything_and_the_end(script: Any) -> None:
    hub = Hub()
    async with EventServer(hub, port=0) as server:
        events = [script.started(), *script.utterance("u1")]
        for event in events:
            hub.publish(event)
        async with connect(f"{server.url}?since=0", subprotocols=[PROTOCOL]) as late:
            assert late.subprotocol == PROTOCOL
            assert [wire.parse_message(await late.recv()) for _ in events] == events
            hub.publish(script.ended())
            messages, code = await read_all(late)
        assert [m.type for m in messages] == ["session.ended"]
        assert code == 1000
        async with connect(f"{server.url}?since=0&session=call-1") as later:
            messages, code = await read_all(later)
        assert [m.seq for m in messages] == list(range(1, len(events) + 2))
        assert code == 1000


async def test_a_subscriber_before_the_first_event_misses_nothing(script: Any) -> None:
    hub = Hub()
    hub.open("call-1")
    async with EventServer(hub, port=0) as server, connect(server.url) as early:
        assert early.subprotocol is None
        assert wire.parse_message(await early.recv()).type == "snapshot"
        event = script.started()
        hub.publish(event)
        assert wire.parse_message(await early.recv()) == event


async def test_two_hundred_subscribers_get_the_same(script: Any) -> None:
    hub = Hub()
    hub.open("call-1")
    async with EventServer(hub, port=0) as server:
        connections = await asyncio.gather(
            *(connect(f"{server.url}?since=0", compression=None) for _ in range(200))
        )
        reading = [asyncio.create_task(read_all(connection)) for connection in connections]
        events = [script.started()]
        hub.publish(events[0])
        for number in range(5):
            for event in script.utterance(f"u{number}"):
                events.append(event)
                hub.publish(event)
            await asyncio.sleep(0)
        events.append(script.ended())
        hub.publish(events[-1])
        for messages, code in await asyncio.gather(*reading):
            assert messages == events
            assert code == 1000
    assert not hub.counters


async def test_a_slow_reader_is_sent_away_and_may_come_back(script: Any) -> None:
    hub = Hub(Limits(queue_messages=16))
    hub.open("call-1")
    async with (
        EventServer(hub, port=0) as server,
        connect(f"{server.url}?since=0") as fast,
        stalling(f"{server.url}?since=0") as slow,
    ):
        published = 0
        while not hub.counters["slow_readers"]:
            hub.publish(script.emotion(f"u{published}", text="words " * 300))
            published += 1
            assert wire.parse_message(await fast.recv()).seq == published  # type: ignore[union-attr]
            assert published < 5000
        # 16 wait in the queue; the rest, some 2.5 kB each, in the sockets of both sides.
        assert published < 16 + 150
        messages, code = await read_all(slow)
        assert code == 1013
        seen = [message.seq for message in messages]
        assert seen == list(range(1, len(seen) + 1))
        async with connect(f"{server.url}?since={len(seen)}") as back:
            hub.publish(script.ended())
            rest, _ = await read_all(back)
        assert [message.seq for message in rest] == list(range(len(seen) + 1, published + 2))
    assert hub.counters == {"slow_readers": 1}


async def test_a_slow_reader_still_gets_every_final(script: Any) -> None:
    hub = Hub(Limits(queue_messages=16))
    hub.open("call-1")
    async with EventServer(hub, port=0) as server, stalling(f"{server.url}?since=0") as slow:
        finals = []
        while hub.counters["dropped_provisional"] < 200:
            hub.publish(script.emotion("u0", "provisional", text="words " * 300))
            await asyncio.sleep(0)
        for number in range(10):
            finals.append(script.emotion(f"u{number}"))
            hub.publish(finals[-1])
        hub.publish(script.ended())
        messages, code = await read_all(slow)
        assert code == 1000
        assert [m for m in messages if m.type == "emotion" and m.stage == "final"] == finals
        assert messages[-1].type == "session.ended"
        assert len(messages) < script.seq


async def test_a_reader_that_never_reads_again_is_let_go(
    script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "CLOSE_SECONDS", 0.2)
    hub = Hub(Limits(queue_messages=4))
    hub.open("call-1")
    async with EventServer(hub, port=0) as server:
        deaf = await stalling(f"{server.url}?since=0")
        while not hub.counters["slow_readers"]:
            hub.publish(script.emotion("u1", text="words " * 300))
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            while hub.describe()["subscribers"]:
                await asyncio.sleep(0.01)
        deaf.transport.abort()
    assert hub.counters == {"slow_readers": 1, "cut_off": 1}


async def test_leaving_in_mid_session_delivers_what_is_queued(script: Any) -> None:
    hub = Hub()
    hub.open("call-1")
    loop = asyncio.get_running_loop()
    async with EventServer(hub, port=0) as server:
        live = await connect(f"{server.url}?since=0")
        reading = asyncio.create_task(read_all(live))
        # Somebody who connects and never asks for anything is not waited for.
        silent = socket.create_connection(("127.0.0.1", server.port))
        await asyncio.sleep(0.05)
        for number in range(100):
            hub.publish(script.emotion(f"u{number}"))
        left = loop.time()
    assert loop.time() - left < 1
    messages, code = await reading
    assert (len(messages), code) == (100, 1001)
    assert not hub.counters
    silent.close()


async def test_leaving_delivers_what_is_queued_and_does_not_wait_for_the_deaf(
    script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "CLOSE_SECONDS", 0.5)
    hub = Hub(Limits(queue_messages=1000))
    hub.open("call-1")
    loop = asyncio.get_running_loop()
    async with EventServer(hub, port=0) as server:
        live = await connect(f"{server.url}?since=0")
        deaf = await stalling(f"{server.url}?since=0")
        reading = asyncio.create_task(read_all(live))
        for number in range(100):
            hub.publish(script.emotion(f"u{number}", text="words " * 300))
        hub.publish(script.ended())
        left = loop.time()
    assert loop.time() - left < 2
    messages, code = await reading
    assert len(messages) == 101
    assert messages[-1].type == "session.ended"
    assert code == 1001
    assert hub.counters["cut_off_at_shutdown"] + hub.counters["cut_off"] == 1
    deaf.transport.abort()
    with pytest.raises(OSError, match="refused|failed"):
        await connect(server.url)


@pytest.mark.parametrize(
    ("query", "code", "says"),
    [
        ("session=nobody", "unknown_session", "there is no session 'nobody'; .* call-1"),
        ("session=", "unknown_session", "there is no session ''"),
        ("session=" + "x" * 5000, "unknown_session", "there is no session 'x{64}'"),
        ("session=%00%ff%22", "unknown_session", "there is no session"),
        ("since=2", "bad_request", "since=2 is not a seq of this session, which is at 1"),
        ("since=-1", "bad_request", "since='-1' is not a number; give the seq"),
        ("since=", "bad_request", "since='' is not a number"),
        ("since=1.5", "bad_request", "is not a number"),
        ("since=%D9%A1", "bad_request", "is not a number"),
        ("since=+1", "bad_request", "is not a number"),
        ("since=" + "9" * 4000, "bad_request", "is not a number"),
        ("since=0&since=1", "bad_request", "since is given more than once"),
        ("&".join("since=0" for _ in range(50)), "bad_request", "too many parameters"),
    ],
)
async def test_nonsense_gets_an_error_and_a_close(
    script: Any, query: str, code: str, says: str
) -> None:
    hub = Hub()
    hub.publish(script.started())
    async with EventServer(hub, port=0) as server, connect(f"{server.url}?{query}") as connection:
        (error,), closed = await read_all(connection)
    assert (error.type, error.code, closed) == ("error", code, 1008)
    assert re.search(says, error.message)
    assert hub.counters == {"bad_requests": 1}


async def test_before_any_session_a_subscriber_is_told_so() -> None:
    async with EventServer(Hub(), port=0) as server, connect(server.url) as connection:
        (error,), closed = await read_all(connection)
    assert (error.code, closed) == ("unknown_session", 1008)


@pytest.mark.parametrize(
    ("headers", "subprotocols", "status", "counter"),
    [
        ({"Origin": "http://evil.example"}, None, 403, "refused_origin"),
        ({"Origin": "null"}, None, 403, "refused_origin"),
        ({}, ["magtkd.v2"], 400, "refused_subprotocol"),
    ],
)
async def test_strangers_are_refused(
    script: Any, headers: dict[str, str], subprotocols: Any, status: int, counter: str
) -> None:
    hub = Hub()
    hub.publish(script.started())
    async with EventServer(hub, port=0) as server:
        attempt = connect(server.url, subprotocols=subprotocols, additional_headers=headers)
        with pytest.raises(InvalidStatus) as caught:
            await attempt
    assert caught.value.response.status_code == status
    assert caught.value.response.body.count(b"\n") == 1
    assert hub.counters == {counter: 1}


async def test_a_name_that_was_made_to_point_here_is_refused(script: Any) -> None:
    hub = Hub()
    hub.publish(script.started())
    async with EventServer(hub, port=0) as server:
        url = f"ws://evil.example:{server.port}/v1/events"
        with pytest.raises(InvalidStatus) as caught:
            await connect(url, host="127.0.0.1", port=server.port, proxy=None)
    assert caught.value.response.status_code == 403
    assert hub.counters == {"refused_host": 1}


async def test_own_page_and_allowed_origins_connect(script: Any) -> None:
    hub = Hub()
    hub.publish(script.started())
    async with EventServer(hub, port=0, access=Access(rules(["https://view.example"]))) as server:
        for origin in (f"http://localhost:{server.port}", "https://view.example"):
            url = f"{server.url}?since=0"
            async with connect(url, origin=Origin(origin)) as connection:
                assert wire.parse_message(await connection.recv()).type == "session.started"


async def test_a_full_server_says_so_and_stays_healthy(script: Any, health: Any) -> None:
    hub = Hub()
    hub.publish(script.started())
    async with EventServer(hub, port=0, limits=ConnectionLimits(subscribers=2)) as server:
        async with connect(server.url), connect(server.url):
            with pytest.raises(InvalidStatus) as caught:
                await connect(server.url)
            assert caught.value.response.status_code == 503
            assert (await health(server.port))["subscribers"] == 2
        async with connect(server.url) as again:
            assert wire.parse_message(await again.recv()).type == "snapshot"
    assert hub.counters == {"refused_full": 1}


async def test_health_tells_sessions_and_counters(script: Any, get: Any, health: Any) -> None:
    hub = Hub()
    extra: dict[str, object] = {"status": "starting", "lag_ms": 12}
    async with EventServer(hub, port=0, health=lambda: extra) as server:
        status, headers, body = await get(server.port, "/health?verbose")
        assert (status, json.loads(body)["status"]) == (503, "starting")
        assert headers["content-type"].startswith("application/json")
        del extra["status"]
        assert await health(server.port) == {
            "status": "ready",
            "reasons": [],
            "protocol": "magtkd.v1",
            "ingest": False,
            "session": None,
            "seq": 0,
            "subscribers": 0,
            "sessions": {},
            "counters": {},
            "lag_ms": 12,
        }
        hub.publish(script.started())
        async with connect(server.url) as connection:
            await connection.recv()
            assert (await health(server.port))["sessions"] == {
                "call-1": {"seq": 1, "ended": False, "subscribers": 1}
            }
        hub.publish(script.dropped("u1").model_copy(update={"reason": "overload"}))
        status, _, body = await get(server.port, "/health")
        found = json.loads(body)
        assert (status, found["status"], found["reasons"]) == (200, "degraded", ["overload"])


async def test_plain_requests(get: Any) -> None:
    async with EventServer(Hub(), port=0) as server:
        status, _, body = await get(server.port, "/schema.json")
        assert (status, json.loads(body)) == (200, wire.json_schema())
        status, _, body = await get(server.port, "/asyncapi.json")
        assert (status, json.loads(body)["asyncapi"]) == (200, "3.0.0")
        for path in ("/nowhere", "/v1/ingest", "//evil.example/health", "/health/../x"):
            status, _, body = await get(server.port, path)
            assert (status, body.count("\n")) == (404, 1)
        assert (await get(server.port, "/health", method="POST"))[0] == 405
        assert (await get(server.port, "/v1/events"))[0] == 426
        assert (await get(server.port, "/health", Host="evil.example"))[0] == 403
        assert (await get(server.port, "/health", Origin="http://evil.example"))[0] == 403


async def test_a_port_in_use_is_named_with_the_remedy() -> None:
    async with EventServer(Hub(), port=0) as server:
        with pytest.raises(ServerError, match=rf"port {server.port} is .* in use; .*--port N"):
            await EventServer(Hub(), port=server.port).__aenter__()


async def test_an_address_that_is_not_here_is_refused() -> None:
    with pytest.raises(ServerError, match="--host 127.0.0.1"):
        EventServer(Hub(), host="192.0.2.1")
    async with EventServer(Hub(), host="localhost", port=0) as server:
        assert server.url == f"ws://127.0.0.1:{server.port}/v1/events"


@pytest.mark.parametrize("size", [300, 1000, 70_000])
async def test_messages_of_any_size_come_whole(script: Any, size: int) -> None:
    """Frames have heads of three kinds; the small one is that of errors and of short events."""
    hub = Hub()
    async with EventServer(hub, port=0) as server:
        events = [script.started(), script.speech("u1"), script.status("x" * size), script.ended()]
        hub.publish(events[0])
        async with connect(f"{server.url}?since=0") as reader:
            for event in events[1:]:
                hub.publish(event)
            assert await read_all(reader) == (events, 1000)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
async def test_a_text_is_framed_as_the_library_does(size: int) -> None:
    sent = b"x" * size

    async def send(peer: Any) -> None:
        assert connection_module.write_text(peer, sent)
        await peer.send(sent, text=True)
        await peer.close()
        assert not connection_module.write_text(peer, sent), "it is closed"

    async with serve(send, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}") as reader:
            assert [message async for message in reader] == [sent.decode()] * 2
