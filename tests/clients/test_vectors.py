"""Both clients against a server that plays tests/vectors/protocol.json."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from both_clients import BOTH, JavaScriptClient, PythonClient, in_node
from played_server import PlayedServer

from magtkd_rt import wire
from magtkd_rt.clients import subscriber
from magtkd_rt.clients.outbox import Outbox
from magtkd_rt.clients.subscriber import events_url, retry_delay
from magtkd_rt.errors import ServerError

ROOT = Path(__file__).resolve().parents[2]
VECTORS: dict[str, Any] = json.loads((ROOT / "tests/vectors/protocol.json").read_text())
MESSAGES: dict[str, Any] = VECTORS["messages"]
Client = PythonClient | JavaScriptClient

pytestmark = pytest.mark.anyio


def cases(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", VECTORS[kind], ids=lambda case: case["name"])


def parsed(names: list[str]) -> list[Any]:
    return [wire.parse_message(json.dumps(MESSAGES[name])) for name in names]


def same_error(found: dict[str, str] | None, wanted: dict[str, str] | None) -> bool:
    """Whether all that is wanted of an error was told; Python's have no code."""
    if found is None or wanted is None:
        return found is wanted
    return all(found.get(name, text) == text for name, text in wanted.items())


@pytest.fixture
def _short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriber, "FIRST_DELAY", subscriber.FIRST_DELAY / 25)
    monkeypatch.setattr(subscriber, "LONGEST_DELAY", subscriber.LONGEST_DELAY / 25)


@BOTH
@cases("reading")
@pytest.mark.usefixtures("_short_delays")
async def test_reading(client: Client, case: dict[str, Any]) -> None:
    server = PlayedServer(MESSAGES, case["connections"])
    async with server.running():
        outcome = await client.read(server.url, case["options"])
    assert server.faults == []
    assert outcome.updates == parsed(case["yields"])
    assert same_error(outcome.error, case.get("error")), outcome.error


@BOTH
@cases("following")
@pytest.mark.usefixtures("_short_delays")
async def test_following(client: Client, case: dict[str, Any]) -> None:
    server = PlayedServer(MESSAGES, case["connections"])
    async with server.running():
        outcome = await client.follow(server.url, len(case["yields"]))
    assert server.faults == []
    assert outcome.updates == parsed(case["yields"])


@BOTH
@cases("sending")
@pytest.mark.usefixtures("_short_delays")
async def test_sending(client: Client, case: dict[str, Any]) -> None:
    server = PlayedServer(MESSAGES, case["connections"])
    async with server.running():
        outcome = await client.send(server.url, case["options"], case["do"])
    assert server.faults == []
    assert same_error(outcome.error, case.get("error")), outcome.error
    assert outcome.updates == parsed(case["events"])
    assert not any(outcome.dropped.values())
    for message in server.heard:
        _validator().validate(message)


def test_every_message_of_the_vectors_fits_the_schema() -> None:
    for message in MESSAGES.values():
        _validator().validate(message)
    for case in VECTORS["sending"]:
        for connection in case["connections"]:
            for step in connection["steps"]:
                if "receive" in step:
                    _validator().validate(step["receive"])


def test_the_vectors_know_every_message_of_the_schema() -> None:
    steps = [
        step["receive"]["type"]
        for case in VECTORS["sending"]
        for connection in case["connections"]
        for step in connection["steps"]
        if "receive" in step
    ]
    known = {message["type"] for message in MESSAGES.values()} | set(steps)
    assert known == _validator().schema["discriminator"]["mapping"].keys() - {"utterance.dropped"}


async def test_addresses_in_python() -> None:
    for given, wanted in VECTORS["addresses"]:
        try:
            assert events_url(given) == wanted
        except ServerError:
            assert wanted is None, given


async def test_addresses_in_javascript() -> None:
    lines = await in_node(job="addresses", given=[given for given, _ in VECTORS["addresses"]])
    assert [line["address"] for line in lines] == [wanted for _, wanted in VECTORS["addresses"]]


def test_delays_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    for case in VECTORS["delays"]:
        monkeypatch.setattr(random, "uniform", lambda _, high, at=case["random"]: at * high)
        assert retry_delay(case["failures"]) == pytest.approx(case["seconds"])


async def test_delays_in_javascript() -> None:
    lines = await in_node(job="delays", given=VECTORS["delays"])
    assert [line["delay"] for line in lines] == pytest.approx(
        [case["seconds"] for case in VECTORS["delays"]]
    )


@cases("outbox")
def test_outbox_in_python(case: dict[str, Any]) -> None:
    outbox = Outbox(case["limit"])
    added = 0
    for name, *rest in case["ops"]:
        match name:
            case "add":
                kind, until, size = rest
                outbox.add(kind, added, until, bytes(size - wire.MEDIA_HEADER.size))
                added += 1
            case "next":
                data = outbox.next()
                number = None if data is None else wire.MEDIA_HEADER.unpack_from(data)[1]
                assert number == rest[0]
            case "ack":
                outbox.ack(*rest)
            case "rewind":
                outbox.rewind()
    assert (outbox.unsent, outbox.dropped) == (case["unsent"], case["dropped"])


@cases("outbox")
async def test_outbox_in_javascript(case: dict[str, Any]) -> None:
    *given, last = await in_node(job="outbox", limit=case["limit"], ops=case["ops"])
    wanted = [rest[0] for name, *rest in case["ops"] if name == "next"]
    assert [line["next"] for line in given] == wanted
    assert last["left"] == {"unsent": case["unsent"], "dropped": case["dropped"]}


def _validator() -> jsonschema.Draft202012Validator:
    schema = json.loads((ROOT / "docs" / "schema.json").read_text())
    return jsonschema.Draft202012Validator(schema)
