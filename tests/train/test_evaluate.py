"""A whole evaluation, on real tiny graphs and small corpora in the real shapes."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from matplotlib.image import imread
from numpy.typing import NDArray
from rich.console import Console
from sklearn.metrics import balanced_accuracy_score, f1_score

from magtkd_rt.bundle.prompt import prompt_encoder
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.core.jobs import Encoded, Turn
from magtkd_rt.engines.onnx import OnnxEngine
from magtkd_rt.runtime.recogniser import Features, Recogniser
from magtkd_rt.train.card import render
from magtkd_rt.train.conditions import Corpora, measure, spoil
from magtkd_rt.train.corpora.starter import read_fer2013, read_meld, read_ravdess, read_sound
from magtkd_rt.train.evaluate import evaluate, read_pairing
from magtkd_rt.train.fusion import Split, labels_of
from magtkd_rt.train.loop import progress_bar
from magtkd_rt.train.metrics import expected_calibration_error
from magtkd_rt.train.pairing import Bank, Exchange, Paired
from magtkd_rt.train.report import summary

ROUNDS = 20


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("out") / "new" / "folder"


@pytest.fixture(scope="module")
def results(paired_bundle: Bundle, corpora_folder: Path, out: Path) -> dict[str, Any]:
    return evaluate(paired_bundle.directory, corpora_folder, out, rounds=ROUNDS, threads=1)


@pytest.fixture(scope="module")
def recogniser(paired_bundle: Bundle) -> Recogniser:
    return Recogniser(paired_bundle, OnnxEngine(paired_bundle, threads=1))


def encode(recogniser: Recogniser, data: Path, words: list[list[Turn]]) -> list[list[Paired]]:
    """The test's pairings, encoded by hand through the recogniser."""

    def bank(encoded: list[Encoded], labels: list[int], owners: list[int]) -> Bank:
        features = np.stack([e.feature for e in encoded])
        logits = np.stack([e.logits for e in encoded])
        return Bank(features, logits, np.array(labels), np.array(owners))

    dialogues = read_meld(data, "test")
    texts = [recogniser.encode_text(t[: i + 1]) for t in words for i in range(len(t))]
    clips = read_ravdess(data, "test")
    voices = [recogniser.encode_audio(read_sound(clip.path)) for clip in clips]
    faces, labels = read_fer2013(data, "test")
    split = Split(
        dialogues,
        [bank(texts, [u.label for d in dialogues for u in d], [0] * len(texts))],
        bank(voices, [clip.label for clip in clips], [clip.actor for clip in clips]),
        bank([recogniser.encode_video(f[None]) for f in faces], labels.tolist(), [0] * len(faces)),
        Exchange(audio=0.25, video=0.5),
    )
    return [split.pair(np.array([0.4, *[0.1] * 6]), seed) for seed in (11, 12)]


@pytest.fixture(scope="module")
def pairings(recogniser: Recogniser, corpora_folder: Path) -> list[list[Paired]]:
    words = [[Turn(u.speaker, u.text) for u in d] for d in read_meld(corpora_folder, "test")]
    return encode(recogniser, corpora_folder, words)


def test_words_are_scored_on_the_past_only(
    results: dict[str, Any], paired_bundle: Bundle, corpora_folder: Path
) -> None:
    session = onnxruntime.InferenceSession(str(paired_bundle.graph_path("text")))
    encoder = prompt_encoder(paired_bundle)
    for split in ("dev", "test"):
        labels, predicted = [], []
        for dialogue in read_meld(corpora_folder, split):
            turns = [Turn(u.speaker, u.text) for u in dialogue]
            for number, utterance in enumerate(dialogue):
                prompt = encoder.encode(turns[: number + 1])
                ids = np.array([prompt.input_ids])
                inputs = {"input_ids": ids, "mask_position": np.array([prompt.mask_position])}
                labels.append(utterance.label)
                predicted.append(int(session.run(["logits"], inputs)[0].argmax()))
        scores = results["text"][split]
        assert scores["count"] == len(labels)
        wanted = f1_score(labels, predicted, average="weighted", zero_division=0)
        assert scores["weighted_f1"]["value"] == pytest.approx(wanted)


def test_voices_and_faces(results: dict[str, Any], pairings: object, corpora_folder: Path) -> None:
    assert results["audio"]["test"]["count"] == 4 * 8
    assert results["audio"]["test"]["per_class"]["neutral"]["count"] == 8  # calm is neutral
    assert sorted(results["actors"]) == ["21", "22", "23", "24"]
    assert results["video"]["test"]["count"] == 21


def test_one_actors_figure(
    results: dict[str, Any], recogniser: Recogniser, corpora_folder: Path
) -> None:
    clips = [clip for clip in read_ravdess(corpora_folder, "test") if clip.actor == 23]
    predicted = [recogniser.encode_audio(read_sound(c.path)).logits.argmax() for c in clips]
    wanted = balanced_accuracy_score([clip.label for clip in clips], predicted)
    assert results["actors"]["23"] == pytest.approx(wanted)


def fused_as_live(
    recogniser: Recogniser, paired: list[Paired], keep: tuple[bool, ...]
) -> NDArray[np.float64]:
    """Probabilities of dialogues that go through the runtime's own `fuse`."""
    said = []
    for dialogue in paired:
        state = None
        for features, speaker in zip(dialogue.features, dialogue.speaker, strict=True):
            given: Features = tuple(  # type: ignore[assignment]
                f if kept else None for f, kept in zip(features, keep, strict=True)
            )
            fused = recogniser.fuse(given, int(speaker), state)
            state = fused.state
            said.append(fused.probabilities)
    return np.array(said, np.float64)


@pytest.mark.parametrize("keep", [keep for keep in product((True, False), repeat=3) if any(keep)])
def test_fused_is_what_the_runtime_would_say(
    results: dict[str, Any],
    recogniser: Recogniser,
    pairings: list[list[Paired]],
    keep: tuple[bool, ...],
) -> None:
    name = "+".join(m for m, k in zip(("text", "audio", "video"), keep, strict=True) if k)
    found = results["fused"][name]
    runs = [fused_as_live(recogniser, paired, keep) for paired in pairings]
    labels = labels_of(pairings[0])
    wanted = [f1_score(labels, run.argmax(1), average="weighted", zero_division=0) for run in runs]
    assert found["weighted_f1"]["runs"] == pytest.approx(wanted)
    assert found["weighted_f1"]["value"] == pytest.approx(np.mean(wanted))
    errors = [expected_calibration_error(labels, run) for run in runs]
    assert found["ece"] == pytest.approx(np.mean(errors), abs=1e-5)


@pytest.mark.parametrize("right", [1, 2])
def test_right_context_is_what_the_runtime_would_say_last(
    results: dict[str, Any],
    recogniser: Recogniser,
    pairings: list[list[Paired]],
    right: int,
) -> None:
    runs, causal = [], []
    for paired in pairings:
        last: list[NDArray[np.float32]] = []
        for dialogue in paired:
            state, given = None, []
            began = len(last)
            for (text, audio, video), speaker in zip(
                dialogue.features, dialogue.speaker, strict=True
            ):
                given.append(((text, audio, video), int(speaker)))
                fused = recogniser.fuse(*given[-1], state)
                state = fused.state
                last.append(fused.probabilities)
                for ahead in range(1, min(right, len(given) - 1) + 1):
                    again = recogniser.fuse(*given[-1 - ahead], state, ahead)
                    last[began + len(given) - 1 - ahead] = again.probabilities
        runs.append(np.array(last, np.float64))
        causal.append(fused_as_live(recogniser, paired, (True, True, True)).argmax(1))
    name = f"text+audio+video, looked at again after {right}"
    found, labels = results["revised"][name], labels_of(pairings[0])
    wanted = [f1_score(labels, run.argmax(1), average="weighted", zero_division=0) for run in runs]
    assert found["weighted_f1"]["runs"] == pytest.approx(wanted)
    errors = [expected_calibration_error(labels, run) for run in runs]
    assert found["ece"] == pytest.approx(np.mean(errors), abs=1e-5)

    changed = results["changed"][name]
    moved = [run.argmax(1) != before for run, before in zip(runs, causal, strict=True)]
    assert changed["share"] == pytest.approx(np.mean(moved))
    assert 0 < changed["share"] < 1
    gained = changed["to_right"] - changed["from_right"]
    accuracy = results["fused"]["text+audio+video"]["accuracy"]["value"]
    assert gained == pytest.approx(found["accuracy"]["value"] - accuracy)


def test_spoiled_words_and_no_words(
    results: dict[str, Any], recogniser: Recogniser, corpora_folder: Path
) -> None:
    """An utterance whose words are all gone has no text, as in the runtime."""
    spoiled = spoil(Corpora.read(corpora_folder))
    clean = [[u.text for u in dialogue] for dialogue in read_meld(corpora_folder, "test")]
    heard = [[turn.text for turn in turns] for turns in spoiled.turns]
    assert [len(texts) for texts in heard] == [len(texts) for texts in clean]
    gone = [not text for texts in heard for text in texts]
    assert 0 < sum(gone) < len(gone)
    assert spoiled.spoken.tolist() == [not one for one in gone]
    assert results["spoiling"]["utterances_without_words"] == sum(gone)
    assert 0.1 < results["spoiling"]["word_error_rate"] < 0.5

    runs = []
    for paired in encode(recogniser, corpora_folder, spoiled.turns):
        empty = iter(gone)
        said = []
        for dialogue in paired:
            state = None
            for (text, audio, video), speaker in zip(
                dialogue.features, dialogue.speaker, strict=True
            ):
                words = None if next(empty) else text
                fused = recogniser.fuse((words, audio, video), int(speaker), state)
                state = fused.state
                said.append(fused.probabilities)
        runs.append(expected_calibration_error(labels_of(paired), np.array(said, np.float64)))
    assert results["fused"]["spoiled text+audio+video"]["ece"] == pytest.approx(
        np.mean(runs), abs=1e-5
    )


def test_every_combination_of_modalities_is_another(results: dict[str, Any]) -> None:
    errors = {name: round(scores["ece"], 4) for name, scores in results["fused"].items()}
    assert len(errors) == 9
    assert len(set(errors.values())) == 9


def test_intervals_hold_the_value(results: dict[str, Any]) -> None:
    for kind in ("text", "audio", "video", "fused", "revised", "paper"):
        for scores in results[kind].values():
            for name in ("accuracy", "uar"):
                assert scores[name]["low"] <= scores[name]["value"] <= scores[name]["high"]


def test_paper_mode_sees_whole_dialogues(
    results: dict[str, Any], recogniser: Recogniser, pairings: list[list[Paired]]
) -> None:
    session = onnxruntime.InferenceSession(str(recogniser.bundle.path("paper.onnx")))
    wanted = []
    for paired in pairings:
        predicted = [
            session.run(
                ["logits"],
                {
                    **{m: d.features[:, i] for i, m in enumerate(("text", "audio", "video"))},
                    "present": np.ones((len(d.labels), 3), np.bool_),
                    "speaker": d.speaker,
                },
            )[0].argmax(1)
            for d in paired
        ]
        labels = np.concatenate([d.labels for d in paired])
        wanted.append(
            f1_score(labels, np.concatenate(predicted), average="weighted", zero_division=0)
        )
    assert results["paper"]["text+audio+video"]["weighted_f1"]["runs"] == pytest.approx(wanted)


def test_differences_are_those_of_the_scores(results: dict[str, Any]) -> None:
    fused, text = results["fused"], results["text"]
    for name, one, other in (
        ("fused - text alone", fused["text+audio+video"], text["test"]),
        ("fused - words through the fusion", fused["text+audio+video"], fused["text"]),
        ("words through the fusion - text alone", fused["text"], text["test"]),
        (
            "spoiled: fused - text alone",
            fused["spoiled text+audio+video"],
            text["spoiled"],
        ),
        (
            "spoiled: fused - words through the fusion",
            fused["spoiled text+audio+video"],
            fused["spoiled text"],
        ),
        *(
            (
                f"{start}looked at again after {ahead} - fused",
                results["revised"][f"{name}, looked at again after {ahead}"],
                fused[name],
            )
            for ahead in (1, 2)
            for start, name in (
                ("", "text+audio+video"),
                ("spoiled: ", "spoiled text+audio+video"),
            )
        ),
    ):
        difference = results["differences"][name]
        wanted = one["weighted_f1"]["value"] - other["weighted_f1"]["value"]
        assert difference["value"] == pytest.approx(wanted)
        assert difference["low"] <= difference["high"]


def test_goals_are_judged_by_what_was_measured(results: dict[str, Any]) -> None:
    rows = {row["what"]: row for row in results["reached"]}
    assert len(rows) == 12
    words = rows["words alone, MELD test: W-F1"]
    assert words["value"] == results["text"]["test"]["weighted_f1"]["value"]
    for row in rows.values():
        if row["goal"] is not None:
            over = row["value"] >= row["goal"]
            assert row["reached"] == (over if row["bound"] == "at least" else not over)
    assert rows["words alone, MELD test: W-F1"]["reached"] is False  # random weights
    assert {"words", "voice", "face", "fused"} == {
        what.split(", ")[1].split(";")[0] for what in rows if what.startswith("calibration error")
    }


def test_files_say_what_was_returned(
    results: dict[str, Any], out: Path, paired_bundle: Bundle
) -> None:
    def no_constants(name: str) -> None:
        raise AssertionError(name)

    read = json.loads((out / "results.json").read_text(), parse_constant=no_constants)
    assert read == results
    assert read["bundle"]["sha256"] == paired_bundle.sha256
    pictures = sorted(path.name for path in out.glob("*.png"))
    pictured = (
        "text-test",
        "audio-test",
        "video-test",
        "fused-text",
        "fused-text-audio-video",
        "fused-spoiled-text-audio-video",
        "paper-text-audio-video",
    )
    kinds = ("confusion", "reliability")
    assert pictures == sorted(
        ["conditions.png", *(f"{kind}-{name}.png" for kind in kinds for name in pictured)]
    )
    picture = imread(out / "confusion-audio-test.png")
    assert picture.shape[0] > 400 and picture.std() > 0.01


def test_page_stands_alone_and_says_what_matters(results: dict[str, Any], out: Path) -> None:
    page = (out / "index.html").read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|href)="([^"]{0,40})', page)
    assert len(sources) == len(list(out.glob("*.png")))
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "research &lt;only&gt;" in page and "<only>" not in page
    text = " ".join(page.split())
    for said in (
        "Only the rows called",
        "paper mode, sees the future: words",
        "right context 2, sees the future: spoiled words + voice + face",
        "expression, not of an inner state",
        "it is not a promise for a natural recording",
        "only 4 actors",
        results["bundle"]["sha256"],
        f"{100 * results['text']['test']['weighted_f1']['value']:.1f}",
    ):
        assert said in text
    assert "nan" not in re.sub(r"base64,[^\"]*", "", page).lower().split()


def test_the_card_says_what_sees_the_future(results: dict[str, Any]) -> None:
    names = ("data", "max_tokens", "size", "heads", "window", "right", "faces", "exchange")
    card = render(dict.fromkeys(names, "so") | {"spoiled": 0.1}, results)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in card.splitlines()]
    assert ["present", "causal", "1 later", "2 later", "paper mode"] in rows
    everything = "text+audio+video"
    wanted = [
        results["fused"][everything],
        *(results["revised"][f"{everything}, looked at again after {ahead}"] for ahead in (1, 2)),
        results["paper"][everything],
    ]
    shown = [f"{one['weighted_f1']['value']:.3f}" for one in wanted]
    assert [everything, *shown] in rows
    assert ["audio", f"{results['fused']['audio']['weighted_f1']['value']:.3f}", "", "", ""] in rows
    share = results["changed"][f"{everything}, looked at again after 2"]["share"]
    assert f"looked at again after 2: {share:.1%} of the labels change" in card


def test_summary_shows_every_goal(results: dict[str, Any]) -> None:
    console = Console(width=160, record=True, quiet=False, file=None)
    with console.capture() as captured:
        console.print(summary(results))
    shown = captured.get()
    for row in results["reached"]:
        assert row["what"] in shown
    assert "not reached" in shown


def test_again_gives_the_same(
    results: dict[str, Any], recogniser: Recogniser, corpora_folder: Path
) -> None:
    corpora, pairing = Corpora.read(corpora_folder), read_pairing(recogniser.bundle)
    with progress_bar() as bar:
        again = measure(recogniser, corpora, pairing, ROUNDS, bar)
    assert again == {key: results[key] for key in again}
