"""Streaming MAGT: a step is the full pass, the future is not seen, absence is defined."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from magtkd_rt.models.magt import (
    MagtConfig,
    MagtState,
    PaperMagt,
    StreamingMagt,
)


def model_and_inputs(
    window: int, count: int, seed: int, batch: int = 2, right: int = 2
) -> tuple[StreamingMagt, Tensor, Tensor, Tensor]:
    torch.manual_seed(seed)
    config = MagtConfig(
        feature_size=12, size=16, heads=2, feed_forward=24, window=window, right=right
    )
    magt = StreamingMagt(config).eval()
    features = torch.randn(batch, count, 3, 12)
    present = (torch.rand(batch, count, 3) < 0.7).float()
    speaker = torch.randint(0, config.speakers, (batch, count))
    return magt, features, present, speaker


@settings(max_examples=40, deadline=None)
@given(
    window=st.integers(2, 12),
    count=st.integers(1, 30),
    seed=st.integers(0, 10_000),
    data=st.data(),
)
def test_any_chunking_equals_the_full_pass(
    window: int, count: int, seed: int, data: st.DataObject
) -> None:
    magt, features, present, speaker = model_and_inputs(window, count, seed)
    with torch.no_grad():
        full = magt(features, present, speaker)
        state = MagtState.empty(magt.config, 2)
        pieces, start = [], 0
        while start < count:
            size = data.draw(st.integers(1, count - start))
            part = slice(start, start + size)
            logits, state = magt.advance(
                features[:, part], present[:, part], speaker[:, part], state
            )
            pieces.append(logits)
            start += size
    assert (torch.cat(pieces, dim=2) - full).abs().max() <= 1e-4


@settings(max_examples=40, deadline=None)
@given(
    window=st.integers(2, 12),
    count=st.integers(2, 30),
    ahead=st.integers(1, 3),
    seed=st.integers(0, 10_000),
)
def test_a_second_look_step_by_step_equals_that_at_whole_dialogues(
    window: int, count: int, ahead: int, seed: int
) -> None:
    magt, features, present, speaker = model_and_inputs(window, count, seed, right=3)
    with torch.no_grad():
        causal, cached = magt.whole(features, present, speaker)
        again = magt.look_again(features, present, speaker, cached, ahead)
        state = MagtState.empty(magt.config, 2)
        for i in range(count):
            new = slice(i, i + 1)
            logits, state = magt.advance(features[:, new], present[:, new], speaker[:, new], state)
            assert (logits - causal[:, :, new]).abs().max() <= 1e-4
            if i >= ahead:
                # each row of a batch may be another utterance
                first = i - torch.tensor([ahead, 1])
                rows = torch.arange(2)
                looked, _ = magt.step(
                    features[rows, first].unsqueeze(1),
                    present[rows, first].unsqueeze(1),
                    speaker[rows, first].unsqueeze(1),
                    state,
                    i - first,
                )
                assert (looked[:, 0, 0] - again[:, 0, i - ahead]).abs().max() <= 1e-4
                once = magt.look_again(features, present, speaker, cached, 1)
                assert (looked[:, 1, 0] - once[:, 1, i - 1]).abs().max() <= 1e-4


def test_a_second_look_sees_so_far_and_no_further() -> None:
    magt, features, present, speaker = model_and_inputs(5, 12, 11, right=2)
    present = torch.ones_like(present)

    def moved(changed: int, ahead: int) -> list[int]:
        other = features.clone()
        other[:, changed] = torch.randn_like(other[:, changed])
        with torch.no_grad():
            before, after = (
                magt.look_again(x, present, speaker, magt.whole(x, present, speaker)[1], ahead)
                for x in (features, other)
            )
        apart = (before - after).abs().amax(dim=(0, 1, 3)) > 1e-6
        return apart.nonzero().flatten().tolist()

    # Its own queries reach 5 - 1 - ahead - 1 back; what those saw causally reaches 4 further.
    assert moved(6, 1) == list(range(5, 6 + 7))[:7]
    assert min(moved(6, 2)) == 4
    assert min(moved(11, 2)) == 9
    with torch.no_grad():
        causal, cached = magt.whole(features, present, speaker)
        again = magt.look_again(features, present, speaker, cached, 2)
    assert not torch.allclose(causal[0, :, :10], again[0, :, :10], atol=1e-4)


def test_the_future_changes_nothing_and_the_window_ends() -> None:
    magt, features, present, speaker = model_and_inputs(4, 12, 5)
    with torch.no_grad():
        before = magt(features, present, speaker)
        changed = features.clone()
        changed[:, 6:] = torch.randn_like(changed[:, 6:])
        after = magt(changed, present, speaker)
        assert torch.equal(before[:, :, :6], after[:, :, :6])
        assert not torch.allclose(before[:, :, 6:], after[:, :, 6:])
        # an anchor sees 3 utterances back, its refined sources 3 more
        old = features.clone()
        old[:, 0] = torch.randn_like(old[:, 0])
        moved = magt(old, present, speaker)
        assert torch.allclose(before[:, :, 7:], moved[:, :, 7:], atol=1e-6)


def test_what_stands_in_an_absent_modality_does_not_matter() -> None:
    magt, features, present, speaker = model_and_inputs(6, 8, 7)
    noisy = torch.where(present[..., None] > 0, features, torch.randn_like(features) * 50)
    with torch.no_grad():
        assert torch.allclose(
            magt(features, present, speaker), magt(noisy, present, speaker), atol=1e-5
        )
        nothing = magt(features, torch.zeros_like(present), speaker)
    assert torch.isfinite(nothing).all()


def test_paper_mode_sees_the_future() -> None:
    torch.manual_seed(1)
    magt = PaperMagt(MagtConfig(feature_size=12, size=16, heads=2, feed_forward=24)).eval()
    features, present = torch.randn(1, 6, 3, 12), torch.ones(1, 6, 3)
    speaker = torch.zeros(1, 6, dtype=torch.long)
    with torch.no_grad():
        before = magt(features, present, speaker)
        features[:, 5] = torch.randn(3, 12)
        after = magt(features, present, speaker)
    assert not torch.allclose(before[0, :, 0], after[0, :, 0], atol=1e-4)
