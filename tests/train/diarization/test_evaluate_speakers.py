"""`magtkd eval speakers` from corpora to page, on small made corpora and on real voices."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from magtkd_rt.bundle.store import Bundle
from magtkd_rt.errors import InputError
from magtkd_rt.train.diarization.context import FOUND, ONE, TRUE, UNKNOWN
from magtkd_rt.train.diarization.evaluate import evaluate_speakers, summarise
from magtkd_rt.train.diarization.judging import HEADLINE

PNG = b"\x89PNG\r\n"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_built_conversations_are_heard_and_judged(
    shared: Path, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    out = tmp_path / "report"
    results = evaluate_speakers(
        tiny_bundle.directory, shared / "data", out, seeds=2, actors="19-20", context=False
    )
    assert json.loads((out / "results.json").read_text()) == results
    assert [one["seed"] for one in results["conversations"]] == [0, 1]
    for one in results["conversations"]:
        rate = one["diarization_error_rate"][HEADLINE]
        assert one["speakers"]["true"]
        # Speech without pauses: most of it is heard, whoever is said to speak by random weights.
        assert rate["missed"] < 0.3 * rate["total"]
        wrong = sum(rate[part] for part in ("missed", "false_alarm", "confusion"))
        assert rate["rate"] == pytest.approx(wrong / rate["total"])
        assert one["compute"]["parts"]["voices"] > 0
        assert one["changes"]["true"] == 11
    summary = results["summary"]
    rates = [one["diarization_error_rate"][HEADLINE]["rate"] for one in results["conversations"]]
    assert summary["error_rate"]["value"] == pytest.approx(np.mean(rates))
    assert summary["error_rate"]["low"] <= np.mean(rates) <= summary["error_rate"]["high"]
    page = (out / "index.html").read_text()
    assert page.count("data:image/png;base64,") == 3
    assert "http" not in page.replace("https://", "http")
    for which in ("best", "middle", "worst"):
        assert (out / f"timeline-{which}.png").read_bytes().startswith(PNG)


def test_summary_by_hand() -> None:
    def one(true: int, found: int, rate: float, delays: list[float]) -> dict[str, object]:
        return {
            "speakers": {"true": ["t"] * true, "found": ["f"] * found},
            "diarization_error_rate": {HEADLINE: {"rate": rate}},
            "changes": {"true": 11, "found": 10, "missed": 2, "false": 1}
            | {"delays_s": delays, "cut_delays_s": [delay - 0.2 for delay in delays]},
            "utterances": {"found": 12, "unsure": 1},
            "compute": {"per_speech_second": 0.02},
        }

    told = summarise([one(2, 2, 0.1, [0.5]), one(2, 3, 0.3, [0.7, 0.9]), one(3, 3, 0.2, [])])
    assert told["error_rate"]["value"] == pytest.approx(0.2)
    assert told["speakers_right"]["value"] == pytest.approx(2 / 3)
    assert told["by_speakers"]["2"] == {
        "conversations": 2,
        "error_rate": pytest.approx(0.2),
        "speakers_right": 1,
    }
    assert told["changes"]["missed"] == 6
    assert told["changes"]["delay_s"]["median"] == pytest.approx(0.7)
    assert told["changes"]["cut_delay_s"]["median"] == pytest.approx(0.5)
    assert (told["unsure_utterances"], told["utterances"]) == (3, 36)
    assert told["compute_per_speech_second"] == pytest.approx(0.02)


def test_what_cannot_be_used(corpora_folder: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too few"):
        evaluate_speakers(tiny_bundle.directory, corpora_folder, tmp_path, seeds=0)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(InputError, match="cannot make the folder"):
        evaluate_speakers(tiny_bundle.directory, corpora_folder, file / "out")


def test_what_speakers_are_worth_to_the_context(
    corpora_folder: Path, paired_bundle: Bundle, tmp_path: Path
) -> None:
    out = tmp_path / "report"
    results = evaluate_speakers(paired_bundle.directory, corpora_folder, out, seeds=1)
    context = results["context"]
    assert context["seeds"] == [11, 12]
    assert list(context["weighted_f1"]) == [TRUE, FOUND, UNKNOWN, ONE]
    for scores in context["weighted_f1"].values():
        assert 0 < scores["low"] <= scores["value"] <= scores["high"] < 1
        assert len(scores["runs"]) == 2
    difference = context["differences"][f"{UNKNOWN} - {TRUE}"]
    values = [context["weighted_f1"][name]["value"] for name in (UNKNOWN, TRUE)]
    assert difference["value"] == pytest.approx(values[0] - values[1])
    # Noise has no voice: nobody is found.
    assert context["found"] == {
        "turns_right": 0.0,
        "unknown": 1.0,
        "dialogues_with_right_number": 0.0,
    }
    assert "all unknown" in (out / "index.html").read_text()
    assert json.loads((out / "results.json").read_text()) == results
