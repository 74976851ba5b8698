"""The fusion recipe: what is dropped, and what words alone shall say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from magtkd_rt.models.magt import MagtConfig, MagtState, StreamingMagt
from magtkd_rt.train.fusion import (
    HELD_BACK,
    IGNORED,
    FusionRecipe,
    Mode,
    Split,
    both_looks,
    drop_modalities,
    hold_back,
    labels_of,
    loss_of,
    new_model,
    predict,
)
from magtkd_rt.train.metrics import softmax


def test_no_utterance_loses_everything() -> None:
    torch.manual_seed(2)
    there = torch.ones(64, 9)
    there[:, 7:] = 0
    present = drop_modalities(there, FusionRecipe(absent=0.7))
    assert (present[:, :7].sum(2) > 0).all()
    assert not present[:, 7:].any()


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


@pytest.mark.parametrize("mode", ["streaming", "paper"])
@torch.no_grad()
def test_without_voice_and_face_it_says_what_the_words_say(mode: Mode) -> None:
    words = nn.Linear(8, 7)
    model = new_model(mode, words).eval()
    features, speaker = torch.randn(1, 30, 3, 8), torch.zeros(1, 30, dtype=torch.long)
    present = torch.zeros(1, 30, 3)
    present[..., 0] = 1
    said = words(features[:, :, 0])
    torch.testing.assert_close(model(features, present, speaker)[0], said)
    present[0, 2, 1] = 1  # one voice, which the paper mode sees from everywhere
    apart = (model(features, present, speaker)[0] - said).abs().amax(dim=2)[0] > 1e-6
    seen = range(30) if mode == "paper" else range(2, 2 + model.config.window)
    assert apart.nonzero().flatten().tolist() == list(seen)


@torch.no_grad()
def test_the_second_look_counts_where_enough_have_followed() -> None:
    """Its loss is that of what the steps of a live conversation say, one utterance behind."""
    torch.manual_seed(4)
    magt = StreamingMagt(MagtConfig(feature_size=8, size=16, heads=2, feed_forward=24, right=1))
    magt.eval()
    features, speaker = torch.randn(2, 5, 3, 8), torch.randint(0, 3, (2, 5))
    labels = torch.randint(0, 7, (2, 5))
    labels[1, 3:] = IGNORED  # the second dialogue is shorter
    present = (labels != IGNORED).float()[..., None].expand(-1, -1, 3)
    inputs = (features, present, speaker)
    once, twice = (
        both_looks(magt, inputs, labels, FusionRecipe(looked_again=weight)) for weight in (0.0, 0.5)
    )

    state, again = MagtState.empty(magt.config, 2), torch.zeros(3, 2, 5, 7)
    for i in range(5):
        now, before = slice(i, i + 1), slice(i - 1, i)
        state = magt.advance(features[:, now], present[:, now], speaker[:, now], state)[1]
        if i:
            looked = features[:, before], present[:, before], speaker[:, before]
            again[:, :, before] = magt.step(*looked, state, torch.ones(2, dtype=torch.long))[0]
    followed = torch.tensor([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0]]) > 0
    wanted = loss_of(again, labels, followed, FusionRecipe())
    torch.testing.assert_close(twice - once, 0.5 * wanted, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_later_utterances_that_mislead_are_held_back(small_split: Split) -> None:
    torch.manual_seed(6)
    magt = StreamingMagt(MagtConfig(feature_size=8, size=16, heads=2, feed_forward=24))
    main = magt.classify[0]
    assert isinstance(main, nn.Linear)
    main.weight.mul_(20)
    views = [small_split.pair(np.full(7, 1 / 7), seed) for seed in (1, 2)]
    labels = labels_of(views[0])

    def unlikely() -> float:
        logits = [predict(magt, view, ahead=ahead) for view in views for ahead in (1, 2)]
        truth = [softmax(one)[np.arange(len(labels)), labels] for one in logits]
        return float(-np.log(np.concatenate(truth)).mean())

    trained, before = magt.later.clone(), [predict(magt, view) for view in views]
    tried = {}
    for less in HELD_BACK:
        magt.later.copy_(trained - less)
        tried[less] = unlikely()
    assert len(set(tried.values())) == len(HELD_BACK)
    magt.later.copy_(trained)
    assert hold_back(magt, views) == min(tried, key=lambda less: tried[less])
    assert unlikely() == pytest.approx(min(tried.values()))
    for view, logits in zip(views, before, strict=True):  # what is said at once stays
        np.testing.assert_array_equal(predict(magt, view), logits)
