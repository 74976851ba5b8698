"""`/metrics`: counts, gauges and histograms for Prometheus, by its own client library."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector
from prometheus_client import Counter as Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector

from magtkd_rt import wire
from magtkd_rt.server.hub import Hub

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4

LATENCY_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Upper bounds of the histograms' buckets."""
BATCHES: Final = (1, 2, 4, 8, 16, 32, 64)
"""Upper bounds of the buckets of how many conversations shared a run."""
MAX_REASONS: Final = 20
"""Reasons of sessions' ends that are told apart, so that no client can make up more."""

_PARTS: Final = ("endpoint", "asr", "encode", "fusion", "total")


class Metrics:
    """What Prometheus is told. Fed by events (`observe`) and by what is asked when it is scraped.

    Nothing carries a session's id, so there are as many time series after a year as after a day.

    Args:
        hub: whose subscribers, queues and counters are told.
        describe: further state, asked when it is scraped: of it `lag_ms`, `pending`, `senders`,
            `senders_lost`, `dropped` and `batches` are told where they are there.
    """

    def __init__(self, hub: Hub, describe: Callable[[], Mapping[str, object]] = dict) -> None:
        self._registry = CollectorRegistry()
        self._running: set[str] = set()
        self._reasons: set[str] = set()
        registry = self._registry
        self._begun = Metric("magtkd_sessions_begun", "Sessions that began.", registry=registry)
        self._ended = Metric(
            "magtkd_sessions_ended",
            "Sessions that ended, by reason.",
            ["reason"],
            registry=registry,
        )
        events = Metric("magtkd_events", "Events by type.", ["type"], registry=registry)
        self._events = {name: events.labels(name) for name in _event_types()}
        outcomes = Metric(
            "magtkd_utterances",
            "Utterances by outcome: emotion, or why they were dropped.",
            ["outcome"],
            registry=registry,
        )
        self._outcome = outcomes.labels
        latency = Histogram(
            "magtkd_latency_seconds",
            "Of final emotions: total from the last sound to the hand-over, and its parts.",
            ["part"],
            buckets=LATENCY_SECONDS,
            registry=registry,
        )
        self._latency = {part: latency.labels(part) for part in _PARTS}
        registry.register(_Present(hub, self._running, describe))
        ProcessCollector(registry=registry)

    def observe(self, event: wire.Event) -> None:
        """Count an event of any session."""
        self._events[event.type].inc()
        match event:
            case wire.SessionStarted():
                self._begun.inc()
                self._running.add(event.session_id)
            case wire.Emotion(stage="final"):
                self._outcome("emotion").inc()
                for part, histogram in self._latency.items():
                    histogram.observe(getattr(event.latency, f"{part}_ms") / 1000)
            case wire.UtteranceDropped(reason=reason):
                self._outcome(reason).inc()
            case wire.SessionEnded(reason=reason):
                self._running.discard(event.session_id)
                self._ended.labels(self._known(reason)).inc()
            case _:
                pass

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self._registry)

    def _known(self, reason: str) -> str:
        if len(self._reasons) < MAX_REASONS:
            self._reasons.add(reason)
        return reason if reason in self._reasons else "other"


Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


class _Present(Collector):
    """What is so at the moment of the scrape."""

    def __init__(
        self, hub: Hub, running: set[str], describe: Callable[[], Mapping[str, object]]
    ) -> None:
        self._hub = hub
        self._running = running
        self._describe = describe

    def collect(self) -> Iterator[Family]:
        yield _gauge("sessions_running", "Sessions that go on.", len(self._running))
        depths = self._hub.queue_depths()
        yield _gauge("subscribers", "Subscribers that are connected.", len(depths))
        yield _gauge(
            "subscriber_queue_longest", "Messages in the longest queue.", max(depths, default=0)
        )
        yield _gauge("subscriber_queue_messages", "Messages in all queues.", sum(depths))
        drops = CounterMetricFamily(
            "magtkd_drops", "What was dropped, refused or cut off, by name.", labels=["reason"]
        )
        for name, count in self._hub.counters.items():
            drops.add_metric([name], count)
        yield drops
        state = self._describe()
        for key, name, what, scale in (
            ("lag_ms", "lag_seconds", "How far the session that is furthest behind is late.", 1e-3),
            ("pending", "utterances_pending", "Utterances that wait for their result.", 1.0),
            ("senders", "senders", "Connections that send media.", 1.0),
            ("senders_lost", "senders_lost", "Sessions that wait for their sender.", 1.0),
        ):
            value = state.get(key)
            if isinstance(value, int | float):
                yield _gauge(name, what, value * scale)
        yield _media_dropped(state.get("dropped"))
        yield _batches(state.get("batches"))

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Nothing: so that nobody asks for the values when this is registered."""
        yield from ()


def _media_dropped(dropped: object) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        "magtkd_media_dropped",
        "Sound and pictures that the sessions that go on have lost, by kind.",
        labels=["kind"],
    )
    for kind, count in Counter(dropped if isinstance(dropped, Mapping) else {}).items():
        family.add_metric([str(kind)], count)
    return family


def _batches(batches: object) -> HistogramMetricFamily:
    family = HistogramMetricFamily(
        "magtkd_batch_callers",
        "Conversations that shared a run, by graph.",
        labels=["graph"],
    )
    for graph, runs in (batches if isinstance(batches, Mapping) else {}).items():
        buckets = [
            (str(bound), float(sum(n for callers, n in runs.items() if callers <= bound)))
            for bound in BATCHES
        ]
        buckets.append(("+Inf", float(sum(runs.values()))))
        callers = sum(callers * n for callers, n in runs.items())
        family.add_metric([str(graph)], buckets, sum_value=callers)
    return family


def _gauge(name: str, what: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"magtkd_{name}", what, value=value)


def _event_types() -> Iterator[str]:
    for kind in (
        wire.SessionStarted,
        wire.SpeechStarted,
        wire.Transcript,
        wire.Emotion,
        wire.UtteranceDropped,
        wire.Status,
        wire.SessionEnded,
    ):
        yield kind.model_fields["type"].default
