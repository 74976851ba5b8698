"""The fusion recipe: what is dropped, and what words alone shall say."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from magtkd_rt.train.fusion import FusionRecipe, Mode, difference, drop_modalities, new_model


def test_difference_counts_utterances_with_words_only() -> None:
    words = torch.randn(6, 7)
    logits = words.clone()
    logits[3:] += torch.randn(3, 7)
    alone = torch.tensor([True, True, True, False, False, False])
    assert difference(logits, words, alone) == pytest.approx(0, abs=1e-6)
    assert difference(logits, words, ~alone) > 0.05
    assert difference(logits, words, torch.zeros(6, dtype=torch.bool)) == 0
    half, whole = difference(logits, words, ~alone), difference(logits[3:], words[3:], ~alone[3:])
    assert whole == pytest.approx(2 * float(half), rel=1e-5)  # a mean over all utterances


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
