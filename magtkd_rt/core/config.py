"""How a session decides: every threshold and every bound."""

from __future__ import annotations

from dataclasses import dataclass, field

from magtkd_rt import wire
from magtkd_rt.core.segmenter import SegmenterConfig
from magtkd_rt.core.speakers import Enrolled as Enrolled
from magtkd_rt.core.speakers import SpeakerConfig
from magtkd_rt.core.turns import TurnConfig
from magtkd_rt.core.utterance import MODALITIES


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """How a session decides.

    Attributes:
        segmenter: when utterances begin and end.
        labels: the bundle's labels, in the order of its probabilities.
        text_confidence_threshold: a transcript under it is masked out of the fusion.
        abstain_threshold: a result under it is marked `abstained`.
        context_turns: turns in whose light text is judged, its own included.
        channels_are_speakers: each channel is one speaker.
        speaker_names: names of the channels' speakers, as far as they are known.
        voices: speakers are told by their voices, where channels do not tell them; the sound then
            comes with voice prints. With neither all is one speaker.
        channels: channels that are expected; their sound is put in one order.
        transcribe: whether there is a transcriber.
        modalities: those that the bundle can use.
        max_faces: faces of an utterance that are encoded, spread evenly.
        weak_speech_windows: an utterance with fewer windows of speech needs words to count.
        weak_speech_probability: so does one whose mean speech probability is lower.
        clear_speech_probability: one whose mean is lower than this is none if its transcriber
            hears no words; from this on it is one whatever is made of its words.
        drafts: whether there are provisional results, and work is done ahead at pauses. What is
            final does not depend on it.
        draft_windows: the newest windows of sound that a provisional result rests on.
        draft_faces: faces that it rests on, spread evenly.
        guess_while_speaking: the transcriber's guesses make words appear while somebody speaks.
        right_context: a result is looked at again when so many later utterances have followed;
            0 where the bundle's fusion cannot do that.
        least_revision: change of the told label's probability that is worth a revision.
        max_waiting: utterances that may wait for a result; beyond it the oldest is dropped.
        max_faces_kept: faces kept for utterances that are not over.
        channel_patience: windows that a channel may lag behind before it is waited for no more.
        max_channels: channels that are accepted at all.
        turns: when voices show that the speaker changed.
        speakers: when two voices are one speaker.
        identities: when two utterances' voices are one speaker's, where each utterance's voice is
            described as a whole and names follow from that; None where they follow from prints.
        enrolled: speakers whose voices are known beforehand.
    """

    segmenter: SegmenterConfig
    labels: tuple[str, ...]
    text_confidence_threshold: float
    abstain_threshold: float
    context_turns: int = 32
    channels_are_speakers: bool = False
    speaker_names: tuple[str, ...] = ()
    voices: bool = False
    channels: int = 1
    transcribe: bool = True
    modalities: frozenset[wire.ModalityName] = frozenset(MODALITIES)
    max_faces: int = 8
    weak_speech_windows: int = 12
    weak_speech_probability: float = 0.6
    clear_speech_probability: float = 0.75
    drafts: bool = True
    draft_windows: int = 125
    draft_faces: int = 4
    guess_while_speaking: bool = False
    right_context: int = 0
    least_revision: float = 0.1
    max_waiting: int = 64
    max_faces_kept: int = 1024
    channel_patience: int = 156
    max_channels: int = 16
    turns: TurnConfig = field(default_factory=TurnConfig)
    speakers: SpeakerConfig = field(default_factory=SpeakerConfig)
    identities: SpeakerConfig | None = None
    enrolled: tuple[Enrolled, ...] = ()

    def __post_init__(self) -> None:
        if not self.labels or len(set(self.labels)) != len(self.labels):
            raise ValueError("labels must be given, each once")
        if min(self.context_turns, self.max_faces, self.max_waiting, self.max_faces_kept) < 1:
            raise ValueError("context_turns, max_faces, max_waiting, max_faces_kept: 1 or more")
        if not 1 <= self.channels <= self.max_channels:
            raise ValueError("channels must be 1 to max_channels")
        if self.voices and self.channels_are_speakers:
            raise ValueError("speakers are told by channels or by voices, not by both")
        if len(self.enrolled) > self.speakers.most:
            raise ValueError("no more speakers may be enrolled than there may be")
