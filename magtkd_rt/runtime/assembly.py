"""From settings to a session's parts: opens its source and loads every model, side by side."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from magtkd_rt import wire
from magtkd_rt.asr.base import Transcriber
from magtkd_rt.asr.process import PocketsphinxProcess
from magtkd_rt.asr.whisper import WhisperTranscriber
from magtkd_rt.bundle.manifest import OPTIONAL_GRAPHS, Manifest
from magtkd_rt.config import LiveConfig
from magtkd_rt.core import SegmenterConfig, SessionConfig, SessionInfo
from magtkd_rt.core.speakers import IDENTITIES, Enrolled, SpeakerConfig
from magtkd_rt.errors import BundleError, InputError
from magtkd_rt.features.faces import FaceFinder, YuNet
from magtkd_rt.runtime.enrolment import Enrolment, enrol, read_enrolments
from magtkd_rt.runtime.live import Setup
from magtkd_rt.runtime.meter import Meter
from magtkd_rt.runtime.models import Models, load_models
from magtkd_rt.runtime.recogniser import Recogniser
from magtkd_rt.runtime.senses import HearsSpeech, Senses
from magtkd_rt.runtime.status import Report
from magtkd_rt.runtime.voices import VoiceListener
from magtkd_rt.runtime.work import ModelWork
from magtkd_rt.sources import FileSource, MediaInfo
from magtkd_rt.sources.camera import Camera
from magtkd_rt.sources.inbox import Inbox
from magtkd_rt.sources.live import LiveSource
from magtkd_rt.sources.microphone import Microphone
from magtkd_rt.sources.portaudio import PortAudio
from magtkd_rt.vad import StreamingVad

NOTICE: Final = (
    "A machine analyses what is said here, voices and faces, for the expression they show; "
    "it does not know what anybody feels. Nothing leaves this machine."
)
"""What those who are recorded should be told."""
RECORDED: Final = "Sound and pictures are recorded, and kept."
"""And this where it is so."""

MAX_SPEAKERS: Final = 16
"""Channels that may each be a speaker."""
MOST_TURNS: Final = 32
"""More turns than fit into any prompt."""


def open_recording(config: LiveConfig, path: Path) -> FileSource:
    """Open a recording as a source.

    Raises:
        InputError: it cannot be opened, or has no sound, and so no speech.
    """
    source = FileSource(path, fps=config.fps, channels_are_speakers=config.channels_are_speakers)
    if source.info.audio is None:
        source.close()
        raise InputError(
            f"{path} holds no sound, so there is no speech to recognise",
            remedy="give a recording with sound",
        )
    return source


def open_devices(config: LiveConfig) -> LiveSource:
    """Find the microphone and the camera that the settings name; they open with the session.

    Raises:
        ExtraMissing: PortAudio is not installed.
        InputError: there is no such microphone or camera, or neither is wanted.
    """
    if config.no_mic and config.no_camera:
        raise InputError(
            "without a microphone and a camera there is nothing to hear or see",
            remedy="leave --no-mic or --no-camera out, or give a recording with --input FILE",
        )
    inbox = Inbox()
    microphone = camera = None
    if not config.no_mic:
        split = config.channels_are_speakers
        microphone = Microphone(config.mic, inbox, PortAudio(), every_channel=split)
    if not config.no_camera:
        camera = Camera(config.camera, inbox, config.fps)
    return LiveSource(microphone, camera, inbox)


def assemble(config: LiveConfig, media: MediaInfo, transcriber: Transcriber | None = None) -> Setup:
    """Load all that a session of its own needs.

    Args:
        config: the settings.
        media: what its source brings.
        transcriber: to be used instead of the one that the settings name.

    Raises:
        MagtkdError: the bundle, its engine, a detector or the transcriber cannot be had, or a
            speaker not be known by the recording that is to tell their voice.
    """
    known = _enrolments(config)
    with ThreadPoolExecutor(2, thread_name_prefix="load") as pool:
        detectors = pool.submit(Detectors.open, media)
        models = load_models(config, transcriber)
        enrolled = _enrol(known, models.recogniser)
        opened = detectors.result()
    ours = models.transcriber if transcriber is None else None
    return set_up(
        models,
        opened,
        media,
        notice=NOTICE if config.record is None else f"{NOTICE} {RECORDED}",
        channels_are_speakers=config.channels_are_speakers,
        enrolled=enrolled,
        drafts=config.provisional and not config.fast,
        one_core=config.threads == 1 and config.device == "cpu",
        transcriber=models.transcriber,
        release=ours.close if ours is not None else _nothing,
    )


@dataclass(frozen=True, slots=True)
class Detectors:
    """What each session has of its own, since it remembers what it heard and saw."""

    speech: HearsSpeech
    faces: FaceFinder | None

    @classmethod
    def open(cls, media: MediaInfo) -> Detectors:
        """For a source's sound and pictures.

        Raises:
            MagtkdError: a detector cannot be had.
        """
        with ThreadPoolExecutor(1, thread_name_prefix="load") as pool:
            faces = pool.submit(FaceFinder) if media.video is not None else None
            speech = StreamingVad(media.channels)
            return cls(speech, faces.result() if faces is not None else None)


def set_up(
    models: Models,
    detectors: Detectors,
    media: MediaInfo,
    *,
    transcriber: Transcriber | None,
    release: Callable[[], None],
    notice: str,
    channels_are_speakers: bool = False,
    speaker_names: tuple[str, ...] = (),
    enrolled: tuple[Enrolled, ...] = (),
    drafts: bool = True,
    one_core: bool = False,
) -> Setup:
    """A session's parts, around models that other sessions may share.

    Args:
        models: what runs.
        detectors: of this session alone.
        media: what its source brings.
        transcriber: for this session.
        release: called when the session has let go of everything.
        notice: what those who are recorded should be told.
        channels_are_speakers: each channel is a speaker.
        speaker_names: of the channels, where they have names.
        enrolled: speakers whose voices are known beforehand.
        drafts: whether there are provisional results.
        one_core: whether each graph computes on the thread that runs it, and nowhere else.

    Raises:
        InputError: there are more channels than can be speakers.
    """
    recogniser, manifest = models.recogniser, models.bundle.manifest
    meter = Meter(one_core=one_core)
    voices = None
    if recogniser.tells_voices_apart and not channels_are_speakers:
        voices = VoiceListener(recogniser.voice, meter)
    told_by = _why_speakers(manifest, enrolled, channels_are_speakers=channels_are_speakers)
    notes = [
        Report("info", "asr", models.asr_reason),
        Report("info", "engine", models.engine_reason),
        Report("info", "speakers", told_by),
    ]
    if detectors.faces is not None:
        notes.append(Report("info", "faces", _why_detector(detectors.faces.detector.name)))
    smaller = PocketsphinxProcess if isinstance(transcriber, WhisperTranscriber) else None
    work = ModelWork(recogniser, transcriber, smaller)
    return Setup(
        session_id=new_session_id(),
        config=session_config(
            manifest,
            channels=max(1, media.channels),  # a session without sound has a silent one
            channels_are_speakers=channels_are_speakers,
            speaker_names=speaker_names,
            transcribe=transcriber is not None,
            voices=voices is not None,
            identities=recogniser.tells_identities,
            enrolled=enrolled,
            drafts=drafts,
            guess_while_speaking=transcriber is not None and transcriber.guesses_while_speaking,
        ),
        info=SessionInfo(
            bundle=wire.BundleInfo(
                name=manifest.name, sha256=models.bundle.sha256, licence=manifest.licence
            ),
            asr=wire.AsrInfo(name=transcriber.name if transcriber is not None else "none"),
            engine=recogniser.engine.name,
            sources=wire.SourceInfo(audio=media.audio, video=media.video),
            notice=notice,
        ),
        senses=Senses(detectors.speech, detectors.faces, media.channels, meter, voices),
        work=work,
        notes=tuple(notes),
        meter=meter,
        spare_asr=work.spare_asr if smaller is not None else None,
        troubles=models.troubles,
        close=partial(_close, work, release),
    )


def _enrolments(config: LiveConfig) -> list[Enrolment]:
    if config.speaker and config.channels_are_speakers:
        raise InputError(
            "--speaker and --channels-are-speakers say different things of who speaks",
            remedy="leave one of them out",
        )
    return read_enrolments(config.speaker, SpeakerConfig().most)


def _enrol(enrolments: Sequence[Enrolment], recogniser: Recogniser) -> tuple[Enrolled, ...]:
    if enrolments and not recogniser.tells_voices_apart:
        raise BundleError(
            f"the bundle {recogniser.bundle.manifest.name} cannot tell voices apart",
            remedy="leave --speaker out, or use a bundle with a graph 'speaker'",
        )
    identify = recogniser.identify if recogniser.tells_identities else None
    return tuple(enrol(one, recogniser.voice, identify) for one in enrolments)


def _why_speakers(
    manifest: Manifest, enrolled: Sequence[Enrolled], *, channels_are_speakers: bool
) -> str:
    if channels_are_speakers:
        return "each channel of the sound is a speaker"
    if "speaker" not in manifest.graphs:
        return f"all is one speaker: the bundle {manifest.name} cannot tell voices apart"
    graphs = (manifest.graphs.get(name) for name in OPTIONAL_GRAPHS)
    origins = [graph.origin for graph in graphs if graph is not None and graph.origin]
    by = f" ({'; '.join(origins)})" if origins else ""
    names = ", ".join(one.name for one in enrolled)
    return f"speakers told apart by their voices{by}" + (f"; known are {names}" if names else "")


def _why_detector(name: str) -> str:
    if name == YuNet.name:
        return f"faces by {name}: its file is at hand"
    return (
        f"faces by {name}: YuNet, which sees turned faces too, is neither at hand nor could be "
        "fetched; MAGTKD_YUNET=FILE names its file"
    )


def _close(work: ModelWork, release: Callable[[], None]) -> None:
    work.close()
    release()


def _nothing() -> None:
    """Nothing to let go of."""


def session_config(
    manifest: Manifest,
    *,
    channels: int,
    channels_are_speakers: bool,
    speaker_names: tuple[str, ...] = (),
    transcribe: bool,
    voices: bool = False,
    identities: bool = False,
    enrolled: tuple[Enrolled, ...] = (),
    drafts: bool = True,
    guess_while_speaking: bool = False,
) -> SessionConfig:
    """How the core decides with a bundle.

    Raises:
        InputError: there are more channels than can be speakers.
    """
    turns = manifest.preprocessing.text.context_turns
    if channels > MAX_SPEAKERS:
        raise InputError(
            f"the sound has {channels} channels, at most {MAX_SPEAKERS} can be speakers",
            remedy="leave --channels-are-speakers out, and they are mixed",
        )
    return SessionConfig(
        segmenter=SegmenterConfig(),
        labels=tuple(manifest.labels),
        text_confidence_threshold=manifest.calibration.text_confidence_threshold,
        abstain_threshold=manifest.calibration.abstain_threshold,
        channels=channels,
        channels_are_speakers=channels_are_speakers,
        speaker_names=speaker_names,
        voices=voices,
        identities=IDENTITIES if identities else None,
        enrolled=enrolled,
        transcribe=transcribe,
        drafts=drafts,
        right_context=manifest.fusion.right_context,
        guess_while_speaking=guess_while_speaking,
        # Where the bundle names no number, as many as fit into the prompt count.
        context_turns=MOST_TURNS if turns is None else turns + 1,
        max_channels=MAX_SPEAKERS,
        max_faces=manifest.preprocessing.video.max_faces,
    )


def new_session_id() -> str:
    """A name that no other session of this machine has: the time and some chance."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
