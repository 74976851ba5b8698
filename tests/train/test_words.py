"""The text student by several seeds, from labels that others have softened."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig

from magtkd_rt.errors import InputError
from magtkd_rt.features.prompt import PromptEncoder, build_tokenizer
from magtkd_rt.labels import LABELS
from magtkd_rt.models.text import TextStudent
from magtkd_rt.train import text, words
from magtkd_rt.train.corpora.starter import read_meld
from magtkd_rt.train.loop import Run
from magtkd_rt.train.text import TextRecipe, features_of, prompts_of, train_text
from magtkd_rt.train.words import expected_labels, judged, train_words

QUICK = TextRecipe(epochs=8, learning_rate=5e-3, average=0.5, spoiled=0.0)


@pytest.fixture
def encoder(bert_tokenizer: Path, monkeypatch: pytest.MonkeyPatch) -> PromptEncoder:
    """A tiny student in place of MiniLM, with the recipe's own loop."""
    encoder = PromptEncoder(build_tokenizer(bert_tokenizer), 64)
    config = BertConfig(
        vocab_size=encoder.vocabulary_size, hidden_size=16, num_hidden_layers=1,
        num_attention_heads=2, intermediate_size=16, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    for module in (text, words):
        monkeypatch.setattr(module, "prompt_encoder", lambda *_: encoder)
        monkeypatch.setattr(module, "bf16_is_faster", lambda: False)
    monkeypatch.setattr(text, "text_student", lambda _: TextStudent(config))
    monkeypatch.setattr(text, "load_minilm", lambda _: None)
    monkeypatch.setattr(words, "RECIPE", QUICK)
    return encoder


def test_softened_labels_pull_towards_what_is_expected(
    corpora_folder: Path, encoder: PromptEncoder, tmp_path: Path
) -> None:
    dialogues = read_meld(corpora_folder, "train")
    prompts = [prompt for dialogue in dialogues for prompt in prompts_of(dialogue, encoder)]
    expected = np.full((len(prompts), len(LABELS)), 0.02, np.float32)
    expected[:, 4] = 1 - 0.02 * (len(LABELS) - 1)

    def share_of_the_fifth(softened: float) -> float:
        out = tmp_path / str(softened)
        train_text(corpora_folder, out, replace(QUICK, softened=softened), expected=expected)
        model = text.text_student(0)
        parts = torch.load(out / "again-11" / "last.pt", weights_only=True)["parts"]
        model.load_state_dict(parts[0])
        logits = torch.from_numpy(features_of(model, prompts, False)[1])
        return float(torch.softmax(logits, 1)[:, 4].mean())

    labels = np.array([u.label for dialogue in dialogues for u in dialogue])
    wanted = 0.5 * (labels == 4).mean() + 0.5 * expected[0, 4]
    assert share_of_the_fifth(0.5) == pytest.approx(wanted, abs=0.1)
    assert share_of_the_fifth(0.0) < wanted - 0.2


def test_each_dialogue_is_expected_by_who_has_not_seen_it(
    corpora_folder: Path, encoder: PromptEncoder, tmp_path: Path
) -> None:
    """And every seed is trained, judged and written down; a second call only judges."""
    with pytest.raises(InputError, match="no students that leave a part out"):
        train_words(corpora_folder, tmp_path)
    for part in range(text.PARTS):
        student = text.text_student(0)
        with torch.no_grad():
            student.classify.weight.zero_()
            student.classify.bias.zero_()
            student.classify.bias[part] = 10.0
        torch.save(student.state_dict(), Run(tmp_path / f"text-without-{part}").folder / "best.pt")
    expected = expected_labels(corpora_folder, tmp_path)
    dialogues = read_meld(corpora_folder, "train")
    owner = [number for number, dialogue in enumerate(dialogues) for _ in dialogue]
    assert expected.argmax(1).tolist() == [number % text.PARTS for number in owner]

    results = train_words(corpora_folder, tmp_path, seeds=(1, 2))
    assert "test" not in results
    assert len(set(results["dev"]["negative_log_likelihood"])) == 2
    written = (tmp_path / "again-2" / "best.pt").stat().st_mtime_ns
    again = train_words(corpora_folder, tmp_path, seeds=(1, 2), test=True)
    assert again["dev"] == results["dev"]
    assert (tmp_path / "again-2" / "best.pt").stat().st_mtime_ns == written
    assert json.loads((tmp_path / "words.json").read_text())["test"] == json.loads(
        json.dumps(again["test"])
    )


def test_figures_by_hand() -> None:
    labels = np.array([0, 0, 0, 1])
    right = np.full((4, 2), -np.log(2), np.float32)
    right[:, 0] += np.array([1, 1, 1, -1])
    wrong = np.zeros((4, 2), np.float32)  # says 0 of everything
    figures = judged([right, wrong], labels, np.array([0, 0, 1, 1]))
    blind = 0.75 * 2 * 0.75 / 1.75  # recall 1 and precision .75 of label 0, nothing of label 1
    assert figures["weighted_f1"] == pytest.approx([1.0, blind])
    assert figures["mean_weighted_f1"] == pytest.approx((1 + blind) / 2)
    low, high = figures["interval"]
    assert low <= figures["mean_weighted_f1"] <= high
    assert figures["negative_log_likelihood"] == pytest.approx([np.log1p(np.exp(-1)), np.log(2)])
