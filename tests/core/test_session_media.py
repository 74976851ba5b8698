"""Media in: the same events and jobs however the sound was cut; clocks, gaps, bounds, purity."""

from __future__ import annotations

import ast
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import magtkd_rt.core
from magtkd_rt import wire
from magtkd_rt.core.jobs import EncodeAudio, EncodeVideo, Fuse, Transcribe
from magtkd_rt.core.media import WINDOW, Face, HeardSound, SeenFaces, samples_to_ns, seconds

TALK = ((10, 0.0), (40, 0.9), (30, 0.0), (9, 0.95), (25, 0.1), (330, 0.8), (20, 0.0), (30, 0.6))
OTHER = ((25, 0.0), (60, 0.9), (30, 0.0), (80, 0.9), (40, 0.0), (90, 0.7), (169, 0.0))

cuts = st.lists(st.integers(1, 120), min_size=1, max_size=12)


def at(window: int) -> float:
    """Where a window begins, as on the wire."""
    return seconds(window * WINDOW)


def face(window: int, value: int = 0) -> SeenFaces:
    one = Face(0, np.full((48, 48), value, np.uint8), (0.25, 0.25, 0.5, 0.5), 0.9)
    return SeenFaces(samples_to_ns(window * WINDOW), (one,))


def in_chunks(desk: Any, sound: HeardSound, sizes: list[int], piece: Any) -> None:
    first, n = 0, 0
    while first < len(sound.speech):
        desk.hear(piece(sound, first, first + sizes[n % len(sizes)]))
        first += sizes[n % len(sizes)]
        n += 1


@settings(max_examples=15, deadline=None)
@given(sizes=cuts)
def test_chunks_do_not_matter(desk: Any, make_track: Any, piece: Any, sizes: list[int]) -> None:
    """Byte for byte, where the answers come after the same sound."""
    sound = make_track(*TALK)
    results = []
    for chunks in ([1], sizes):
        one = desk(at_once=False)
        for part in (piece(sound, 0, 400), piece(sound, 400, len(sound.speech))):
            in_chunks(one, part, chunks, piece)
            one.answer_all()
        one.take(one.session.flush())
        one.answer_all()
        one.take(one.session.end("over"))
        one.check_rules()
        results.append(one.everything())
    assert results[0] == results[1]


@settings(max_examples=10, deadline=None)
@given(sizes=cuts)
def test_chunks_do_not_matter_to_results(
    desk: Any, make_track: Any, piece: Any, sizes: list[int]
) -> None:
    """Where answers come at once, only the time at which they are told can differ."""
    sound = make_track(*TALK)
    results = []
    for chunks in ([1], sizes):
        one = desk()
        in_chunks(one, sound, chunks, piece)
        one.take(one.session.flush())
        results.append([event.model_copy(update={"t": 0, "seq": 0}) for event in one.events])
    finals = [
        [e for e in events if not isinstance(e, wire.Transcript | wire.SpeechStarted)]
        for events in results
    ]
    assert finals[0] == finals[1]
    assert sorted(map(repr, results[0])) == sorted(map(repr, results[1]))


@settings(max_examples=15, deadline=None)
@given(sizes=cuts, others=cuts)
def test_chunks_of_two_channels_do_not_matter(
    desk: Any, make_track: Any, piece: Any, sizes: list[int], others: list[int]
) -> None:
    left, right = make_track(*TALK), make_track(*OTHER, seed=1, channel=1)
    results = []
    for chunks in ((1, 1), (60, 120), None):
        one = desk(at_once=False, channels=2, channels_are_speakers=True)
        if chunks is None:
            in_turns(one, [left, right], [sizes, others], piece)
        else:
            in_turns(one, [left, right], [[chunks[0]], [chunks[1]]], piece)
        one.take(one.session.flush())
        one.answer_all()
        one.check_rules()
        results.append(one.everything())
    assert results[0] == results[1] == results[2]


def in_turns(desk: Any, sounds: list[HeardSound], sizes: list[list[int]], piece: Any) -> None:
    """The channel that is behind gives its next chunk, as sources of one clock do."""
    reached, turn = [0, 0], [0, 0]
    while any(reached[c] < len(sounds[c].speech) for c in (0, 1)):
        channel = min(
            (c for c in (0, 1) if reached[c] < len(sounds[c].speech)), key=lambda c: reached[c]
        )
        size = sizes[channel][turn[channel] % len(sizes[channel])]
        desk.hear(piece(sounds[channel], reached[channel], reached[channel] + size))
        reached[channel] += size
        turn[channel] += 1


@settings(max_examples=20, deadline=None)
@given(end=st.integers(1, 490), chunk=st.integers(1, 50))
def test_what_comes_later_changes_nothing_before(
    desk: Any, make_track: Any, piece: Any, end: int, chunk: int
) -> None:
    sound = make_track(*TALK)
    other = HeardSound(0, 0, sound.samples[::-1].copy(), sound.speech[::-1].copy())
    first, second = desk(), desk()
    first.hear(piece(sound, 0, end), chunk)
    heard = first.everything()
    second.hear(piece(sound, 0, end), chunk)
    second.hear(replace(piece(other, 0, 300), start=end * WINDOW))
    events, jobs = second.everything()
    assert (events[: len(heard[0])], jobs[: len(heard[1])]) == heard


def test_the_transcriber_hears_exactly_the_utterance(desk: Any, make_track: Any) -> None:
    one = desk()
    one.hear(make_track(*TALK), 7)
    one.take(one.session.flush())
    whole = {job.utterance_id: job for job in one.of(EncodeAudio)}
    assert len(whole) == 5
    for utterance_id, job in whole.items():
        parts = [part for part in one.of(Transcribe) if part.utterance_id == utterance_id]
        assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]
        assert all(len(part.sound.samples) > 0 for part in parts[:-1])
        assert [p.sound.start for p in parts[1:]] == [p.sound.end for p in parts[:-1]]
        np.testing.assert_array_equal(
            np.concatenate([part.sound.samples for part in parts]), job.samples
        )


def test_speakers_who_talk_at_once_are_both_heard(desk: Any, make_track: Any) -> None:
    one = desk(channels=2, channels_are_speakers=True)
    left = make_track((40, 0.0), (100, 0.9), (60, 0.0))
    right = make_track((20, 0.0), (60, 0.9), (120, 0.0), seed=1, channel=1)
    one.hear(left)
    one.hear(right)
    first, second = one.of(wire.Emotion)
    assert (first.speaker, first.start, first.end) == ("S1", at(15), at(85))
    assert (second.speaker, second.start, second.end) == ("S2", at(35), at(145))
    assert [job.speaker for job in one.of(Fuse)] == [0, 1]
    one.check_rules()


def test_a_gap_is_silence(desk: Any, make_track: Any) -> None:
    one = desk()
    one.hear(make_track((60, 0.9)))
    one.hear(make_track((60, 0.9), start=500 * WINDOW))
    assert one.of(wire.Emotion)[0].end == at(65)
    assert one.of(wire.SpeechStarted)[1].t > at(500)
    one.take(one.session.flush())
    assert one.of(wire.Emotion)[1].start == at(500)


def test_sound_that_is_heard_twice_counts_once(desk: Any, make_track: Any, piece: Any) -> None:
    sound = make_track(*TALK)
    one, two = desk(), desk()
    one.hear(sound, 20)
    for first in range(0, len(sound.speech), 20):
        two.hear(piece(sound, max(0, first - 13), first + 20))
    assert two.everything() == one.everything()
    assert two.session.totals["windows_late"] > 300


def test_a_lost_microphone_ends_the_utterance(desk: Any, make_track: Any) -> None:
    one = desk()
    one.hear(make_track((60, 0.9)))
    one.take(one.session.tick(75 * WINDOW))
    assert one.session.pending == 1
    one.take(one.session.tick(76 * WINDOW))
    assert one.session.pending == 0
    event = one.of(wire.Emotion)[0]
    assert (event.end, event.t) == (at(65), at(76))
    assert event.latency.endpoint_ms == 16 * 32
    one.hear(make_track((60, 0.9), start=60 * WINDOW))
    assert one.session.totals["windows_late"] == 16
    one.take(one.session.flush())
    assert one.of(wire.Emotion)[1].start == at(71)
    one.check_rules()


def test_ticks_free_a_channel_from_one_that_is_dead(desk: Any, make_track: Any) -> None:
    one = desk(channels=2, channels_are_speakers=True)
    one.hear(make_track((60, 0.9), (40, 0.0)))
    assert len(one.events) == 1
    one.take(one.session.tick(100 * WINDOW))
    (event,) = one.of(wire.Emotion)
    assert (event.start, event.end, event.t) == (0.0, at(65), at(100))


def test_ticks_with_sound_change_nothing(desk: Any, make_track: Any, piece: Any) -> None:
    sound = make_track(*TALK)
    one, two = desk(), desk()
    one.hear(sound, 10)
    for first in range(0, len(sound.speech), 10):
        two.hear(piece(sound, first, first + 10))
        two.take(two.session.tick(min(first + 10, len(sound.speech)) * WINDOW))
    assert two.everything() == one.everything()


def test_faces_of_the_utterance_are_encoded(desk: Any, make_track: Any, piece: Any) -> None:
    sound = make_track((40, 0.0), (60, 0.9), (40, 0.0), (60, 0.9), (40, 0.0))
    one = desk(max_faces=4)
    for n in range(0, len(sound.speech), 2):
        # The face is there for the first utterance (windows 35 to 105) only.
        one.take(one.session.see(face(n, n) if n < 120 else SeenFaces(samples_to_ns(n * WINDOW))))
        one.hear(piece(sound, n, n + 2))
    (job,) = one.of(EncodeVideo)
    assert job.faces[:, 0, 0].tolist() == [44, 62, 78, 96]
    first, second = one.of(wire.Emotion)
    assert first.modalities["video"] == wire.Modality(present=True, contribution=0.125)
    assert second.modalities["video"] == wire.Modality(present=False, reason="no_face")
    assert first.face == wire.Face(box=(0.25, 0.25, 0.5, 0.5), confidence=0.9, seen=1, others=0)
    assert second.face is None
    assert one.session.totals["faces_seen"] == 60


@pytest.mark.parametrize(
    "change",
    [
        {"start": 100},
        {"start": -WINDOW},
        {"samples": np.zeros(WINDOW - 1, np.float32)},
        {"speech": np.zeros(3, np.float32)},
        {"channel": -1},
        {"channel": 16},
    ],
)
def test_sound_that_does_not_fit_is_refused(
    desk: Any, make_track: Any, change: dict[str, Any]
) -> None:
    one = desk()
    with pytest.raises(ValueError, match="must start at|is not below"):
        one.session.hear(replace(make_track((2, 0.9)), **change))
    one.check_rules()


def test_sound_that_is_no_number_is_silence(desk: Any, make_track: Any) -> None:
    sound = make_track((60, 0.9), (30, 0.0))
    sound.samples[5000:6000] = np.nan
    sound.samples[7000:7100] = np.inf
    sound.speech[70:80] = np.nan
    one = desk()
    one.hear(sound)
    assert np.isfinite(one.of(EncodeAudio)[0].samples).all()
    assert len(one.of(wire.Emotion)) == 1


def test_memory_does_not_grow(desk: Any, make_track: Any) -> None:
    """Eight minutes: a face in 30 pictures a second, a dead channel, jobs that nobody does."""
    one = desk(at_once=False, channels=2, channels_are_speakers=True)
    sound = make_track((180, 0.9), (12, 0.0))
    sizes: list[int] = []
    tracemalloc.start()
    try:
        for n in range(80):
            start = n * len(sound.speech)
            for window in range(start, start + len(sound.speech)):
                one.take(one.session.see(face(window)))
            one.hear(replace(sound, start=start * WINDOW), 16)
            one.todo = [j for j in one.todo if not isinstance(j, Transcribe) or j.last]
            one.answer_all()
            one.events.clear()
            one.jobs.clear()
            if n in (10, 79):
                sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert one.session.totals["emotions"] > 70
    assert one.session.totals["faces_overflowed"] == 0
    assert sizes[1] - sizes[0] < 100_000


PURE = {"__future__", "collections", "collections.abc", "dataclasses", "typing"}


def test_the_core_imports_nothing_that_waits_draws_lots_or_runs_models() -> None:
    allowed = PURE | {"numpy", "numpy.typing", "magtkd_rt.wire", "magtkd_rt.errors"}
    files = sorted(Path(magtkd_rt.core.__file__).parent.glob("*.py"))
    assert len(files) > 5
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file.name} imports relatively"
                module = str(node.module)
                names = (
                    [f"magtkd_rt.{a.name}" for a in node.names]
                    if module == "magtkd_rt"
                    else [module]
                )
            for name in names:
                assert name in allowed or name.startswith("magtkd_rt.core."), f"{file.name}: {name}"
