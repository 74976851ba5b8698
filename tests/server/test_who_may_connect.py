"""Tokens, roles and limits as those who connect meet them: real sockets."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus
from websockets.typing import Subprotocol

from magtkd_rt import wire
from magtkd_rt.clients import subscribe
from magtkd_rt.errors import InputError, ServerError
from magtkd_rt.server import EventServer, Hub
from magtkd_rt.server.access import rules
from magtkd_rt.server.gate import GUESSES, Access
from magtkd_rt.server.limits import ConnectionLimits
from magtkd_rt.server.tokens import Token, Tokens, parse_token

pytestmark = pytest.mark.anyio

LOOK, SEND = "look-" * 6, "send-" * 6
TOKENS = Tokens([parse_token(f"observe:{LOOK}"), parse_token(f"publish:{SEND}")])
ACCESS = Access(tokens=TOKENS)
PROTOCOL = Subprotocol(wire.PROTOCOL)


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def status_of(url: str, secret: str | None = None, **more: Any) -> int:
    """With which status a websocket is refused; 101 where it is not."""
    headers = {} if secret is None else bearer(secret)
    try:
        async with connect(url, additional_headers=headers, **more):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


async def take_all(connection: ServerConnection) -> None:
    """An endpoint for senders that takes whatever comes."""
    async for _ in connection:
        pass


async def test_roles_open_their_own_paths(script: Any) -> None:
    hub = Hub()
    hub.publish(script.started())
    async with EventServer(hub, port=0, access=ACCESS, ingest=take_all) as server:
        ingest = server.url.replace("events", "ingest")
        for url, look, send in ((server.url, 101, 403), (ingest, 403, 101)):
            assert await status_of(url) == 401
            assert await status_of(url, "wrong" * 4) == 401
            assert await status_of(url, LOOK) == look
            assert await status_of(url, SEND) == send
    assert hub.counters == {"refused_token": 6}


async def test_a_browser_shows_its_token_as_a_subprotocol(script: Any) -> None:
    hub = Hub()
    hub.publish(script.started())
    async with EventServer(hub, port=0, access=ACCESS) as server:
        offered = [PROTOCOL, Subprotocol(LOOK)]
        async with connect(f"{server.url}?since=0", subprotocols=offered) as browser:
            assert browser.subprotocol == PROTOCOL
            assert LOOK not in str(browser.response)
            assert wire.parse_message(await browser.recv()).type == "session.started"
        for wrong in ([PROTOCOL], [PROTOCOL, Subprotocol(SEND)], [Subprotocol(LOOK)]):
            assert await status_of(server.url, subprotocols=wrong) in (400, 401, 403)


async def test_plain_paths_with_tokens(script: Any, get: Any) -> None:
    hub = Hub()
    hub.publish(script.started())
    async with EventServer(hub, port=0, access=ACCESS) as server:
        port = server.port
        bare = {"status": "ready", "protocol": "magtkd.v1", "ingest": False}
        assert json.loads((await get(port, "/health"))[2]) == bare
        assert json.loads((await get(port, "/health", **bearer(SEND)))[2]) == bare
        assert json.loads((await get(port, "/health", **bearer(LOOK)))[2])["session"] == "call-1"
        status, headers, _ = await get(port, "/health", **bearer("wrong" * 4))
        assert (status, headers["www-authenticate"]) == (401, 'Bearer realm="magtkd"')
        found = {
            secret: (await get(port, "/metrics", **bearer(secret)))[0] for secret in (LOOK, SEND)
        }
        assert found == {LOOK: 200, SEND: 403}
        assert (await get(port, "/metrics"))[0] == 401
        for path in ("/schema.json", "/"):
            assert (await get(port, path))[0] == 200


async def test_guessing_is_slowed_down(get: Any) -> None:
    hub = Hub()
    access = Access(rules(any_address=True), TOKENS)
    async with EventServer(hub, port=0, access=access) as server:
        tried = [
            await get(server.port, "/metrics", **bearer(f"{n:020}")) for n in range(GUESSES + 3)
        ]
    assert [status for status, _, _ in tried] == [401] * GUESSES + [429] * 3
    assert 0 < int(tried[-1][1]["retry-after"]) <= 10
    assert hub.counters == {"refused_token": GUESSES + 3}


async def test_a_token_that_expires_ends_its_connection(script: Any) -> None:
    token = parse_token(LOOK)
    soon = Token(token.digest, token.roles, expires=time.time() + 0.5)
    hub = Hub()
    hub.publish(script.started())
    async with EventServer(hub, port=0, access=Access(tokens=Tokens([soon]))) as server:
        events = subscribe(server.url, since=0, token=LOOK)
        assert (await anext(events)).type == "session.started"
        with pytest.raises(ServerError, match="expired"):
            await anext(events)
        assert await status_of(server.url, LOOK) == 401
        assert hub.describe()["subscribers"] == 0
    assert hub.counters == {"expired_tokens": 1, "refused_token": 1}


async def test_other_machines_need_a_token(script: Any, get: Any) -> None:
    with pytest.raises(ServerError, match="--token-file FILE, or use --host 127.0.0.1"):
        EventServer(Hub(), "0.0.0.0", 0)
    hub = Hub()
    hub.publish(script.started())
    access = Access(rules(any_address=True), TOKENS)
    async with EventServer(hub, "0.0.0.0", 0, access=access) as server:
        assert await status_of(server.url) == 401
        assert await status_of(server.url, LOOK) == 101
        status, _, _ = await get(server.port, "/health", Host=f"192.0.2.1:{server.port}")
        assert status == 200
        assert (await get(server.port, "/health", Host="evil.example"))[0] == 403


async def test_python_clients_are_told_what_to_do(script: Any) -> None:
    async with EventServer(Hub(), port=0, access=ACCESS) as server:
        with pytest.raises(ServerError, match="401 .* --token-file FILE, MAGTKD_TOKEN"):
            await anext(subscribe(server.url))
        with pytest.raises(ServerError, match="403 this token may publish, not observe"):
            await anext(subscribe(server.url, token=SEND))


async def test_connections_of_one_address_are_bounded(script: Any) -> None:
    hub = Hub()
    hub.publish(script.started())
    limits = ConnectionLimits(per_address=2)
    async with EventServer(hub, port=0, limits=limits) as server:
        async with connect(server.url), connect(server.url):
            with pytest.raises((InvalidMessage, ConnectionError)):
                await connect(server.url)
            # Another address of this machine is another address.
            url = server.url
            async with connect(url, local_addr=("127.0.0.2", 0)) as other:
                assert wire.parse_message(await other.recv()).type == "snapshot"
        async with connect(server.url) as again:
            assert wire.parse_message(await again.recv()).type == "snapshot"
    assert hub.counters == {"refused_address": 1}


@pytest.mark.parametrize(("size", "code"), [(100, None), (101, 1009)])
async def test_the_size_of_messages_is_bounded(script: Any, size: int, code: int | None) -> None:
    hub = Hub()
    hub.publish(script.started())
    limits = ConnectionLimits(message_bytes=100)
    async with EventServer(hub, port=0, limits=limits) as server, connect(server.url) as talker:
        await talker.recv()
        await talker.send("x" * size)
        if code is None:
            assert wire.parse_message(await talker.recv()).type == "error"
        else:
            with pytest.raises(ConnectionClosed):
                await talker.recv()
            assert talker.close_code == code


async def count_pongs(connection: ClientConnection) -> int:
    """Pings that are answered until the connection is cut off."""
    pongs = 0
    try:
        while True:
            await (await connection.ping(b"x" * 100))
            pongs += 1
    except ConnectionClosed:
        return pongs


async def test_a_subscriber_that_sends_without_end_is_cut_off(script: Any) -> None:
    hub = Hub()
    hub.publish(script.started())
    limits = ConnectionLimits(bytes_per_second=1024, burst_bytes=4096)
    async with EventServer(hub, port=0, limits=limits) as server:
        async with connect(server.url, ping_interval=None) as chatty:
            began = asyncio.get_running_loop().time()
            pongs = await count_pongs(chatty)
            seconds = asyncio.get_running_loop().time() - began
        # 106 bytes each; the handshake was part of the burst.
        assert 25 <= pongs <= (4096 + 1024 * seconds) / 106
        async with connect(server.url) as other:
            assert wire.parse_message(await other.recv()).type == "snapshot"
    assert hub.counters == {"flooded": 1}


async def test_those_who_send_media_may_send_more(script: Any) -> None:
    hub = Hub()
    limits = ConnectionLimits(bytes_per_second=1024, burst_bytes=4096)
    async with (
        EventServer(hub, port=0, limits=limits, ingest=take_all) as server,
        connect(server.url.replace("events", "ingest")) as sender,
    ):
        for _ in range(100):
            await sender.send(b"x" * 10_000)
        await (await sender.ping())
    assert not hub.counters


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    from magtkd_rt.config import LiveConfig, load_config

    assert LOOK not in repr(LiveConfig(token=(LOOK,)))
    assert LOOK not in repr(TOKENS.find(LOOK))
    with pytest.raises(InputError) as caught:
        load_config(LiveConfig, None, {"token": LOOK})
    assert LOOK not in str(caught.value)
