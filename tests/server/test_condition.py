"""What /health makes of the events."""

from __future__ import annotations

from typing import Any

from magtkd_rt.server.condition import OVERLOAD_SECONDS, Condition


def tell(condition: Condition, script: Any, code: str, message: str = "the camera 0: gone") -> None:
    condition.observe(script.status(message).model_copy(update={"code": code}))


def test_a_device_counts_as_lost_until_it_is_back(script: Any) -> None:
    condition = Condition()
    tell(condition, script, "device_lost")
    tell(condition, script, "camera_frozen", "the camera 0: always the same")
    tell(condition, script, "device_lost", "the microphone USB: unplugged")
    tell(condition, script, "device_back", "the camera 0 is back")
    assert condition.reasons() == ["device_lost"]
    tell(condition, script, "device_back", "the microphone USB is back")
    assert condition.reasons() == []


def test_lag_and_what_gives_way(script: Any) -> None:
    condition = Condition()
    for code in ("lag", "giving_way", "giving_way"):
        tell(condition, script, code)
    assert condition.reasons() == ["giving_way", "lag"]
    for code in ("taking_back", "lag_over"):
        tell(condition, script, code)
    assert condition.reasons() == ["giving_way"]
    tell(condition, script, "taking_back")
    assert condition.reasons() == []


def test_a_session_that_ended_takes_its_troubles_along(script: Any) -> None:
    condition = Condition()
    other = type(script)("call-2")
    for one in (script, other):
        for code in ("device_lost", "lag", "giving_way", "note"):
            tell(condition, one, code)
    condition.observe(script.ended())
    assert condition.reasons() == ["device_lost", "giving_way", "lag"]
    condition.observe(other.ended())
    assert condition.reasons() == []
    assert not condition._lost and not condition._late and not condition._gave_way


def test_an_utterance_lost_for_lack_of_time_counts_for_a_while(script: Any) -> None:
    now = [10.0]
    condition = Condition(clock=lambda: now[0])
    condition.observe(script.dropped("u1"))
    assert condition.reasons() == []
    condition.observe(script.dropped("u2").model_copy(update={"reason": "overload"}))
    assert condition.reasons() == ["overload"]
    now[0] += OVERLOAD_SECONDS
    assert condition.reasons() == []
