"""What `magtkd bench live` tells of its measurements."""

from __future__ import annotations

from magtkd_rt.runtime.bench_live import Live, report


def test_lag_is_told_of_the_first_minute_of_later_ones_and_of_the_last() -> None:
    lags = tuple((float(second), float(second // 60)) for second in range(180))
    told = report(Live(180.0, (), lags, 18.0, 600.0, {}))
    for which, lag in (("first_minute", 0.0), ("last_minute", 2.0)):
        assert set(told[f"lag_{which}_ms"].values()) == {lag}
    assert told["lag_later_ms"]["p50"] == 1.5
    assert told["processor_share_of_one_core"] == 0.1


def test_a_recording_of_a_minute_has_no_last_one() -> None:
    told = report(Live(60.0, (), ((1.0, 2.0),), 6.0, 600.0, {}))
    assert told["lag_last_minute_ms"] == told["lag_later_ms"]
    assert set(told["lag_last_minute_ms"].values()) == {None}
