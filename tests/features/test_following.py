"""Faces keep their numbers from one picture to the next."""

from __future__ import annotations

from magtkd_rt.core.media import Box
from magtkd_rt.features.following import MOST_FACES, Follower

TENTH = 100_000_000


def at(x: float, side: float = 0.2, score: float = 0.9) -> tuple[Box, float]:
    return (x, 0.3, side, side), score


def numbers(follower: Follower, time_ns: int, *found: tuple[Box, float]) -> dict[float, int]:
    """Tracks by where they are."""
    return {face.box[0]: face.track for face in follower.follow(list(found), time_ns)}


def test_a_face_that_moves_is_the_same_and_another_is_not() -> None:
    follower = Follower()
    assert numbers(follower, 0, at(0.1), at(0.6)) == {0.1: 0, 0.6: 1}
    assert numbers(follower, TENTH, at(0.66), at(0.2)) == {0.2: 0, 0.66: 1}
    assert numbers(follower, 2 * TENTH, at(0.4), at(0.7)) == {0.4: 2, 0.7: 1}  # a side away
    assert numbers(follower, 3 * TENTH, at(0.4, side=0.4)) == {0.4: 3}  # twice as large


def test_the_nearest_pairs_belong_together() -> None:
    follower = Follower()
    assert numbers(follower, 0, at(0.1), at(0.22)) == {0.1: 0, 0.22: 1}
    assert numbers(follower, TENTH, at(0.21), at(0.3)) == {0.21: 1, 0.3: 2}


def test_a_short_miss_is_forgiven_a_long_one_is_not() -> None:
    follower = Follower()
    numbers(follower, 0, at(0.1), at(0.6))
    assert numbers(follower, 2 * TENTH, at(0.6)) == {0.6: 1}
    assert numbers(follower, 5 * TENTH, at(0.1), at(0.6)) == {0.1: 0, 0.6: 1}
    assert numbers(follower, 10 * TENTH, at(0.6)) == {0.6: 1}
    assert numbers(follower, 11 * TENTH, at(0.1), at(0.6)) == {0.1: 2, 0.6: 1}
    assert numbers(follower, 3 * TENTH, at(0.1)) == {0.1: 3}  # back in time: all is new


def test_of_too_many_the_largest_are_followed_and_those_known_before_others() -> None:
    follower = Follower()
    small = [at(0.25 * n, side=0.1 + n / 1000) for n in range(4)]
    assert set(numbers(follower, 0, *small).values()) == {0, 1, 2, 3}
    larger = [at(0.1, side=0.13), at(0.35, side=0.13)]
    kept = numbers(follower, TENTH, *larger, *small)
    assert len(kept) == MOST_FACES
    assert set(kept.values()) == {0, 1, 2, 3}
    assert 0.9 in numbers(follower, 2 * TENTH, *small, at(0.9, side=0.3))
