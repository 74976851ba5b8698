"""Media decoded once, what is unreadable listed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from recorded import write_wav
from small_corpora import tone, write_clip

from magtkd_rt.features.faces import best_detector
from magtkd_rt.train.corpora.types import Media, Utterance
from magtkd_rt.train.stage1 import prepare as preparing
from magtkd_rt.train.stage1.prepare import PicturesWanted, SoundWanted, key_of, prepare


def said(media: Media | None, order: int = 0) -> Utterance:
    return Utterance("Hi.", 0, 0, "d", order, sound=media, picture=media)


def test_unreadable_media_are_listed_and_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = Media(write_clip(tmp_path / "good.mp4", seconds=0.4))
    bad = Media(tmp_path / "bad.mp4")
    bad.path.write_bytes(good.path.read_bytes()[:900])
    gone = Media(tmp_path / "gone.mp4")
    utterances = [said(one, i) for i, one in enumerate((good, bad, None, gone))]
    first = prepare(utterances, SoundWanted(), tmp_path / "media", workers=2)
    assert [file is not None for file in first.files] == [True, False, False, False]
    assert [one.where for one in first.unreadable] == ["d/1: bad.mp4", "d/3: gone.mp4"]
    assert "cut short before its index" in first.unreadable[0].what
    assert "does not exist" in first.unreadable[1].what

    def never(*_: object) -> None:
        raise AssertionError("decoded twice")

    monkeypatch.setattr(preparing, "read_sound", never)
    again = prepare(utterances, SoundWanted(), tmp_path / "media")
    assert again == first


def test_sound_is_kept_in_16_bits(tmp_path: Path) -> None:
    wave = tone(0.5, 300)
    media = Media(write_wav(tmp_path / "a.wav", wave))
    (file,) = prepare([said(media)], SoundWanted(0.25), tmp_path / "media").files
    assert file is not None
    kept = np.load(file)
    assert kept.dtype == np.int16 and kept.shape == (4000,)
    assert np.abs(kept / 32767 - wave[:4000]).max() < 1e-4


def test_whole_pictures_are_cut_to_the_middle(tmp_path: Path) -> None:
    media = Media(write_clip(tmp_path / "a.mp4", seconds=0.4, size=(96, 48)))
    wanted = PicturesWanted(4, 64)
    (file,) = prepare([said(media)], wanted, tmp_path / "media").files
    assert file is not None
    kept = np.load(file)
    assert kept.dtype == np.uint8 and kept.shape == (4, 64, 64, 3)
    left, right = kept[:, 10:-10, 4:24].mean((0, 1, 2)), kept[:, 10:-10, -24:-4].mean((0, 1, 2))
    assert left[0] > left[2] + 30 and right[2] > right[0] + 100  # still red and blue


def test_another_file_stretch_or_setting_is_another_key(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", tone(0.1, 300))
    keys = {
        key_of(Media(path), SoundWanted()),
        key_of(Media(path), SoundWanted(5.0)),
        key_of(Media(path, 0.0, 0.05), SoundWanted()),
        key_of(Media(path), PicturesWanted()),
        key_of(Media(path), PicturesWanted(view="face")),
        key_of(Media(path, half="left"), PicturesWanted()),
        key_of(Media(tmp_path / "none.wav"), SoundWanted()),
    }
    os.utime(path, ns=(1, 1))
    keys.add(key_of(Media(path), SoundWanted()))
    assert len(keys) == 8


def test_faces(shared: Path, tmp_path: Path) -> None:
    """A talking head is cut to its face: the face fills more of the picture."""
    wanted = PicturesWanted(4, 64, "face")
    talking = Media(shared / "media" / "video" / "talking_head_1.mp4", 1.0, 2.0)
    nobody = Media(shared / "media" / "video" / "no_face.mp4")
    prepared = prepare([said(talking), said(nobody, 1)], wanted, tmp_path)
    face, none = prepared.files
    assert face is not None and none is None
    assert prepared.unreadable[0].what.endswith("shows no face")
    crops = np.load(face)
    assert crops.shape == (4, 64, 64, 3)
    detector = best_detector()
    grey = prepare([said(talking)], PicturesWanted(4, 64, "live"), tmp_path).files[0]
    assert grey is not None and np.load(grey).shape == (4, 48, 48)
    (box, _), *others = detector.detect(np.kron(crops[1], np.ones((4, 4, 1), np.uint8)))
    assert others == [] and 0.45 < box[2] < 1.0


def test_arrays_are_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = Media(write_wav(tmp_path / "a.wav", tone(0.1, 300)))

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare([said(media)], SoundWanted(), tmp_path / "media")
    assert list((tmp_path / "media" / "sound").iterdir()) == []
    (file,) = prepare([said(media)], SoundWanted(), tmp_path / "media").files
    assert file is not None and len(np.load(file)) == 1600
