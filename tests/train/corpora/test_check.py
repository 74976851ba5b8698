"""`magtkd data check`, on tiny corpora in real containers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from recorded import Ran, write_wav
from small_corpora import CLIPS, write_pickles

Program = Callable[..., Ran]


def test_a_small_meld_differs_from_the_published_one(
    meld_folder: Path, run_program: Program
) -> None:
    ran = run_program("magtkd", "data", "check", meld_folder, "--json")
    found = json.loads(ran.out)
    assert ran.code == 1 and not found["fine"]
    assert found["media_decoded"] == 6 and found["media_broken"] == found["problems"] == []
    train = found["splits"]["train"]
    assert (train["dialogues"], train["utterances"], train["heard"], train["seen"]) == (2, 3, 3, 3)
    assert train["labels"]["joy"] == 1 and sum(train["labels"].values()) == 3
    assert found["published"][0] == {
        "what": "train", "found": [2, 3], "published": [1038, 9989], "same": False,
    }  # fmt: skip


def test_the_real_text_is_fine(shared: Path, run_program: Program) -> None:
    ran = run_program("magtkd", "data", "check", shared / "data" / "meld")
    assert ran.code == 0 and ran.out.rstrip().endswith("fine")
    assert "text only" in ran.out and "DIFFERS" not in ran.out


def test_broken_media_are_found(meld_folder: Path, tmp_path: Path, run_program: Program) -> None:
    folder = tmp_path / "meld"
    shutil.copytree(meld_folder, folder)
    train = folder / CLIPS["train"]
    whole = (train / "dia0_utt0.mp4").read_bytes()
    (train / "dia0_utt0.mp4").write_bytes(whole[: len(whole) // 2])  # no index, as dia125_utt3
    (train / "dia0_utt1.mp4").write_bytes(b"")
    write_wav(train / "sound.wav", np.zeros(1600))
    (train / "sound.wav").rename(train / "dia1_utt0.mp4")
    ran = run_program("magtkd", "data", "check", folder, "--json")
    broken = {one["where"]: one["what"] for one in json.loads(ran.out)["media_broken"]}
    assert ran.code == 1 and len(broken) == 3
    assert "cut short before its index" in broken["train_splits/dia0_utt0.mp4"]
    assert broken["train_splits/dia0_utt1.mp4"] == "is empty"
    assert broken["train_splits/dia1_utt0.mp4"] == "holds no picture"
    table = run_program("magtkd", "data", "check", folder).out
    assert "broken: 3" in table and "NOT fine" in table
    skipped = run_program("magtkd", "data", "check", folder, "--no-decode", "--json").out
    assert json.loads(skipped)["media_broken"] is None


def test_a_recording_that_ends_before_its_utterances(
    iemocap_folder: Path, tmp_path: Path, run_program: Program
) -> None:
    folder = tmp_path / "iemocap"
    shutil.copytree(iemocap_folder, folder)
    avi = folder / "Session1/dialog/avi/DivX"
    evaluation = folder / "Session1/dialog/EmoEvaluation/Ses01M_script01_1.txt"
    evaluation.write_text(evaluation.read_text().replace("0.8000]", "7.5000]"))
    found = json.loads(run_program("magtkd", "data", "check", folder, "--json").out)
    assert found["media_broken"] == [
        {
            "where": f"{avi.name}/Ses01M_script01_1.avi",
            "what": "picture ends after 3.0 s, 7.5 s are wanted",
        }
    ]


def test_users_errors(tmp_path: Path, run_program: Program) -> None:
    ran = run_program("magtkd", "data", "check", tmp_path)
    assert ran.code == 2 and ran.err.count("magtkd: error:") == 1
    write_pickles(tmp_path)
    assert "`magtkd data features`" in run_program("magtkd", "data", "check", tmp_path).err


def test_features_of_the_authors(tmp_path: Path, run_program: Program) -> None:
    write_pickles(tmp_path)
    out = tmp_path / "features.npz"
    ran = run_program("magtkd", "data", "features", tmp_path, "--out", out)
    assert ran.code == 0 and ran.out == f"{out}: 18 train, 18 test utterances\n"
    with np.load(out, allow_pickle=False) as arrays:
        assert arrays["train_text"].shape == (18, 768)
