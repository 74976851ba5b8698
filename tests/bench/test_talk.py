"""Made-up conversations: as long, as close and as overlapped as the real one, and no two alike."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from magtkd_rt.bench.talk import CALL, Habits, Step, Turn, measure_habits, talk
from magtkd_rt.bench.talk_sound import TalkSource, find_turns, made_voices, read_sound, voices_of
from magtkd_rt.core.media import SAMPLE_RATE, WINDOW, AudioChunk
from magtkd_rt.errors import InputError
from magtkd_rt.train.diarization.reference import read_rttm
from magtkd_rt.vad import StreamingVad


def turns_of(rttm: Path) -> list[Turn]:
    turns = read_rttm(rttm)
    names = sorted({turn.speaker for turn in turns})
    return [Turn(turn.start, turn.end, names.index(turn.speaker)) for turn in turns]


def shares(turns: list[Turn]) -> tuple[float, float]:
    """Of the time from the first turn to the last: without speech, and with two at once."""
    start, end = turns[0].start, max(turn.end for turn in turns)
    crowd = np.zeros(int((end - start) * 100))
    for turn in turns:
        crowd[int((turn.start - start) * 100) : int((turn.end - start) * 100)] += 1
    return float((crowd == 0).mean()), float((crowd > 1).mean())


def test_the_calls_habits_are_those_of_its_rttm(shared: Path) -> None:
    measured = measure_habits(turns_of(shared / "media/speech/two_speaker_call.rttm"))
    assert measured.speakers == CALL.speakers
    for found, told in zip(measured.steps, CALL.steps, strict=True):
        assert (found.length, found.gap) == pytest.approx((told.length, told.gap))
        assert found.changed == told.changed


def test_a_made_up_call_is_like_the_real_one(shared: Path) -> None:
    real = turns_of(shared / "media/speech/two_speaker_call.rttm")
    made = list(islice(talk(CALL, seed=0), 2000))
    assert shares(made) == pytest.approx(shares(real), abs=0.015)
    lengths = [step.length for step in CALL.steps]
    assert np.mean([turn.end - turn.start for turn in made]) == pytest.approx(
        np.mean(lengths), rel=0.05
    )


def test_nobody_speaks_twice_at_once_and_turns_come_in_order() -> None:
    habits = Habits((Step(2.0, -1.5, True), Step(1.0, 0.2, False), Step(0.5, -3.0, True)), 3)
    ends = dict.fromkeys(range(3), 0.0)
    before = 0.0
    for turn in islice(talk(habits, seed=1), 500):
        assert turn.start >= max(before, ends[turn.speaker])
        before, ends[turn.speaker] = turn.start, turn.end
        assert turn.end - turn.start >= 0.2


def test_each_seed_is_another_conversation_and_always_the_same() -> None:
    one, again, other = (list(islice(talk(CALL, seed), 20)) for seed in (1, 1, 2))
    assert one == again
    assert [turn.start for turn in one] != [turn.start for turn in other]


def test_one_turn_tells_no_habits() -> None:
    with pytest.raises(InputError, match="1 turns tell nothing"):
        measure_habits([Turn(0, 1, 0)])


def sound_of(source: TalkSource, seconds: float) -> np.ndarray:
    media = islice(source.media(), round(seconds * SAMPLE_RATE / WINDOW))
    chunks = [chunk for chunk in media if isinstance(chunk, AudioChunk)]
    assert [chunk.start for chunk in chunks] == [n * WINDOW for n in range(len(chunks))]
    return np.concatenate([chunk.samples for chunk in chunks])


def test_made_voices_are_speech_to_the_detector_where_somebody_speaks() -> None:
    pause = Habits((Step(2.0, 1.5, True),), speakers=2)
    sound = sound_of(TalkSource(made_voices(), pause, seed=3), 12)
    heard = StreamingVad(1).push(AudioChunk(0, 0, sound))
    assert heard is not None
    spoken = np.zeros(len(heard.speech), np.bool_)
    for turn in islice(talk(pause, seed=3), 8):
        spoken[round(turn.start * 31.25) : round(turn.end * 31.25)] = True
    assert (heard.speech[spoken] > 0.5).mean() > 0.8
    assert (heard.speech[~spoken] > 0.5).mean() < 0.2
    assert np.abs(sound).max() <= 1


def test_two_conversations_sound_different() -> None:
    voices = made_voices()
    one, again, other = (sound_of(TalkSource(voices, CALL, seed), 2) for seed in (1, 1, 2))
    assert (one == again).all()
    assert np.abs(one - other).max() > 0.1


def test_a_recordings_voices_are_what_each_says_alone(shared: Path) -> None:
    sound = read_sound(shared / "media/speech/two_speaker_call.wav")
    turns = turns_of(shared / "media/speech/two_speaker_call.rttm")
    voices = voices_of(sound, turns)
    alone = [9.96, 10.61]  # seconds, by the RTTM
    assert [len(voice) / SAMPLE_RATE for voice in voices] == pytest.approx(alone, abs=0.05)
    found = find_turns(sound)
    assert len(found) >= 2 and {turn.speaker for turn in found} == {0}
    assert sum(turn.end - turn.start for turn in found) > 15


def test_too_little_speech_is_refused() -> None:
    with pytest.raises(InputError, match="less than a second of speech"):
        voices_of(np.zeros(SAMPLE_RATE, np.float32), [Turn(0, 0.5, 0)])
    assert find_turns(np.zeros(SAMPLE_RATE, np.float32)) == []
