"""Built conversations: the same for the same seed, and of one split only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from magtkd_rt.core.media import SAMPLE_RATE
from magtkd_rt.errors import DataError, InputError
from magtkd_rt.train.corpora.starter import RAVDESS_ACTORS, Clip, read_sound
from magtkd_rt.train.diarization.conversations import (
    MOST_CLIPS,
    TURNS,
    build,
    parse_actors,
    read_clips,
    trimmed,
)


@pytest.fixture(scope="module")
def clips(shared: Path) -> dict[int, list[Clip]]:
    return read_clips(shared / "data", "21-24")


def test_the_same_seed_gives_the_same_conversation(clips: dict[int, list[Clip]]) -> None:
    one, other, third = build(clips, 3), build(clips, 3), build(clips, 6)
    assert np.array_equal(one.sound, other.sound)
    assert (one.turns, one.clips) == (other.turns, other.clips)
    assert one.clips != third.clips


@pytest.mark.parametrize("seed", range(6))
def test_what_a_conversation_is_like(clips: dict[int, list[Clip]], seed: int) -> None:
    built = build(clips, seed)
    speakers = [turn.speaker for turn in built.turns]
    assert len(set(speakers)) == 2 + seed % 3
    assert len(speakers) == TURNS
    assert all(speakers.count(speaker) >= 2 for speaker in speakers)
    pairs = list(zip(built.turns, built.turns[1:], strict=False))
    assert all(old.speaker != new.speaker and old.end == new.start for old, new in pairs)
    assert built.turns[0].start == 0
    assert built.turns[-1].end == pytest.approx(len(built.sound) / SAMPLE_RATE)
    assert {len(taken) for taken in built.clips} <= set(range(1, MOST_CLIPS + 1))
    for turn, taken in zip(built.turns, built.clips, strict=True):
        assert {f"actor {int(path.stem.split('-')[-1])}" for path in taken} == {turn.speaker}
        assert turn.length == pytest.approx(
            sum(len(trimmed(read_sound(path))) for path in taken) / SAMPLE_RATE, abs=1e-4
        )
    used = [path for taken in built.clips for path in taken]
    assert len(used) == len(set(used)), "no clip twice while there are others"


def test_steady_turns_are_of_one_emotion(clips: dict[int, list[Clip]]) -> None:
    label_of = {clip.path: clip.label for some in clips.values() for clip in some}
    for seed in range(4):
        built = build(clips, seed, steady=True)
        assert all(len({label_of[path] for path in taken}) == 1 for taken in built.clips)
        used = [path for taken in built.clips for path in taken]
        assert len(used) == len(set(used))
        mixed = build(clips, seed)
        assert any(len({label_of[path] for path in taken}) > 1 for taken in mixed.clips)


def test_turns_follow_without_a_pause(clips: dict[int, list[Clip]]) -> None:
    """Within 50 ms of each change both are heard."""
    for seed in range(4):
        built = build(clips, seed)
        near = SAMPLE_RATE // 20
        for turn, old, new in zip(built.turns[1:], built.clips, built.clips[1:], strict=False):
            at = round(turn.start * SAMPLE_RATE)
            for side, path in (
                (built.sound[at - near : at], old[-1]),
                (built.sound[at : at + near], new[0]),
            ):
                assert np.abs(side).max() > 0.01 * np.abs(read_sound(path)).max()


def test_trimming_drops_silence_and_clicks() -> None:
    random = np.random.default_rng(2)
    silence = np.zeros(3200, np.float32)
    click = np.r_[np.float32(0.9), silence]
    voice = (0.1 * random.standard_normal(6400)).astype(np.float32)
    clip = np.concatenate([silence, click[:3200], voice, silence, click[:3200]])
    found = trimmed(clip)
    assert len(found) == pytest.approx(len(voice), abs=2 * 320)
    assert found[0] == found[-1] == 0
    assert np.abs(found).max() == pytest.approx(np.abs(voice).max())
    assert len(trimmed(np.zeros(1000, np.float32))) == 1000


def test_the_source_gives_all_of_it(clips: dict[int, list[Clip]]) -> None:
    built = build(clips, 0)
    source = built.source()
    assert source.info.channels == 1
    given = [chunk.samples for chunk in source.media() if hasattr(chunk, "samples")]
    assert np.array_equal(np.concatenate(given), built.sound)


def test_splits_never_mix(corpora_folder: Path) -> None:
    assert parse_actors("21-24") == ("test", (21, 22, 23, 24))
    assert parse_actors("19-20") == ("dev", (19, 20))
    assert parse_actors("1-4") == ("train", (1, 2, 3, 4))
    for text in ("18-19", "20-21", "1-24"):
        with pytest.raises(InputError, match="not of one split"):
            parse_actors(text)
    clips = read_clips(corpora_folder, "19-20")
    assert set(clips) == {19, 20}
    assert {clip.actor for some in clips.values() for clip in some} == {19, 20}
    assert {turn.speaker for turn in build(clips, 2).turns} == {"actor 19", "actor 20"}
    splits = [set(actors) for actors in RAVDESS_ACTORS.values()]
    assert sum(map(len, splits)) == len(set().union(*splits))


@pytest.mark.parametrize("text", ["", "21", "24-21", "21-21", "a-b", "21-24-25", "-1-4", "021-24"])
def test_what_is_no_range_of_actors(text: str) -> None:
    with pytest.raises(InputError, match="no range of two actors"):
        parse_actors(text)


def test_actors_that_do_not_exist() -> None:
    with pytest.raises(InputError, match="not of one split"):
        parse_actors("23-26")


def test_missing_clips_are_told(corpora_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        read_clips(tmp_path, "21-24")
    with pytest.raises(DataError, match="no clips of actor 1"):
        read_clips(corpora_folder, "1-3")
