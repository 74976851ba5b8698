"""Replay, snapshots and full queues, without sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from magtkd_rt import wire
from magtkd_rt.errors import ServerError
from magtkd_rt.server.hub import Hub, Limits, SubscriptionRefused
from magtkd_rt.server.subscription import Subscription

pytestmark = pytest.mark.anyio


async def drain(subscription: Subscription) -> list[Any]:
    """Everything that can be had without waiting."""
    messages: list[Any] = []
    while True:
        step = asyncio.ensure_future(subscription.next())
        await asyncio.sleep(0)
        if not step.done():
            step.cancel()
            return messages
        message = step.result()
        if message is None:
            return messages
        messages.append(wire.parse_message(message))


def seqs(messages: list[Any]) -> list[int]:
    return [message.seq for message in messages]


async def test_since_replays_what_came_after(script: Any) -> None:
    hub = Hub()
    events = [script.started(), *script.utterance("u1")]
    for event in events:
        hub.publish(event)
    assert await drain(hub.subscribe(since=0)) == events
    assert await drain(hub.subscribe("call-1", since=5)) == events[5:]
    assert await drain(hub.subscribe(since=len(events))) == []


async def test_replay_and_live_events_join_without_gap_or_repeat(script: Any) -> None:
    hub = Hub()
    for _ in range(5):
        hub.publish(script.status())
    subscription = hub.subscribe(since=2)
    first = wire.parse_message(await subscription.next() or b"")
    hub.publish(script.status())
    assert first.type == "status"
    assert [first.seq, *seqs(await drain(subscription))] == [3, 4, 5, 6]


async def test_without_since_the_state_comes_first_then_the_present(script: Any) -> None:
    hub = Hub()
    hub.open("call-1")
    early = hub.subscribe()
    started = script.started()
    finished = script.utterance("u1")
    open_one = [script.speech("u2"), script.words("u2"), script.emotion("u2", "provisional")]
    dropped = [script.speech("u3"), script.emotion("u3", "provisional"), script.dropped("u3")]
    events = [started, *finished, *open_one, *dropped, script.emotion("u1", "revised")]
    for event in events:
        hub.publish(event)
    empty, *rest = await drain(early)
    assert empty == wire.Snapshot(seq=0, session=None, open_utterances=[], recent=[])
    assert rest == events

    late = hub.subscribe()
    live = script.status()
    hub.publish(live)
    assert await drain(late) == [
        wire.Snapshot(
            seq=live.seq - 1,
            session=started,
            open_utterances=[open_one[0]],
            recent=[events[-1], open_one[2]],
        ),
        live,
    ]


async def test_since_older_than_the_ring_gets_a_snapshot(script: Any) -> None:
    hub = Hub(Limits(ring_events=10))
    for event in [script.started(), *script.utterance("u1"), *script.utterance("u2")]:
        hub.publish(event)
    assert seqs(await drain(hub.subscribe(since=5))) == list(range(6, 16))
    snapshot, *rest = await drain(hub.subscribe(since=4))
    assert (snapshot.type, snapshot.seq, rest) == ("snapshot", 15, [])
    assert [result.utterance_id for result in snapshot.recent] == ["u1", "u2"]


async def test_events_leave_the_ring_by_age_but_the_newest_stays(script: Any) -> None:
    now = [0.0]
    hub = Hub(clock=lambda: now[0])
    hub.publish(script.started())
    now[0] = 600.0
    hub.publish(script.status())
    assert seqs(await drain(hub.subscribe(since=0))) == [1, 2]
    now[0] = 5000.0
    hub.publish(script.status())
    assert [m.type for m in await drain(hub.subscribe(since=1))] == ["snapshot"]
    assert seqs(await drain(hub.subscribe(since=2))) == [3]


async def test_a_snapshot_of_an_ended_session_leaves_the_end_to_the_stream(script: Any) -> None:
    hub = Hub(Limits(ring_events=2))
    for event in [script.started(), *script.utterance("u1"), script.ended()]:
        hub.publish(event)
    for since in (None, 0):
        snapshot, end = await drain(hub.subscribe(since=since))
        assert (snapshot.type, end.type) == ("snapshot", "session.ended")
        assert snapshot.seq == end.seq - 1


async def test_snapshots_tell_only_recent_utterances(script: Any) -> None:
    hub = Hub(Limits(recent_utterances=3))
    for number in range(6):
        hub.publish(script.emotion(f"u{number}"))
    (snapshot,) = await drain(hub.subscribe())
    assert [result.utterance_id for result in snapshot.recent] == ["u3", "u4", "u5"]


async def test_provisional_results_give_way_and_finals_stay(script: Any) -> None:
    hub = Hub(Limits(queue_messages=8))
    hub.open("call-1")
    slow = hub.subscribe(since=0)
    finals = []
    for number in range(7):
        finals.append(script.speech(f"u{number}"))
        hub.publish(finals[-1])
    for _ in range(50):
        hub.publish(script.emotion("u0", "provisional"))
        hub.publish(script.words("u0"))
    assert not slow.overflowed
    finals.append(script.speech("u7"))
    hub.publish(finals[-1])  # takes the place of the last provisional one
    assert await drain(slow) == finals
    assert hub.counters == {"dropped_provisional": 100}


async def test_newer_provisional_results_replace_older_ones(script: Any) -> None:
    hub = Hub(Limits(queue_messages=4))
    hub.open("call-1")
    slow = hub.subscribe(since=0)
    for utterance in ("u1", "u2"):
        hub.publish(script.speech(utterance))
    for _ in range(10):
        hub.publish(script.emotion("u1", "provisional"))
        hub.publish(script.words("u2"))
    assert seqs(await drain(slow)) == [1, 2, 21, 22]


async def test_nothing_is_dropped_from_a_queue_that_is_not_full(script: Any) -> None:
    hub = Hub(Limits(queue_messages=100))
    hub.open("call-1")
    reader = hub.subscribe(since=0)
    events = [event for number in range(10) for event in script.utterance(f"u{number}")]
    for event in events:
        hub.publish(event)
    assert await drain(reader) == events
    assert not hub.counters


@pytest.mark.parametrize("limits", [Limits(queue_messages=4), Limits(queue_bytes=900)])
async def test_a_reader_that_misses_finals_overflows_alone(script: Any, limits: Limits) -> None:
    hub = Hub(limits)
    hub.open("call-1")
    slow, fast = hub.subscribe(since=0), hub.subscribe(since=0)
    interrupted: list[bool] = []
    slow.on_overflow = lambda: interrupted.append(True)
    received = []
    for _ in range(20):
        hub.publish(script.status())
        received += await drain(fast)
    assert seqs(received) == list(range(1, 21))
    assert (slow.overflowed, fast.overflowed, interrupted) == (True, False, [True])
    assert await slow.next() is None
    assert hub.counters == {"slow_readers": 1}


async def test_one_message_larger_than_the_bound_still_arrives(script: Any) -> None:
    hub = Hub(Limits(queue_bytes=100))
    hub.open("call-1")
    reader = hub.subscribe(since=0)
    hub.publish(script.status("long " * 100))
    assert seqs(await drain(reader)) == [1]


async def test_a_replay_slower_than_the_ring_overflows(script: Any) -> None:
    hub = Hub(Limits(ring_events=5))
    for _ in range(5):
        hub.publish(script.status())
    slow = hub.subscribe(since=0)
    for _ in range(5):
        hub.publish(script.status())
    assert await drain(slow) == []
    assert slow.overflowed
    assert hub.counters == {"slow_readers": 1}


@pytest.mark.parametrize("since", [-1, 2, 10**15])
async def test_since_that_never_was_is_refused(script: Any, since: int) -> None:
    hub = Hub()
    hub.publish(script.started())
    with pytest.raises(SubscriptionRefused, match=f"since={since} .* is at 1; ask for") as caught:
        hub.subscribe(since=since)
    assert caught.value.message.code == "bad_request"


async def test_sessions_are_kept_apart_and_the_last_is_current(script: Any) -> None:
    hub = Hub(Limits(sessions=2))
    with pytest.raises(SubscriptionRefused, match="no session has begun"):
        hub.subscribe()
    scripts = [script, *(type(script)(f"call-{number}") for number in (2, 3))]
    for each in scripts[:2]:
        hub.publish(each.started())
    with pytest.raises(ServerError, match="2 sessions are going on already"):
        hub.open("call-3")
    first, current = hub.subscribe("call-1", since=0), hub.subscribe(since=0)
    hub.publish(scripts[0].ended())
    assert [m.session_id for m in await drain(first)] == ["call-1", "call-1"]
    assert [m.session_id for m in await drain(current)] == ["call-2"]
    hub.publish(scripts[2].started())  # the ended one makes room
    with pytest.raises(SubscriptionRefused, match="no session 'call-1'; .* call-3"):
        hub.subscribe("call-1")
    assert hub.current == "call-3"


async def test_numbers_must_follow_each_other(script: Any) -> None:
    hub = Hub()
    hub.publish(script.started())
    script.status()
    with pytest.raises(ValueError, match="event 3 after 1"):
        hub.publish(script.status())
    script.seq = 1
    hub.publish(script.ended())
    with pytest.raises(ValueError, match="after its end"):
        hub.publish(script.status())
