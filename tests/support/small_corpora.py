"""Tiny corpora in the real shapes: real containers, with generated sound and pictures."""

from __future__ import annotations

import csv
import pickle
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from recorded import write_wav

MELD_HEADING = (
    "Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID",
    "Season", "Episode", "StartTime", "EndTime",
)  # fmt: skip
CLIPS = {
    "train": "train_splits",
    "dev": "dev_splits_complete",
    "test": "output_repeated_splits_test",
}
RATE = 25


def tone(seconds: float, hertz: float, rate: int = 16_000) -> NDArray[np.float64]:
    return 0.4 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def write_clip(
    path: Path,
    *,
    seconds: float = 1.0,
    hertz: float = 440.0,
    rate: int = 48_000,
    codecs: tuple[str, str] = ("mpeg4", "aac"),
    size: tuple[int, int] = (64, 48),
    blue: int = 200,
) -> Path:
    """Sound of one pitch; the left half is red and grows brighter, the right half is blue."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    with av.open(str(path), "w") as container:
        picture: Any = container.add_stream(codecs[0], rate=RATE)
        picture.width, picture.height, picture.pix_fmt = width, height, "yuv420p"
        sound: Any = container.add_stream(codecs[1], rate=rate)
        sound.layout = "stereo"
        samples = tone(seconds, hertz, rate).astype(np.float32)
        frames = round(seconds * RATE)
        step = rate // RATE
        for index in range(frames):
            image = np.zeros((height, width, 3), np.uint8)
            image[:, : width // 2, 0] = 55 + 200 * index // frames
            image[:, width // 2 :, 2] = blue
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            container.mux(picture.encode(frame))
            piece = samples[index * step : (index + 1) * step]
            heard = av.AudioFrame.from_ndarray(np.stack([piece, piece]), "fltp", "stereo")
            heard.sample_rate, heard.pts = rate, index * step
            heard.time_base = Fraction(1, rate)
            if sound.codec_context.format.name != "fltp":
                resampler = av.AudioResampler(sound.codec_context.format.name, "stereo", rate)
                for converted in resampler.resample(heard):
                    container.mux(sound.encode(converted))
            else:
                container.mux(sound.encode(heard))
        container.mux(picture.encode(None))
        container.mux(sound.encode(None))
    return path


def meld_row(
    dialogue: int, utterance: int, speaker: str, emotion: str, text: str
) -> tuple[object, ...]:
    times = ("00:00:00,000", "00:00:01,000")
    return (1, text, speaker, emotion, "neutral", dialogue, utterance, 8, 21, *times)


MELD_ROWS = {
    "train": [
        meld_row(0, 1, "Chandler", "joy", "Hi!"),  # unordered on purpose
        meld_row(0, 0, "Monica", "neutral", "Who’s there?"),
        meld_row(1, 0, "Joey", "surprise", "What?"),
    ],
    "dev": [meld_row(0, 0, "Ross", "anger", "No, no, “no”!")],
    "test": [meld_row(0, 0, "Ross", "fear", "Oh."), meld_row(0, 1, "Ross", "disgust", "Ew.")],
}


def write_meld_csv(path: Path, rows: Sequence[Sequence[object]], encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file).writerows([MELD_HEADING, *rows])


def write_meld(folder: Path, *, clips: bool = True) -> Path:
    for shift, (split, rows) in enumerate(MELD_ROWS.items()):
        write_meld_csv(folder / f"{split}_sent_emo.csv", rows)
        for number, row in enumerate(rows if clips else ()):
            clip = folder / CLIPS[split] / f"dia{row[5]}_utt{row[6]}.mp4"
            pitch = 300 + 100 * number + 30 * shift
            write_clip(clip, hertz=pitch, blue=60 + 45 * number + 15 * shift, seconds=0.6)
    return folder


SES = {
    # dialogue: (start, end, who and number, label, words)
    "Session1/Ses01F_impro01": [
        (0.20, 0.90, "F000", "neu", "Excuse me."),
        (1.00, 1.40, "M000", "xxx", "Yeah."),
        (1.50, 2.10, "M001", "fru", "Is there a problem?"),
        (2.20, 2.90, "F001", "ang", "Well: I don't have an ID [LAUGHTER]"),
    ],
    "Session1/Ses01M_script01_1": [(0.10, 0.80, "M000", "exc", "I won!")],
    "Session2/Ses02F_impro02": [(0.10, 0.80, "F000", "sad", "He is gone.")],
    "Session2/Ses02M_impro03": [(0.10, 0.80, "M000", "oth", "Hm.")],
    "Session5/Ses05F_impro04": [(0.10, 0.80, "F000", "hap", "How nice.")],
}


def write_iemocap(folder: Path) -> Path:
    for place, lines in SES.items():
        session, name = place.split("/")
        dialog = folder / session / "dialog"
        for part in ("EmoEvaluation", "transcriptions", "wav", "avi/DivX"):
            (dialog / part).mkdir(parents=True, exist_ok=True)
        said = [f"{name}_{n} [{s:08.4f}-{e:08.4f}]: {text}" for s, e, n, _, text in lines]
        said.insert(1, "M: (murmurs)")
        (dialog / "transcriptions" / f"{name}.txt").write_text("\n".join(said) + "\n")
        judged = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
        for start, end, number, label, _ in lines:
            judged.append(f"[{start:.4f} - {end:.4f}]\t{name}_{number}\t{label}\t[2.5, 2.5, 2.5]")
            judged += ["C-E2:\tNeutral;\t()", "A-E3:\tval 3; act 2; dom  2;\t()", ""]
        (dialog / "EmoEvaluation" / f"{name}.txt").write_text("\n".join(judged) + "\n")
        (dialog / "EmoEvaluation" / f"._{name}.txt").write_bytes(b"\0\5\x16\7Mac OS X")
        whole = tone(3.0, 440)
        write_wav(dialog / "wav" / f"{name}.wav", np.stack([whole, whole], axis=1))
        write_clip(
            dialog / "avi" / "DivX" / f"{name}.avi",
            seconds=3.0,
            codecs=("mpeg4", "pcm_s16le"),
            rate=16_000,
        )
        for start, end, number, _, _ in lines:
            own = dialog.parent / "sentences" / "wav" / name / f"{name}_{number}.wav"
            own.parent.mkdir(parents=True, exist_ok=True)
            write_wav(own, tone(end - start, 440))
    return folder


@pytest.fixture(scope="session")
def meld_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MELD.Raw, six utterances of 0.6 s; not to be changed."""
    return write_meld(tmp_path_factory.mktemp("MELD.Raw"))


@pytest.fixture(scope="session")
def iemocap_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """IEMOCAP_full_release, five dialogues of 3 s; not to be changed."""
    return write_iemocap(tmp_path_factory.mktemp("IEMOCAP_full_release"))


KINDS = ("text", "audio", "video", "audio_kd", "video_kd")


def authors_features(dialogues: int = 3, classes: int = 7) -> dict[str, Any]:
    random = np.random.default_rng(5)
    vids = [f"{i}" for i in range(dialogues)]
    counts = {vid: classes - i for i, vid in enumerate(vids)}
    vectors = {
        kind: {
            vid: [random.standard_normal(768).astype(np.float32) for _ in range(counts[vid])]
            for vid in vids
        }
        for kind in KINDS
    }
    return vectors | {
        "vids": vids,
        "speakers": {vid: [np.eye(4)[i % 2 + 1] for i in range(counts[vid])] for vid in vids},
        "labels": {vid: list(range(counts[vid])) for vid in vids},
        "dia2utt": {vid: counts[vid] for vid in vids},
    }


def write_pickles(folder: Path, protocol: int = 4, **change: Any) -> dict[str, Any]:
    held = authors_features() | change
    for split in ("train", "test"):
        path = folder / f"first_stage_{split}_features.pkl"
        path.write_bytes(pickle.dumps(held, protocol))
    return held
