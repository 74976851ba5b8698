"""Warnings about lag and loss come once, and not too often."""

from __future__ import annotations

from magtkd_rt.runtime.status import REPORT_EVERY_NS, Watchdog


def codes(watchdog: Watchdog, now_ns: int, lag_ms: float, **dropped: int) -> list[str]:
    return [report.code for report in watchdog.observe(now_ns, lag_ms, dropped)]


def test_lag_is_told_when_it_begins_and_when_it_is_over() -> None:
    watchdog = Watchdog()
    lags = [0, 1999, 2000, 5000, 501, 500, 0, 2500]
    told = [codes(watchdog, n, lag) for n, lag in enumerate(lags)]
    assert told == [[], [], ["lag"], [], [], ["lag_over"], [], ["lag"]]


def test_loss_is_told_at_once_then_now_and_then() -> None:
    watchdog = Watchdog()
    assert codes(watchdog, 0, 0) == []
    assert codes(watchdog, 1, 0, pictures=1) == ["dropped"]
    assert codes(watchdog, 2, 0, pictures=2) == []
    assert codes(watchdog, 1 + REPORT_EVERY_NS, 0, pictures=7) == ["dropped"]
    assert codes(watchdog, 2 + 3 * REPORT_EVERY_NS, 0, pictures=7) == []


def test_what_was_not_told_is_told_at_the_end() -> None:
    watchdog = Watchdog()
    watchdog.observe(0, 0, {"pictures": 1})
    watchdog.observe(1, 0, {"pictures": 3})
    (report,) = watchdog.last({"pictures": 3})
    assert report.dropped == {"pictures": 3}
    assert report.level == "warning"
    assert watchdog.last({"pictures": 3}) == []


def test_lost_sound_is_an_error() -> None:
    (report,) = Watchdog().observe(0, 0, {"sound_samples": 512, "pictures": 1})
    assert report.level == "error"
    assert "512 sound samples" in report.message
