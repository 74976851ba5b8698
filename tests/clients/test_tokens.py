"""Both clients against a server that asks for tokens."""

from __future__ import annotations

from typing import Any

import pytest
from both_clients import BOTH, JavaScriptClient, PythonClient
from listening_host import serving

from magtkd_rt.server.gate import Access
from magtkd_rt.server.tokens import Tokens, parse_token

pytestmark = pytest.mark.anyio

OBSERVER, SENDER = "observer.secret.1", "sender-secret_2~+"
ACCESS = Access(
    tokens=Tokens([parse_token(f"observe:{OBSERVER}"), parse_token(f"publish:{SENDER}")])
)
SOUND: dict[str, Any] = {"audio": {"sample_rate": 16_000}}
ACTIONS = [{"sound": {"int16": [0, 1, 2, 3] * 100}, "at": 1_000_000}]
Client = PythonClient | JavaScriptClient


@BOTH
async def test_each_may_do_what_its_token_says(client: Client) -> None:
    async with serving(access=ACCESS) as (server, host, _):
        options = {**SOUND, "token": SENDER, "subscribe": True}
        sent = await client.send(server.url, options, ACTIONS)
        assert host.session is not None
        assert (sent.error, sent.updates) == (None, host.session.events)
        read = await client.read(server.url, {"since": 0, "token": OBSERVER})
        assert (read.error, read.updates) == (None, host.session.events)


@BOTH
@pytest.mark.parametrize("token", [None, "another-secret-of-16"])
async def test_without_the_right_token_nothing_is_told(client: Client, token: str | None) -> None:
    options = {} if token is None else {"token": token}
    async with serving(access=ACCESS) as (server, host, counters):
        read = await client.read(server.url, {"since": 0, **options})
        sent = await client.send(server.url, {**SOUND, **options}, ACTIONS)
    for outcome in (read, sent):
        assert outcome.error is not None
        assert "token" in outcome.error["remedy"]
        assert outcome.updates == []
    assert host.session is None
    assert sum(counters.values()) == 2
