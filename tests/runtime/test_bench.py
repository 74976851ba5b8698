"""The benchmark runs the product and reports every figure that is promised."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from magtkd_rt.bundle.store import Bundle
from magtkd_rt.cli import main
from magtkd_rt.runtime.bench import percentiles


def test_percentiles() -> None:
    assert percentiles([]) == {"p50": None, "p95": None, "p99": None}
    assert percentiles([5.0]) == {"p50": 5.0, "p95": 5.0, "p99": 5.0}
    assert percentiles(list(range(101))) == {"p50": 50.0, "p95": 95.0, "p99": 99.0}


def test_a_run_measures_everything(
    shared: Path,
    tiny_bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    recording = shared / "media/speech/7902-96591-0000.flac"
    arguments = [f"--input={recording}", f"--bundle={tiny_bundle.directory}", "--json"]
    monkeypatch.setattr(sys, "argv", ["magtkd", "bench", "run", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    printed = capfd.readouterr()
    assert left.value.code == 0, printed.err
    measured = json.loads(printed.out)
    assert measured["media_s"] > 1
    assert measured["utterances"] >= 1
    assert measured["start_to_listening_s"] > 0.1
    assert 50 < measured["peak_memory_mb"] < 900
    parts = measured["compute_per_media_second"]
    assert parts["vad"] > 0 and parts["audio"] > 0 and parts["fusion"] > 0
    assert parts["faces"] == parts["video"] == 0
    total = measured["compute_without_asr_per_media_second"]
    assert total == pytest.approx(sum(parts.values()), abs=1e-4)
    latency = measured["final_after_endpoint_without_asr_ms"]
    assert 0 <= latency["p50"] <= latency["p95"] <= latency["p99"]
    assert measured["asr_after_endpoint_ms"]["p50"] > 0
    assert measured["dropped"] == {}
