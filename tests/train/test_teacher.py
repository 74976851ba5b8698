"""A full-size teacher and the starter's small text student."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig

from magtkd_rt.errors import DataError
from magtkd_rt.features.prompt import PromptEncoder, build_tokenizer
from magtkd_rt.labels import LABELS
from magtkd_rt.models.text import TextStudent
from magtkd_rt.train import text
from magtkd_rt.train.corpora.starter import read_meld
from magtkd_rt.train.losses import logit_loss, relation_loss
from magtkd_rt.train.teacher import Teacher, read_teacher
from magtkd_rt.train.text import TextRecipe, features_of, prompts_of, train_text


def write_run(folder: Path, labels: np.ndarray) -> None:
    """A teacher whose opinion has nothing to do with the labels."""
    (folder / "encoded").mkdir(parents=True)
    random = np.random.default_rng(1)
    shape = (len(labels), len(LABELS))
    np.savez(
        folder / "encoded" / "text.npz",
        train_features=random.standard_normal((len(labels), 20)).astype(np.float32),
        train_logits=4 * random.standard_normal(shape).astype(np.float32),
        train_present=np.arange(len(labels)) != 2,
    )
    np.savez(folder / "features.npz", train_label=labels)


def test_both_losses_on_what_has_words() -> None:
    random = torch.Generator().manual_seed(3)
    features, logits = torch.randn(5, 9, generator=random), torch.randn(5, 7, generator=random)
    teacher = Teacher(features, logits, torch.tensor([True, True, False, True, True]))
    feature, said = torch.randn(3, 4, generator=random), torch.randn(3, 7, generator=random)
    found = teacher.loss(feature, said, [4, 2, 0])
    wanted = 0.1 * logit_loss(said[[0, 2]], logits[[4, 0]])
    wanted = wanted + relation_loss(feature[[0, 2]], features[[4, 0]])
    torch.testing.assert_close(found, wanted)
    assert float(teacher.loss(feature[:1], said[:1], [2])) == 0


def test_a_teacher_of_something_else(tmp_path: Path) -> None:
    labels = np.array([0, 1, 2, 3])
    with pytest.raises(DataError, match="no teacher in"):
        read_teacher(tmp_path, torch.from_numpy(labels))
    write_run(tmp_path / "run", labels)
    assert read_teacher(tmp_path / "run", torch.from_numpy(labels)).logits.shape == (4, 7)
    with pytest.raises(DataError, match="learned from other utterances"):
        read_teacher(tmp_path / "run", torch.from_numpy(labels[:3]))


def test_the_student_stands_to_the_teacher_as_it_was_taught(
    corpora_folder: Path, bert_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tiny student in place of MiniLM, with the recipe's own loop."""
    config = BertConfig(
        vocab_size=64, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    encoder = PromptEncoder(build_tokenizer(bert_tokenizer), 64)
    config.vocab_size = encoder.vocabulary_size
    monkeypatch.setattr(text, "prompt_encoder", lambda *_: encoder)
    monkeypatch.setattr(text, "text_student", lambda _: TextStudent(config))
    monkeypatch.setattr(text, "load_minilm", lambda _: None)
    monkeypatch.setattr(text, "bf16_is_faster", lambda: False)
    dialogues = read_meld(corpora_folder, "train")
    labels = np.array([u.label for dialogue in dialogues for u in dialogue])
    write_run(tmp_path / "run", labels)
    teacher = read_teacher(tmp_path / "run", torch.from_numpy(labels))
    recipe = TextRecipe(epochs=6, learning_rate=3e-3, average=0.5, spoiled=0.0)

    def far(taught: bool) -> float:
        out = tmp_path / str(taught)
        train_text(corpora_folder, out, recipe, teacher_run=tmp_path / "run" if taught else None)
        model = TextStudent(config)
        parts = torch.load(out / "text" / "last.pt", weights_only=True)["parts"]
        model.load_state_dict(parts[0])
        prompts = [prompt for dialogue in dialogues for prompt in prompts_of(dialogue, encoder)]
        features, logits = map(torch.from_numpy, features_of(model, prompts, False))
        return float(teacher.loss(features, logits, list(range(len(labels)))))

    assert far(taught=True) < 0.9 * far(taught=False)
