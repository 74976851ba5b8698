"""Checks side by side: none can crash the command, or hang it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from magtkd_rt.doctor import Finding, examine
from magtkd_rt.errors import InputError


def fine() -> list[Finding]:
    return [Finding("fine", "ok", "as it should be")]


def refused() -> list[Finding]:
    raise InputError("it is broken", remedy="mend it")


def crashes() -> list[Finding]:
    raise ZeroDivisionError("division\nby zero")


def test_an_exception_is_a_finding() -> None:
    found = dict(examine({"a": fine, "b": refused, "c": crashes}))
    assert found["a"] == fine()
    assert found["b"] == [Finding("b", "error", "it is broken", "mend it")]
    (crashed,) = found["c"]
    assert (crashed.level, crashed.found) == ("error", "division by zero") and crashed.remedy


def test_what_hangs_is_left_behind() -> None:
    for_ever = threading.Event()

    def hangs() -> Sequence[Finding]:
        for_ever.wait()
        return []

    begin = time.monotonic()
    found = dict(examine({"microphone": hangs, "camera": hangs, "a": fine}, seconds=0.3))
    assert time.monotonic() - begin < 2
    assert found["a"] == fine()
    (hung,) = found["microphone"]
    assert hung.level == "error" and "no answer within 0.3 s" in hung.found
    assert found["camera"][0].level == "warning"  # sound alone works
    for_ever.set()


def test_slow_ones_run_side_by_side_and_it_is_told_which() -> None:
    both = threading.Barrier(2, timeout=5)

    def slow() -> list[Finding]:
        both.wait()
        return fine()

    told: list[list[str]] = []
    found = dict(
        examine({"one": slow, "other": slow}, waiting=lambda names: told.append(list(names)))
    )
    assert found == {"one": fine(), "other": fine()}
    assert told[0] == ["one", "other"] and len(told[-1]) == 1
