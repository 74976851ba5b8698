"""One thing after another gives way, and comes back the other way round."""

from __future__ import annotations

from magtkd_rt.runtime.giving_way import DRAFTS, LARGE_ASR, PICTURES, SENSES, GivingWay

SECOND = 1_000_000_000


def told(giving_way: GivingWay, lag: list[tuple[float, float]], every: float = 0.25) -> list[str]:
    """Codes and seconds of what is told, for (seconds, lag in ms) in turn."""
    said, now = [], 0.0
    for seconds, lag_ms in lag:
        end = now + seconds
        while now < end:
            report = giving_way.observe(round(now * SECOND), {"words": 0.0, "rest": lag_ms})
            if report is not None:
                said.append(f"{report.code} {now:g}")
            now += every
    return said


def test_it_gives_way_step_by_step_and_takes_back_in_reverse() -> None:
    one = GivingWay([PICTURES, DRAFTS, SENSES])
    assert told(one, [(3, 100), (10, 2000)]) == ["giving_way 3", "giving_way 5", "giving_way 7"]
    assert one.gone == {"pictures", "drafts", "senses"}
    again = GivingWay([PICTURES, DRAFTS, SENSES])
    assert told(again, [(5, 2000), (20, 100)]) == [
        "giving_way 0",
        "giving_way 2",
        "giving_way 4",
        "taking_back 10",
        "taking_back 15",
        "taking_back 20",
    ]
    assert again.gone == frozenset()


def test_between_the_limits_nothing_changes() -> None:
    one = GivingWay([PICTURES, DRAFTS])
    assert told(one, [(1, 2000), (60, 1000)]) == ["giving_way 0"]
    assert one.gone == {"pictures"}


def test_what_has_to_go_again_at_once_comes_back_later_each_time() -> None:
    one = GivingWay([PICTURES])
    said: list[str] = []
    lag = 2000.0
    for n in range(4 * 600):  # lag whenever all pictures are looked at
        report = one.observe(n * SECOND // 4, {"words": lag, "rest": 0.0})
        if report is not None:
            said.append(report.code)
        lag = 100.0 if one.gone else 2000.0
    assert 4 <= said.count("taking_back") <= 12  # every 5 s would be a hundred times


def test_after_a_quiet_time_it_comes_back_soon_again() -> None:
    one = GivingWay([PICTURES])
    first = told(one, [(1, 2000), (6, 100)] * 4)
    assert first.count("taking_back 6") == 1
    one = GivingWay([PICTURES])
    assert told(one, [(1, 2000), (100, 100), (1, 2000), (6, 100)]) == [
        "giving_way 0",
        "taking_back 6",
        "giving_way 101",
        "taking_back 107",
    ]


def test_only_what_helps_gives_way() -> None:
    one = GivingWay([PICTURES, DRAFTS, LARGE_ASR, SENSES])
    for n in range(100):
        one.observe(n * SECOND, {"words": 3000.0, "rest": 100.0})
    assert one.gone == {"pictures", "drafts", "large_asr"}
    one = GivingWay([PICTURES, DRAFTS, LARGE_ASR, SENSES])
    for n in range(100):
        one.observe(n * SECOND, {"words": 100.0, "rest": 3000.0})
    assert one.gone == {"pictures", "drafts", "senses"}
