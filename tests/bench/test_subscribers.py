"""The benches of subscribers, small: do they measure what they say, and would they notice?"""

from __future__ import annotations

import asyncio
import itertools
import json
from array import array
from typing import Any

import pytest
from websockets.asyncio.server import serve
from websockets.typing import Subprotocol

from magtkd_rt import wire
from magtkd_rt.bench import disconnections
from magtkd_rt.bench.disconnections import Cutter, measure_churn, measure_resuming, report_churn
from magtkd_rt.bench.emitter import SESSION, Emitter, events
from magtkd_rt.bench.emitting import emitting
from magtkd_rt.bench.readers import open_reader
from magtkd_rt.bench.subscribers import Arrivals, measure_subscribers, report
from magtkd_rt.clients import subscribe
from magtkd_rt.errors import ServerError
from magtkd_rt.server import Hub

pytestmark = pytest.mark.anyio


def test_the_session_is_as_talk_is() -> None:
    made = list(itertools.islice(events(), 100))
    sizes = [len(wire.dump_message(event)) for event in made[1:]]
    assert [event.seq for event in made] == list(range(1, 101))
    assert 500 < sum(sizes) / len(sizes) < 900
    finals = [e for e in made if isinstance(e, wire.Emotion) and e.stage == "final"]
    assert len(finals) == 11
    hub = Hub()
    for event in made:
        hub.publish(wire.parse_message(wire.dump_message(event)))  # type: ignore[arg-type]


async def test_an_emitter_keeps_its_rate() -> None:
    emitter = Emitter(Hub())
    begun = asyncio.get_running_loop().time()
    told = await emitter.obey("emit 50 20")
    assert 0.35 < asyncio.get_running_loop().time() - begun < 2
    assert (told["seq"], len(told["finals"])) == (20, 2)
    with pytest.raises(ValueError, match="unknown command"):
        await emitter.obey("emit")


async def test_everybody_gets_everything() -> None:
    told = report(await measure_subscribers(20, 50, 1, stalled=True))
    assert told["subscribers_with_every_event_in_order"] == 20
    assert told["finals"] in (5, 6)
    assert told["finals_delivered"] == 1.0
    assert 0 < told["delay_ms"]["p50"] <= told["delay_ms"]["most"] < 5000
    assert told["server_share_of_one_core"] > 0
    assert told["server_memory_mb"]["before"] > 10
    assert told["counters"] == {}


async def test_a_delay_and_a_gap_are_noticed() -> None:
    arrivals = Arrivals(1)
    take = arrivals.taker(0)
    for event in itertools.islice(events(), 3):
        if event.seq != 2:
            assert event.emitted_at is not None
            take(wire.dump_message(event).encode(), event.emitted_at.timestamp() + 0.25)
    assert arrivals.seqs[0] == array("q", [1, 3])
    assert list(arrivals.delays_ms) == pytest.approx([250, 250], abs=0.01)


async def test_clients_that_are_cut_off_miss_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disconnections, "_CUTS_PER_S", 20)
    told = await measure_resuming(20, clients=5)
    assert (told.cuts, told.complete, told.snapshots) == (20, 5, 0)
    assert told.events > 50


async def test_a_cut_is_a_cut() -> None:
    async with emitting(4, 100) as server:
        cutter = Cutter(*server.address)
        async with cutter as address:
            got = subscribe(address, session=SESSION, since=0, reconnect=False)
            assert isinstance(await anext(got), wire.SessionStarted)
            cutter.cut()
            with pytest.raises(ServerError, match="connection was lost"):
                await anext(got)
            assert cutter.cuts == 1
            cutter.cut()
            assert cutter.cuts == 1, "there is no connection left"


async def test_connections_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disconnections, "_WARM_UP", 30)
    monkeypatch.setattr(disconnections, "_SETTLE_S", 0.2)
    told = report_churn(await measure_churn(90))
    assert told["connections"] == 90
    memory = told["server_memory_mb"]
    assert memory["after"] == pytest.approx(memory["before"] * (1 + told["growth"]), rel=0.01)


async def test_a_refused_subscriber_is_told() -> None:
    async with emitting(0, 10) as server:
        with pytest.raises(ServerError, match="a subscriber was refused .503"):
            await open_reader(server.url(1), lambda _message, _now: None)


async def test_a_reader_answers_pings() -> None:
    async def ping(connection: Any) -> None:
        await asyncio.wait_for(await connection.ping(), 5)
        await connection.send("{}")
        await connection.wait_closed()

    came = asyncio.Event()
    async with serve(ping, "127.0.0.1", 0, subprotocols=[Subprotocol(wire.PROTOCOL)]) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        reader = await open_reader(f"ws://127.0.0.1:{port}/", lambda _message, _now: came.set())
        await asyncio.wait_for(came.wait(), 5)
        reader.leave()
        await asyncio.wait_for(reader.closed, 5)


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    from magtkd_rt.cli.bench_subscribers import run_bench_subscribers

    flags = {"rate": 20.0, "seconds": 1.0, "stalled": False, "reconnects": 2, "churn": 0}
    run_bench_subscribers(count=3, json=True, **flags)  # type: ignore[arg-type]
    told = json.loads(capsys.readouterr().out)
    assert told["subscribers"]["subscribers_with_every_event_in_order"] == 3
    assert told["resuming"]["disconnections"] == 2
    run_bench_subscribers(count=3, json=False, **flags)  # type: ignore[arg-type]
    shown = capsys.readouterr().out
    assert "final results delivered" in shown
    assert "50 of 50" in shown
