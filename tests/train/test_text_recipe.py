"""The text recipe's prompts: the past only."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import cast

import numpy as np
import pytest
import torch
from transformers import BertConfig

from magtkd_rt.core.jobs import Turn
from magtkd_rt.features.prompt import PromptEncoder, build_tokenizer
from magtkd_rt.models.text import TextStudent
from magtkd_rt.train.asr_errors import RecogniserErrors
from magtkd_rt.train.corpora.starter import Dialogue, Utterance
from magtkd_rt.train.text import LeftOut, collate, prompts_of, similar_lengths

DIALOGUE: Dialogue = [
    Utterance("what are you for", 0, 0),
    Utterance("i am fine", 1, 1),
    Utterance("not now", 0, 3),
    Utterance("the what", 2, 4),
]


@pytest.fixture
def encoder(bert_tokenizer: Path) -> PromptEncoder:
    return PromptEncoder(build_tokenizer(bert_tokenizer), max_tokens=64)


def test_prompts_are_causal(encoder: PromptEncoder) -> None:
    prompts = prompts_of(DIALOGUE, encoder)
    for number in range(len(DIALOGUE)):
        other = [*DIALOGUE[: number + 1], *(Utterance("fine", 5, 6) for _ in range(3))]
        assert prompts_of(other, encoder)[number] == prompts[number]
        turns = [Turn(u.speaker, u.text) for u in DIALOGUE[: number + 1]]
        assert prompts[number] == encoder.encode(turns)
    changed = [Utterance("you are not fine", 0, 0), *DIALOGUE[1:]]
    assert all(a != b for a, b in zip(prompts_of(changed, encoder), prompts, strict=True))


def test_labels_do_not_leak_into_prompts(encoder: PromptEncoder) -> None:
    others = [Utterance(u.text, u.speaker, 6 - u.label) for u in DIALOGUE]
    assert prompts_of(others, encoder) == prompts_of(DIALOGUE, encoder)


def test_spoiled_prompts_keep_their_context_spoiled(encoder: PromptEncoder) -> None:
    errors = RecogniserErrors.of([u.text for u in DIALOGUE])
    prompts = prompts_of(DIALOGUE, encoder, errors, 0.5, Random(4))
    random = Random(4)
    turns = [Turn(u.speaker, errors.spoil(u.text, 0.5, random)) for u in DIALOGUE]
    assert prompts == [encoder.encode(turns[: i + 1]) for i in range(len(turns))]
    assert prompts != prompts_of(DIALOGUE, encoder)


def test_batches_hold_every_prompt_once(encoder: PromptEncoder) -> None:
    lengths = np.random.default_rng(1).integers(5, 60, 203)
    batches = similar_lengths(lengths, 8, Random(2))
    assert sorted(row for rows in batches for row in rows) == list(range(203))
    assert max(map(len, batches)) == 8
    tokens, position, attention = collate(prompts_of(DIALOGUE, encoder))
    for row, prompt in enumerate(prompts_of(DIALOGUE, encoder)):
        count = len(prompt.input_ids)
        assert tokens[row, :count].tolist() == prompt.input_ids
        assert not tokens[row, count:].any() and attention[row].sum() == count
        assert position[row] == prompt.mask_position


def test_every_dialogue_is_left_out_once() -> None:
    student = cast("TextStudent", None)
    parts = [LeftOut(part, 3, student, np.zeros((0, 1), np.float32)) for part in range(3)]
    for dialogue in range(7):
        assert [part.keeps(dialogue) for part in parts].count(False) == 1


def test_the_last_layer_is_asked_at_the_mask_alone(encoder: PromptEncoder) -> None:
    """The same as all of BERT's hidden states, read at the mask, with padding and without."""
    torch.manual_seed(1)
    student = TextStudent(
        BertConfig(
            vocab_size=encoder.vocabulary_size, hidden_size=32, num_hidden_layers=3,
            num_attention_heads=4, intermediate_size=48,
        )
    ).eval()  # fmt: skip
    tokens, position, attention = collate(prompts_of(DIALOGUE, encoder))
    with torch.no_grad():
        hidden = student.encoder(tokens, attention_mask=attention).last_hidden_state
        wanted = student.project(hidden[torch.arange(len(tokens)), position])
        assert torch.allclose(student.embed(tokens, position, attention), wanted, atol=1e-6)
        for row, length in enumerate(attention.sum(1)):
            alone = student.embed(tokens[row : row + 1, :length], position[row : row + 1])
            assert torch.allclose(alone, wanted[row : row + 1], atol=1e-6)
