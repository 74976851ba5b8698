"""The whole first stage on a tiny MELD.Raw: alone, interrupted, and on two processes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recorded import Ran
from small_corpora import write_meld

from magtkd_rt.errors import DataError, InputError
from magtkd_rt.labels import LABELS
from magtkd_rt.train.stage1 import fit as fitting
from magtkd_rt.train.stage1.recipe import train_stage1
from magtkd_rt.train.stage1.settings import read_settings

CONFIG = """
[run]
size = 12
workers = 2
{run}
[text]
model = "{checkpoints}/roberta"
max_tokens = 96
epochs = 2
batch = 3
learning_rate = 1e-3
[audio]
model = "{checkpoints}/data2vec"
epochs = 2
batch = 3
learning_rate = 1e-3
[video]
model = "{checkpoints}/{pictures}"
frames = 4
epochs = 2
batch = 3
learning_rate = 1e-3
"""
STAGES = ("text", "audio", "video", "audio_distilled", "video_distilled")


def config(folder: Path, checkpoints: Path, pictures: str = "timesformer", run: str = "") -> Path:
    path = folder / "config.toml"
    path.write_text(CONFIG.format(checkpoints=checkpoints, pictures=pictures, run=run))
    return path


def histories(out: Path) -> dict[str, Any]:
    return {s: json.loads((out / s / "history.json").read_text()) for s in STAGES}


def arrays(out: Path) -> dict[str, np.ndarray]:
    with np.load(out / "features.npz", allow_pickle=False) as archive:
        return dict(archive)


def assert_same(one: Path, other: Path) -> None:
    for stage, history in histories(one).items():
        again = histories(other)[stage]
        np.testing.assert_allclose(again["losses"], history["losses"], rtol=0, atol=1e-6)
        assert again["dev"] == history["dev"]
    first, second = arrays(one), arrays(other)
    assert first.keys() == second.keys()
    for name, array in first.items():
        if array.dtype.kind == "f":
            np.testing.assert_allclose(second[name], array, rtol=0, atol=1e-6)
        else:
            np.testing.assert_array_equal(second[name], array)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """As each of several processes has: on more, sums come in another order, 5e-6 apart."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def trained(
    checkpoints: Path, meld_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """The configuration and the finished run."""
    folder = tmp_path_factory.mktemp("trained")
    train_stage1(config(folder, checkpoints), meld_folder, folder / "out")
    return folder / "config.toml", folder / "out"


def test_features_for_stage_2(trained: tuple[Path, Path]) -> None:
    found = arrays(trained[1])
    assert tuple(found["classes"]) == LABELS
    for split, count in (("train", 3), ("dev", 1), ("test", 2)):
        for modality in ("text", "audio", "video"):
            assert found[f"{split}_{modality}"].shape == (count, 12)
            assert found[f"{split}_{modality}"].dtype == np.float32
        assert found[f"{split}_present"].all()
    assert found["train_dialogue"].tolist() == ["0", "0", "1"]
    assert found["train_order"].tolist() == [0, 1, 0]
    assert found["train_speaker"].tolist() == [0, 1, 0]
    assert [LABELS[i] for i in found["train_label"]] == ["neutral", "joy", "surprise"]


def test_features_are_the_best_students_after_distillation(trained: tuple[Path, Path]) -> None:
    with np.load(trained[1] / "encoded" / "audio_distilled.npz") as archive:
        np.testing.assert_array_equal(arrays(trained[1])["test_audio"], archive["test_features"])
        with np.load(trained[1] / "encoded" / "audio.npz") as alone:
            assert np.abs(alone["test_features"] - archive["test_features"]).max() > 1e-3


def test_the_record(trained: tuple[Path, Path], meld_folder: Path) -> None:
    record = json.loads((trained[1] / "run.json").read_text())
    assert record["corpus"]["splits"]["train"] == {"dialogues": 2, "utterances": 3}
    assert set(record["corpus"]["sha256"]) == {
        f"{s}_sent_emo.csv" for s in ("train", "dev", "test")
    }
    assert record["settings"]["text"]["max_tokens"] == 96
    assert record["versions"]["torch"] == torch.__version__ and record["processes"] == 1
    metrics = json.loads((trained[1] / "audio_distilled" / "metrics.json").read_text())
    assert metrics["chosen_on"] == "dev" and metrics["utterances"]["train"] == 3
    assert json.loads((trained[1] / "unreadable_audio.json").read_text()) == []


def test_interrupted_and_gone_on_with(
    trained: tuple[Path, Path],
    meld_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    step, calls = fitting._step, 0

    def interrupted(*arguments: Any) -> float:
        nonlocal calls
        calls += 1
        if calls in (2, 5, 9):
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(fitting, "_step", interrupted)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            train_stage1(trained[0], meld_folder, tmp_path)
    train_stage1(trained[0], meld_folder, tmp_path)
    assert_same(trained[1], tmp_path)


@pytest.mark.slow
def test_two_processes_equal_one(
    trained: tuple[Path, Path], meld_folder: Path, tmp_path: Path
) -> None:
    """On the processor, by gloo; three utterances to a batch, so one share is filled up."""
    script = tmp_path / "both.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\n"
        "from magtkd_rt.train.stage1.recipe import train_stage1\n"
        "train_stage1(*map(Path, sys.argv[1:]))\n"
    )
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", "2", script, trained[0], meld_folder, tmp_path / "out"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads((tmp_path / "out" / "run.json").read_text())["processes"] == 2
    assert done.stdout.count("video_distilled: weighted F1") == 1  # one process speaks
    assert_same(trained[1], tmp_path / "out")


def test_stage_by_stage_and_broken_media(
    checkpoints: Path, meld_folder: Path, tmp_path: Path, run_program: Callable[..., Ran]
) -> None:
    data, out = tmp_path / "meld", tmp_path / "out"
    shutil.copytree(meld_folder, data)
    (data / "train_splits" / "dia0_utt1.mp4").write_bytes(b"broken")
    (data / "output_repeated_splits_test" / "dia0_utt0.mp4").unlink()
    options = ("--config", config(tmp_path, checkpoints, "videomae"), "--data", data, "--out", out)
    first = run_program("magtkd", "train", "distil", *options)
    assert first.code == 2 and "the stage text has not been run" in first.err
    for stage in ("text", "video"):
        ran = run_program("magtkd", "train", stage, *options)
        assert ran.code == 0, ran.err
    (listed,) = json.loads((out / "unreadable_video.json").read_text())
    assert listed["where"] == "train 0/1: dia0_utt1.mp4"
    found = arrays(out)
    assert "train_audio" not in found
    assert found["train_present"].tolist() == [
        [True, False, True],
        [True, False, False],
        [True, False, True],
    ]
    assert found["test_present"][:, 2].tolist() == [False, True]
    assert not found["train_video"][1].any() and found["train_video"][0].any()


def test_text_alone(checkpoints: Path, tmp_path: Path) -> None:
    data = write_meld(tmp_path / "meld", clips=False)
    chosen = config(tmp_path, checkpoints)
    train_stage1(chosen, data, tmp_path / "out")
    found = arrays(tmp_path / "out")
    assert "train_text" in found and "train_audio" not in found
    with pytest.raises(DataError, match="has no audio in its train split"):
        train_stage1(chosen, data, tmp_path / "out", ("audio",))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("sizes = 3", "run.sizes: Extra inputs"),
        ("seed = 'x'", "run.seed: Input should be a valid integer"),
        ("precision = 'fp8'", "run.precision: Input should be 'auto'"),
        ("seed = ", "is no TOML"),
    ],
)
def test_settings_that_are_wrong(checkpoints: Path, tmp_path: Path, line: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_settings(config(tmp_path, checkpoints, run=line))


@pytest.mark.parametrize("name", ["meld", "iemocap"])
def test_the_configurations_that_come_with_it(name: str) -> None:
    settings = read_settings(Path(__file__).parents[3] / "configs" / f"{name}.toml")
    assert (settings.text.model, settings.text.epochs, settings.text.batch) == (
        "roberta-large",
        10,
        4,
    )
    assert settings.distil.logits == 0.1


def test_a_config_that_is_missing(tmp_path: Path, run_program: Callable[..., Ran]) -> None:
    ran = run_program(
        "magtkd", "train", "all", "--config", tmp_path / "no.toml", "--data", tmp_path,
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert ran.code == 2 and "no.toml cannot be read" in ran.err
    assert not (tmp_path / "out").exists()
