"""A device that is lost is told of once, tried again with growing pauses, and taken back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from magtkd_rt.sources import Notice
from magtkd_rt.sources import keeper as keeper_module
from magtkd_rt.sources.keeper import DeviceLost, Keeper, Pauses

QUICK = Pauses(first=0.01, longest=0.02, jitter=0.0)


def eventually(true: Callable[[], object], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


class Flaky:
    """A device that does what its script says, one entry for each time it is opened."""

    kind = "camera"
    name = "flaky"

    def __init__(self, *script: Exception | str) -> None:
        self.script = list(script)
        self.opened_at: list[float] = []

    def run(self, stopped: threading.Event, here: Callable[[], None]) -> None:
        self.opened_at.append(time.monotonic())
        act = self.script.pop(0) if self.script else "stay"
        if isinstance(act, Exception):
            raise act
        here()
        here()
        if act == "stay":
            stopped.wait()
        elif act == "die":
            raise DeviceLost("it died", remedy="revive it")


def kept(device: Flaky, pauses: Pauses = QUICK) -> tuple[Keeper, list[Notice]]:
    told: list[Notice] = []
    keeper = Keeper(device, told.append, pauses)
    keeper.start()
    return keeper, told


def test_pauses_grow_to_a_bound() -> None:
    pauses = Pauses(first=0.5, longest=30.0, jitter=0.0)
    assert [pauses.before(n) for n in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert pauses.before(10**6) == 30
    trembling = {Pauses(jitter=0.2).before(9) for _ in range(20)}
    assert len(trembling) > 10 and min(trembling) >= 24 and max(trembling) <= 36


def test_lost_is_told_once_and_so_is_the_return() -> None:
    gone = DeviceLost("it is gone", remedy="plug it in")
    keeper, told = kept(Flaky("die", gone, gone, gone, "stay"))
    eventually(lambda: len(told) == 2)
    keeper.stop()
    keeper.join(2)
    lost, back = told
    assert (lost.level, lost.code) == ("warning", "device_lost")
    assert lost.message.startswith("the camera flaky: it died; revive it; ")
    assert (back.level, back.code) == ("info", "device_back")


def test_another_loss_is_told_too() -> None:
    frozen = DeviceLost("frozen", remedy="shake it", code="camera_frozen")
    keeper, told = kept(Flaky(DeviceLost("gone", remedy="come"), frozen, frozen, "stay"))
    eventually(lambda: len(told) == 3)
    keeper.stop()
    assert [notice.code for notice in told] == ["device_lost", "camera_frozen", "device_back"]


def test_a_device_that_dies_at_once_is_not_tried_ever_faster() -> None:
    device = Flaky("die", "die", "die", "die", "stay")
    keeper, _told = kept(device, Pauses(first=0.02, longest=1.0, jitter=0.0))
    eventually(lambda: len(device.opened_at) == 5)
    keeper.stop()
    gaps = [b - a for a, b in zip(device.opened_at, device.opened_at[1:], strict=False)]
    assert all(gap >= 0.02 * 2**n for n, gap in enumerate(gaps))


def test_a_device_that_was_there_long_is_tried_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_module, "STEADY_SECONDS", 0.0)
    device = Flaky(*["die"] * 8, "stay")
    keeper, _ = kept(device, Pauses(first=0.01, longest=60.0, jitter=0.0))
    eventually(lambda: len(device.opened_at) == 9, 2)
    keeper.stop()


def test_any_error_of_a_driver_is_a_loss() -> None:
    keeper, told = kept(Flaky(RuntimeError("bad\nioctl"), "stay"))
    eventually(lambda: len(told) == 2)
    keeper.stop()
    assert "bad ioctl" in told[0].message


def test_stop_does_not_wait_for_a_pause() -> None:
    keeper, told = kept(Flaky("die"), Pauses(first=60, jitter=0.0))
    eventually(lambda: told)
    start = time.monotonic()
    keeper.stop()
    keeper.join(5)
    assert time.monotonic() - start < 1


def test_a_device_that_ends_is_finished() -> None:
    keeper, told = kept(Flaky("end"))
    eventually(lambda: keeper.finished)
    assert told == []
