"""The fusion recipe: what is dropped, and what words alone shall say."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from magtkd_rt.train.fusion import FusionRecipe, Mode, drop_modalities, main_loss, new_model


def test_words_alone_learn_from_the_text_student_only() -> None:
    recipe = FusionRecipe()
    torch.manual_seed(1)
    words, targets = torch.randn(6, 7), torch.randint(0, 7, (6,))
    logits = words.clone().requires_grad_()
    alone = torch.tensor([True, True, True, False, False, False])
    main_loss(logits, targets, words, alone, recipe).backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad[:3], torch.zeros(3, 7), atol=1e-7, rtol=0)
    assert (logits.grad[3:].abs().sum(1) > 0.01).all()
    other = logits.detach() + torch.randn(6, 7)
    apart = functional.kl_div(
        other.log_softmax(1), words.log_softmax(1), reduction="batchmean", log_target=True
    )
    everybody = torch.ones(6, dtype=torch.bool)
    found = main_loss(other, targets, words, everybody, recipe)
    torch.testing.assert_close(found, recipe.as_words * apart)


def test_no_utterance_loses_everything() -> None:
    torch.manual_seed(2)
    there = torch.ones(64, 9)
    there[:, 7:] = 0
    present = drop_modalities(there, FusionRecipe(absent=0.7))
    assert (present[:, :7].sum(2) > 0).all()
    assert not present[:, 7:].any()
    words_only = (present[:, :7] == torch.tensor([1.0, 0.0, 0.0])).all(2).all(1)
    assert 0.1 < words_only.float().mean() < 0.5


@pytest.mark.parametrize("mode", ["streaming", "paper"])
@torch.no_grad()
def test_the_main_head_adds_to_what_the_words_say(mode: Mode) -> None:
    words = nn.Linear(8, 7)
    model = new_model(mode, words).eval()
    assert not any(parameter.requires_grad for parameter in model.words.parameters())
    main = model.classify[0]
    assert isinstance(main, nn.Linear)
    main.weight.zero_()
    main.bias.zero_()
    features, speaker = torch.randn(2, 5, 3, 8), torch.zeros(2, 5, dtype=torch.long)
    present = torch.ones(2, 5, 3)
    present[1, :, 0] = 0
    logits = model(features, present, speaker)[0]
    torch.testing.assert_close(logits[0], words(features[0, :, 0]))
    assert not logits[1].any()
