"""Jobs: in order within a lane, bounded, and one result each whatever happens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from magtkd_rt.core.jobs import (
    EncodeAudio,
    Failed,
    ForgetTranscription,
    GaveWay,
    Guess,
    Job,
    JobResult,
    Transcribe,
)
from magtkd_rt.core.media import AudioChunk
from magtkd_rt.runtime import executor as module
from magtkd_rt.runtime import lane
from magtkd_rt.runtime.executor import Executor
from magtkd_rt.runtime.meter import Meter

SOUND = np.zeros(512, np.float32)


def transcribe(number: int, utterance: str = "u1") -> Transcribe:
    return Transcribe(number, utterance, AudioChunk(0, 0, SOUND), last=False)


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.002)


class Gate:
    """Work that waits at a gate and remembers the order."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.done: list[int] = []

    def __call__(self, job: Job) -> None:
        assert self.opened.wait(20)
        self.done.append(job.job_id)


def test_sound_is_fed_in_order_while_encoders_go_on() -> None:
    gate, results = Gate(), list[JobResult]()

    def work(job: Job) -> None:
        if isinstance(job, Transcribe):
            gate(job)

    with Executor(work, results.append, Meter()) as executor:
        for number in range(1, 6):
            executor.submit(transcribe(number))
        executor.submit(EncodeAudio(6, "u1", SOUND))
        eventually(lambda: [result.job_id for result in results] == [6])
        gate.opened.set()
        eventually(lambda: len(results) == 6)
    assert gate.done == [1, 2, 3, 4, 5]


def test_an_exception_is_a_failed_job_on_one_line() -> None:
    def work(job: Job) -> None:
        if job.job_id == 1:
            raise ValueError("two\nlines")
        raise KeyError

    results: list[JobResult] = []
    with Executor(work, results.append, Meter()) as executor:
        executor.submit(transcribe(1))
        executor.submit(transcribe(2))
        eventually(lambda: len(results) == 2)
    assert [result.value for result in results] == [Failed("two lines"), Failed("KeyError")]


def test_a_full_queue_turns_away_all_but_what_frees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WORDS_WAITING", 2)
    gate, results = Gate(), list[JobResult]()
    with Executor(gate, results.append, Meter()) as executor:
        executor.submit(transcribe(1))
        eventually(lambda: max(executor.waiting_ns(time.monotonic_ns()).values()) > 0)
        time.sleep(0.05)  # the first one is being done and waits no more
        for number in range(2, 6):
            executor.submit(transcribe(number))
        executor.submit(ForgetTranscription(6, "u2"))
        turned_away = [result.job_id for result in results]
        assert turned_away == [4, 5]
        assert all(isinstance(result.value, Failed) for result in results)
        assert executor.counters == {"jobs_words": 2}
        gate.opened.set()
        eventually(lambda: len(results) == 6)
    assert gate.done == [1, 2, 3, 6]


def test_a_draft_that_finds_no_room_gives_way_and_is_no_loss(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_MODELS_WAITING", 1)
    gate, results = Gate(), list[JobResult]()
    with Executor(gate, results.append, Meter()) as executor:
        executor.submit(EncodeAudio(1, "u1", SOUND))
        eventually(lambda: max(executor.waiting_ns(time.monotonic_ns()).values()) > 0)
        time.sleep(0.05)
        executor.submit(EncodeAudio(2, "u1", SOUND))
        executor.submit(EncodeAudio(3, "u2", SOUND, draft=True))
        assert results == [JobResult(3, GaveWay())]
        assert not executor.counters
        gate.opened.set()


def test_what_is_needed_goes_before_drafts() -> None:
    gate, results = Gate(), list[JobResult]()
    with Executor(gate, results.append, Meter()) as executor:
        executor.submit(EncodeAudio(1, "u1", SOUND))
        time.sleep(0.05)
        executor.submit(EncodeAudio(2, "u2", SOUND, draft=True))
        executor.submit(EncodeAudio(3, "u1", SOUND))
        gate.opened.set()
        eventually(lambda: len(results) == 3)
    assert gate.done == [1, 3, 2]


def test_a_transcription_that_begins_anew_takes_back_what_waits() -> None:
    gate, results = Gate(), list[JobResult]()
    with Executor(gate, results.append, Meter()) as executor:
        executor.submit(transcribe(1))
        time.sleep(0.05)
        executor.submit(transcribe(2))
        executor.submit(Guess(3, "u1", draft=True))
        executor.submit(ForgetTranscription(4, "u1"))
        executor.submit(transcribe(5))
        assert results == [JobResult(2, GaveWay()), JobResult(3, GaveWay())]
        gate.opened.set()
        eventually(lambda: len(results) == 5)
    assert gate.done == [1, 4, 5]


@pytest.mark.parametrize("deadlines", [True, False])
def test_what_waited_too_long_gives_way(deadlines: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "WORDS_WITHIN_NS", 100_000_000)
    monkeypatch.setattr(lane, "DRAFTS_WITHIN_NS", 50_000_000)
    gate, results = Gate(), list[JobResult]()
    with Executor(gate, results.append, Meter(), deadlines=deadlines) as executor:
        executor.submit(transcribe(1))
        executor.submit(EncodeAudio(2, "u1", SOUND))
        time.sleep(0.05)
        executor.submit(transcribe(3))
        executor.submit(Guess(4, "u1", draft=True))
        executor.submit(EncodeAudio(5, "u1", SOUND))
        executor.submit(EncodeAudio(6, "u2", SOUND, draft=True))
        time.sleep(0.2)
        gate.opened.set()
        eventually(lambda: len(results) == 6)
    gave_way = {result.job_id for result in results if isinstance(result.value, GaveWay)}
    assert gave_way == ({3, 4, 6} if deadlines else set())
    assert set(gate.done) == {1, 2, 3, 4, 5, 6} - gave_way  # what finals need is always done


def test_what_waits_for_a_dropped_utterance_is_skipped() -> None:
    gate, results = Gate(), list[JobResult]()
    with Executor(gate, results.append, Meter()) as executor:
        executor.submit(transcribe(1, "u1"))
        time.sleep(0.05)
        executor.submit(transcribe(2, "u2"))
        executor.submit(transcribe(3, "u3"))
        executor.forget("u2")
        executor.submit(ForgetTranscription(4, "u2"))
        gate.opened.set()
        eventually(lambda: len(results) == 3)
    assert gate.done == [1, 3, 4]


def test_elapsed_time_leaves_the_waiting_out() -> None:
    def work(job: Job) -> None:
        time.sleep(0.05)

    meter, results = Meter(), list[JobResult]()
    with Executor(work, results.append, meter) as executor:
        for number in range(3):
            executor.submit(transcribe(number))
        eventually(lambda: len(results) == 3)
    assert all(result.elapsed_ns >= 0.05e9 for result in results)
    assert 0.15e9 <= meter.spent_ns["asr"] <= sum(result.elapsed_ns for result in results)
    assert meter.calls == {"asr": 3}


def test_close_leaves_the_rest_undone() -> None:
    gate, results = Gate(), list[JobResult]()
    with Executor(gate, results.append, Meter()) as executor:
        executor.submit(transcribe(1))
        time.sleep(0.05)
        executor.submit(transcribe(2))
    gate.opened.set()
    executor.join(10)
    assert gate.done == [1]
