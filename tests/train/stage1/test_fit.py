"""Training an encoder: exact resume, parts of a batch, checkpoints that are whole or not there."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn

from magtkd_rt.errors import DataError, InputError
from magtkd_rt.train.files import write_npz
from magtkd_rt.train.losses import feature_loss, logit_loss
from magtkd_rt.train.metrics import weighted_f1
from magtkd_rt.train.progress import progress_bar
from magtkd_rt.train.stage1 import fit as fitting
from magtkd_rt.train.stage1.accelerated import Shares, accelerator_for
from magtkd_rt.train.stage1.fit import Progressed, Stage, fit
from magtkd_rt.train.stage1.objectives import cross_entropy, distillation
from magtkd_rt.train.stage1.settings import DistilSettings, Learning

N, CLASSES = 23, 3
LEARNING = Learning(epochs=3, batch=5, learning_rate=0.02, save_every=2)


class Vectors:
    """Inputs that need no decoding."""

    def __init__(self, count: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        self.values = torch.from_numpy(random.standard_normal((count, 4)).astype(np.float32))
        self.labels = self.values[:, :CLASSES].argmax(1).numpy()
        self.usable = np.arange(count) % 7 != 3

    def batch(self, rows: Sequence[int]) -> dict[str, Tensor]:
        assert self.usable[list(rows)].all()
        return {"x": self.values[list(rows)]}


class Net(nn.Module):
    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Dropout(dropout))
        self.project = nn.Linear(16, 8)
        self.classify = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        feature = self.project(self.body(x))
        return feature, self.classify(feature)


@pytest.fixture(scope="module")
def accelerator() -> Accelerator:
    return accelerator_for("no")


def stage(accelerator: Accelerator, learning: Learning = LEARNING, of: str = "a") -> Stage:
    train, dev = Vectors(N, 1), Vectors(11, 2)
    loss = cross_entropy(train.labels, accelerator)
    labels = {"train": train.labels, "dev": dev.labels}
    return Stage("vectors", {"train": train, "dev": dev}, labels, learning, loss, of)


def run(
    given: Stage, out: Path, accelerator: Accelerator, dropout: float = 0.3
) -> tuple[Progressed, nn.Module]:
    torch.manual_seed(4)
    model = Net(dropout)
    with progress_bar(disable=True) as bar:
        return fit(model, given, out, accelerator, bar), model


@pytest.mark.parametrize("stop", [1, 3, 4, 7, 11])
def test_an_interrupted_run_equals_an_uninterrupted_one(
    accelerator: Accelerator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    whole, model = run(stage(accelerator), tmp_path / "whole", accelerator)
    assert whole.step == len(whole.losses) == 12  # 20 usable rows, 5 a step, 3 epochs
    assert whole.losses[-1] < 0.8 * whole.losses[0]
    step = fitting._step
    done = 0

    def interrupted(*arguments: object) -> float:
        nonlocal done
        if done == stop:
            raise KeyboardInterrupt
        done += 1
        return step(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(fitting, "_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(stage(accelerator), tmp_path / "parts", accelerator)
    parts, again = run(stage(accelerator), tmp_path / "parts", accelerator)
    np.testing.assert_allclose(parts.losses, whole.losses, rtol=0, atol=1e-6)
    assert parts.dev == whole.dev and parts.best == max(whole.dev)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=0, atol=1e-6)


def test_a_finished_run_is_only_loaded(
    accelerator: Accelerator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, model = run(stage(accelerator), tmp_path, accelerator)
    monkeypatch.setattr(fitting, "_step", lambda *_: pytest.fail("trained again"))
    second, again = run(stage(accelerator), tmp_path, accelerator)
    assert second == first
    for name, value in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=0, atol=0)


def test_a_batch_in_parts_is_the_same_batch(accelerator: Accelerator, tmp_path: Path) -> None:
    whole, _ = run(stage(accelerator), tmp_path / "1", accelerator, dropout=0)
    parts = stage(accelerator, LEARNING.model_copy(update={"accumulate": 3}))
    cut, _ = run(parts, tmp_path / "3", accelerator, dropout=0)
    np.testing.assert_allclose(cut.losses, whole.losses, rtol=0, atol=1e-6)


def test_the_best_epoch_is_chosen_on_dev(accelerator: Accelerator, tmp_path: Path) -> None:
    given = stage(accelerator, LEARNING.model_copy(update={"epochs": 6, "learning_rate": 0.3}))
    far, model = run(given, tmp_path, accelerator)
    kept = torch.load(tmp_path / "vectors" / "best.pt", weights_only=True)
    logits = fitting.encode(model, given.inputs["dev"], accelerator, 4)[1]
    dev = given.inputs["dev"].usable
    score = weighted_f1(given.labels["dev"][dev], logits.argmax(1))
    assert score == far.best == max(far.dev)
    assert kept.keys() == model.state_dict().keys()
    history = json.loads((tmp_path / "vectors" / "history.json").read_text())
    assert history["losses"] == far.losses
    assert list((tmp_path / "tensorboard" / "vectors").iterdir())


def test_a_run_of_something_else_is_left_alone(accelerator: Accelerator, tmp_path: Path) -> None:
    run(stage(accelerator), tmp_path, accelerator)
    before = (tmp_path / "vectors" / "last.pt").read_bytes()
    with pytest.raises(InputError, match="holds a run with other data or settings; name another"):
        run(stage(accelerator, of="b"), tmp_path, accelerator)
    assert (tmp_path / "vectors" / "last.pt").read_bytes() == before


@pytest.mark.parametrize("cut", [0, 100, -100])
def test_a_damaged_checkpoint_is_told(accelerator: Accelerator, tmp_path: Path, cut: int) -> None:
    run(stage(accelerator), tmp_path, accelerator)
    path = tmp_path / "vectors" / "last.pt"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match="last.pt is damaged"):
        run(stage(accelerator), tmp_path, accelerator)


def test_no_usable_rows_and_no_numbers(accelerator: Accelerator, tmp_path: Path) -> None:
    given = stage(accelerator)
    given.inputs["train"].usable[:] = False
    with pytest.raises(DataError, match="no utterance of train can be used for vectors"):
        run(given, tmp_path, accelerator)
    bad = stage(accelerator)
    assert isinstance(bad.inputs["train"], Vectors)
    bad.inputs["train"].values[:] = float("nan")
    with pytest.raises(DataError, match="the loss of vectors is nan"):
        run(bad, tmp_path, accelerator)
    assert not (tmp_path / "vectors" / "last.pt").exists()


FULL_DISK = """
import resource, signal, sys, torch
from pathlib import Path
from magtkd_rt.errors import InputError
from magtkd_rt.train.loop import save_atomically
from magtkd_rt.train.files import write_npz
import numpy as np
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
for write, name in (
    (lambda path: save_atomically({"w": torch.zeros(40_000)}, path), "last.pt"),
    (lambda path: write_npz(path, {"w": np.zeros(40_000)}), "features.npz"),
):
    try:
        write(folder / name)
    except InputError as error:
        print(error)
"""


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(3)}, tmp_path / "last.pt")
    write_npz(tmp_path / "features.npz", {"w": np.ones(3)})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    script = textwrap.dedent(FULL_DISK)
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 2 and all("cannot be written" in line for line in lines), done.stdout
    assert all("what was there before is untouched" in line for line in lines)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_distilled_loss_is_the_sum_of_its_parts(accelerator: Accelerator) -> None:
    random = torch.Generator().manual_seed(6)
    feature, logits = torch.randn(4, 8, generator=random), torch.randn(4, 3, generator=random)
    teacher, scores = torch.randn(9, 8, generator=random), torch.randn(9, 3, generator=random)
    labels = np.arange(9) % 3
    rows = [7, 2, 5, 0]
    loss = distillation(labels, teacher.numpy(), scores.numpy(), DistilSettings(), accelerator)(
        feature, logits, Shares(rows, accelerator), 4
    )
    wanted = (
        nn.functional.cross_entropy(logits, torch.from_numpy(labels)[rows])
        + 0.1 * logit_loss(logits, scores[rows])
        + feature_loss(feature, teacher[rows])
    )
    torch.testing.assert_close(loss, wanted)
    half = distillation(
        labels, teacher.numpy(), scores.numpy(), DistilSettings(logits=0, features=0), accelerator
    )(feature[:2], logits[:2], Shares(rows[:2], accelerator), 4)
    # By hand: the mean over a step of four rows, of which two are in this part.
    each = -nn.functional.log_softmax(logits[:2], 1)[[0, 1], labels[rows[:2]]]
    torch.testing.assert_close(half, each.sum() / 4)


def test_shares_of_a_batch() -> None:
    class Two:
        num_processes, device = 2, torch.device("cpu")

        def __init__(self, index: int) -> None:
            self.process_index = index

    first, second = (Shares([4, 5, 6], Two(i)) for i in (0, 1))
    assert (first.rows, second.rows) == ([4, 6], [5, 4])
    assert first.weights.tolist() == [1, 1] and second.weights.tolist() == [1, 0]
    gathered = first.rows + second.rows
    assert [gathered[i] for i in first.kept] == first.all_rows == [4, 6, 5]


def test_fp16_needs_a_gpu() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(InputError, match="fp16 needs a GPU"):
        accelerator_for("fp16")


def test_bf16(accelerator: Accelerator, tmp_path: Path) -> None:
    plain, _ = run(stage(accelerator), tmp_path / "32", accelerator, dropout=0)
    AcceleratorState._reset_state()  # it is one to a process
    try:
        mixed = accelerator_for("bf16")
        half, _ = run(stage(mixed), tmp_path / "16", mixed, dropout=0)
    finally:
        AcceleratorState._reset_state()
        accelerator_for("no")
    assert half.losses != plain.losses
    np.testing.assert_allclose(half.losses, plain.losses, rtol=0, atol=0.05)
