"""What Prometheus is told."""

from __future__ import annotations

import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from magtkd_rt.server import EventServer, Hub
from magtkd_rt.server.metrics import MAX_REASONS, Metrics


def values(text: str) -> dict[str, float]:
    """Every sample by its name and labels, read by the official parser."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sample.labels.items())
            found[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


def test_events_utterances_and_sessions_are_counted(script: Any) -> None:
    hub = Hub()
    metrics = Metrics(hub)
    hub.watchers.append(metrics.observe)
    for event in [script.started(), *script.utterance("u1"), script.dropped("u2")]:
        hub.publish(event)
    found = values(metrics.text().decode())
    assert found["magtkd_sessions_running"] == found["magtkd_sessions_begun_total"] == 1
    assert found["magtkd_events_total{type=transcript}"] == 3
    assert found["magtkd_events_total{type=session.ended}"] == 0
    assert found["magtkd_utterances_total{outcome=emotion}"] == 1
    assert found["magtkd_utterances_total{outcome=too_short}"] == 1
    hub.publish(script.ended())
    found = values(metrics.text().decode())
    assert found["magtkd_sessions_running"] == 0
    assert found["magtkd_sessions_ended_total{reason=end of input}"] == 1


def test_latency_is_of_finals_only_and_by_part(script: Any) -> None:
    metrics = Metrics(Hub())
    for stage in ("provisional", "final", "revised"):
        metrics.observe(script.emotion("u1", stage))
    found = values(metrics.text().decode())
    parts = {"endpoint": 0.5, "asr": 0.08, "encode": 0.02, "fusion": 0.002, "total": 0.61}
    for part, seconds in parts.items():
        assert found[f"magtkd_latency_seconds_count{{part={part}}}"] == 1
        assert found[f"magtkd_latency_seconds_sum{{part={part}}}"] == pytest.approx(seconds)
    assert found["magtkd_latency_seconds_bucket{le=0.5,part=total}"] == 0
    assert found["magtkd_latency_seconds_bucket{le=0.75,part=total}"] == 1


def test_drops_queues_and_state_are_asked_when_it_is_scraped(script: Any) -> None:
    hub = Hub()
    state: dict[str, object] = {}
    metrics = Metrics(hub, lambda: state)
    hub.publish(script.started())
    hub.subscribe(since=1), hub.subscribe(since=1)
    hub.publish(script.status())
    hub.counters["refused_token"] += 3
    state |= {"lag_ms": 1500.0, "pending": 2, "senders": 3, "dropped": {"pictures": 7}}
    state |= {"batches": {"speaker": {1: 6, 3: 2, 70: 1}, "fusion": {}}}
    found = values(metrics.text().decode())
    assert found["magtkd_subscribers"] == found["magtkd_subscriber_queue_messages"] == 2
    assert found["magtkd_subscriber_queue_longest"] == 1
    assert found["magtkd_drops_total{reason=refused_token}"] == 3
    assert found["magtkd_lag_seconds"] == 1.5
    assert found["magtkd_utterances_pending"] == 2
    assert found["magtkd_senders"] == 3 and "magtkd_senders_lost" not in found
    assert found["magtkd_media_dropped{kind=pictures}"] == 7
    assert found["process_resident_memory_bytes"] > 1 << 20
    callers = {key: value for key, value in found.items() if "callers" in key and "speaker" in key}
    by_bound = (found[f"magtkd_batch_callers_bucket{{graph=speaker,le={n}}}"] for n in (2, 4, 64))
    assert list(by_bound) == [6, 8, 8]
    assert callers["magtkd_batch_callers_count{graph=speaker}"] == 9
    assert callers["magtkd_batch_callers_sum{graph=speaker}"] == 82
    assert found["magtkd_batch_callers_count{graph=fusion}"] == 0


def test_the_number_of_time_series_is_bounded(script: Any) -> None:
    metrics = Metrics(Hub())
    for number in range(3 * MAX_REASONS):
        ended = type(script)(f"call-{number}").ended()
        metrics.observe(ended.model_copy(update={"reason": f"because of {number}"}))
    found = [n for n in values(metrics.text().decode()) if n.startswith("magtkd_sessions_ended_t")]
    assert len(found) == MAX_REASONS + 1
    assert "call-" not in metrics.text().decode()


def test_two_servers_in_one_process_do_not_share_anything(script: Any) -> None:
    one, other = Metrics(Hub()), Metrics(Hub())
    one.observe(script.started())
    assert values(other.text().decode())["magtkd_sessions_begun_total"] == 0


@pytest.mark.anyio
async def test_the_server_tells_them(script: Any, get: Any) -> None:
    hub = Hub()
    async with EventServer(hub, port=0, health=lambda: {"lag_ms": 20}) as server:
        hub.publish(script.started())
        status, headers, body = await get(server.port, "/metrics")
    assert status == 200
    assert re.match(r"text/plain; version=0\.0\.4; charset=utf-8", headers["content-type"])
    found = values(body)
    assert found["magtkd_sessions_running"] == 1
    assert found["magtkd_lag_seconds"] == 0.02
