"""The commands of stage 2 from a feature file to the pages."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from magtkd_rt.cli import main
from magtkd_rt.errors import DataError, InputError
from magtkd_rt.train.stage2.baselines import averaged, logistic
from magtkd_rt.train.stage2.distil import StudentRecipe, train_student
from magtkd_rt.train.stage2.evaluate import evaluate_given
from magtkd_rt.train.stage2.features import FeatureSet, hold_out, read_features
from magtkd_rt.train.stage2.fuse import FuseSettings, fuse, load_model
from magtkd_rt.train.stage2.judge import PAST, System, describe
from magtkd_rt.train.stage2.page import read_results, write_leaderboard
from magtkd_rt.train.stage2.seeds import choose_imbalance, combinations, plain
from magtkd_rt.train.stage2.training import Stage2Recipe, Trained

TINY = Stage2Recipe(epochs=2, batch=8, size=8, feature_size=8, heads=2, average=0.5)


def test_a_feature_file_becomes_pages(feature_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    settings = FuseSettings("both", 2, "adjusted", None, alone=False, rounds=20)
    results = fuse(feature_file, out, TINY, settings)
    (corpus,) = results["corpora"]
    assert list(corpus["systems"]) == [
        "text + audio + video, causal",
        "text + audio + video, causal, R = 1",
        "text + audio + video, causal, R = 2",
        "text + audio + video, paper mode",
    ]
    future = [one["sees_future"] for one in corpus["systems"].values()]
    assert future == [False, True, True, True]
    assert len(corpus["parts"][0]["systems"]) == 12  # six choices that lack something, both modes
    assert corpus["systems"]["text + audio + video, causal"]["weighted_f1"]["sd"] >= 0
    assert json.loads((out / "results.json").read_text()) == json.loads(json.dumps(results))
    for name in ("index.html", "leaderboard.html"):
        page = (out / name).read_text()
        assert not re.search(r"(src|href)=\"(?!data:|leaderboard.html)", page)
        assert "future" in page
    assert list(out.glob("reliability-*.png"))
    model, temperature = load_model(out / "runs" / "streaming" / "everything" / "seed-1")
    test = read_features(feature_file)["test"]
    again = Trained(model, temperature, 0.0, 1).probabilities(test)
    assert again.shape == (len(test), 3)
    folder = out / "runs" / "streaming" / "everything" / "seed-1"
    (folder / "model.pt").write_bytes(b"broken")
    with pytest.raises(DataError, match="no usable model"):
        load_model(folder)


def test_the_command_ends_with_one_line_where_a_file_is_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["magtkd", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        assert left.value.code == 2
        return capsys.readouterr().err

    command = ("train", "fuse", "--features", str(tmp_path / "no.npz"))
    out = ("--out", str(tmp_path / "out"))
    assert re.fullmatch(r"magtkd: error: no feature file at .*\n", said(*command, *out))
    assert "choose of streaming, paper, both" in said(*command, *out, "--mode", "live")
    assert "no multiple of 8" in said(*command, *out, "--size", "12")
    assert not (tmp_path / "out").exists()
    board = ("eval", "leaderboard", str(tmp_path), "--out", str(tmp_path / "page.html"))
    assert "cannot read" in said(*board)


def test_an_unknown_corpus_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no corpus iemocap"):
        evaluate_given(tmp_path, tmp_path / "out", only=["iemocap"])


def test_the_leaderboard_says_who_sees_the_future(tmp_path: Path) -> None:
    labels, groups = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    right = System([np.eye(2)[labels]], PAST)
    corpus = describe("MOSI, test videos", "accuracy", labels, ("a", "b"), groups,
                      {"<ours>": right}, [], 10)  # fmt: skip
    bundle = {
        "bundle": {"name": "starter", "version": "1"},
        "text": {
            part: {"weighted_f1": {"value": 0.611, "low": 0.589, "high": 0.632}}
            for part in ("test", "spoiled")
        },
    }
    page = tmp_path / "leaderboard.html"
    write_leaderboard([{"corpora": [corpus]}, bundle], page)
    text = page.read_text()
    rows = {row.split("</td>")[0]: row for row in re.findall(r"<tr.*?><td>(.*?</tr>)", text, re.S)}
    assert "future" not in rows["&lt;ours&gt;"]
    assert "100.0" in rows["&lt;ours&gt;"]
    assert "future" in rows["bc-LSTM, three modalities"]
    assert "future" not in rows["EmoBERTa, past only"]
    assert "58.9 to 63.2" in rows["bundle starter 1, words alone, gold text"]
    (tmp_path / "results.json").write_text("[]")
    with pytest.raises(DataError, match="is of no evaluation"):
        read_results(tmp_path)
    with pytest.raises(DataError, match="cannot read"):
        read_results(tmp_path / "none")


def test_differences_are_paired() -> None:
    """One more right in each of eight dialogues is certain; the same system twice is nothing."""
    labels, groups = np.tile([0, 1], 16), np.repeat(np.arange(8), 4)
    worse = labels.copy()
    worse[::4] = 1 - worse[::4]
    systems = {
        "good": System([np.eye(2)[labels]] * 2, PAST),
        "bad": System([np.eye(2)[worse]], PAST),
    }
    compared = [("good", "bad"), ("good", "good")]
    told = describe("x", "accuracy", labels, ("a", "b"), groups, systems, compared, 400)
    more, same = told["tests"]
    assert (more["value"], more["low"], more["high"]) == (0.25, 0.25, 0.25)
    assert more["p"] == pytest.approx(2 / 2**8, abs=0.02)  # all eight exchanged, or none
    assert (same["value"], same["p"]) == (0.0, 1.0)


def test_dev_chooses_how_rare_labels_are_treated(tiny: FeatureSet, tmp_path: Path) -> None:
    train, dev = hold_out(tiny, 0.25, 0)
    chosen, scores = choose_imbalance(train, dev, tmp_path, replace(TINY, mode="paper", epochs=1))
    assert list(scores) == ["none", "weighted", "focal", "adjusted"]
    assert scores[chosen.imbalance] == max(scores.values())


def test_every_combination_of_what_there_is() -> None:
    assert [plain(keep) for keep in combinations((True, True, False))] == [
        "text + audio", "text", "audio",
    ]  # fmt: skip
    assert len(combinations((True, True, True))) == 7


def test_baselines_and_students(tiny: FeatureSet, tiny_test: FeatureSet) -> None:
    words = logistic(tiny, tiny_test, (True, False, False))
    assert (words.labels[0] == tiny_test.labels).mean() > 0.8
    mean = averaged(System([words.runs[0], 1 - words.runs[0]], PAST))
    np.testing.assert_allclose(mean.runs[0], 0.5)
    train, dev = hold_out(tiny, 0.25, 0)
    recipe = StudentRecipe(size=8, epochs=25, batch=16, learning_rate=5e-3, noise=(0.2, 0, 0))
    teacher, score, temperature = train_student(train, dev, 0, recipe)
    assert score > 0.7
    assert temperature > 0
    student, _, _ = train_student(train, dev, 1, recipe, teacher)
    alone, _, _ = train_student(train, dev, 1, recipe)
    assert not np.allclose(student.logits(dev), alone.logits(dev))
    assert (student.logits(tiny_test).argmax(1) == tiny_test.labels).mean() > 0.5
