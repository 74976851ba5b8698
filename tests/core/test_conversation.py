"""Speakers by first appearance; a rolling window of turns."""

from __future__ import annotations

from magtkd_rt.core.conversation import Conversation, speaker_name
from magtkd_rt.core.jobs import Turn


def test_speakers_are_numbered_by_first_appearance() -> None:
    conversation = Conversation(4, channels_are_speakers=True)
    assert [conversation.speaker(channel) for channel in (3, 0, 3, 1, 0)] == [0, 1, 0, 2, 1]
    assert [speaker_name(n) for n in (0, 1, 11)] == ["S1", "S2", "S12"]


def test_without_speaker_channels_there_is_one_speaker() -> None:
    conversation = Conversation(4, channels_are_speakers=False)
    assert {conversation.speaker(channel) for channel in range(5)} == {0}


def test_the_window_of_turns_rolls() -> None:
    conversation = Conversation(3, channels_are_speakers=True)
    windows = [conversation.say(n % 2, str(n)) for n in range(5)]
    assert windows[0] == (Turn(0, "0"),)
    assert windows[4] == (Turn(0, "2"), Turn(1, "3"), Turn(0, "4"))
