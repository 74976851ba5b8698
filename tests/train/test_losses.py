"""The distillation losses against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from magtkd_rt.train.losses import feature_loss, logit_loss, relation_loss

TAU = 2.0


def logits_for(probabilities: list[list[float]]) -> Tensor:
    """Logits whose softmax at temperature 2 is `probabilities`."""
    return TAU * torch.tensor(probabilities, dtype=torch.float64).log()


def test_same_logits_cost_nothing() -> None:
    logits = torch.randn(5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert float(logit_loss(logits, logits)) == pytest.approx(0.0, abs=1e-9)


def test_opposite_rows_and_equal_columns() -> None:
    # Rows, centred: (.3, -.3) against (-.2, .2), (.1, -.1) against (-.4, .4): correlation -1.
    # Columns, centred: (.1, -.1) against (.1, -.1), and the same upside down: correlation 1.
    student = logits_for([[0.8, 0.2], [0.6, 0.4]])
    teacher = logits_for([[0.3, 0.7], [0.1, 0.9]])
    assert float(logit_loss(student, teacher)) == pytest.approx(TAU**2 * (2 + 0))


def test_three_classes_by_numpys_correlation() -> None:
    p = [[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.3, 0.3, 0.4]]
    q = [[0.5, 0.3, 0.2], [0.2, 0.2, 0.6], [0.1, 0.8, 0.1]]
    rows = np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(p, q, strict=True)])
    columns = np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(zip(*p), zip(*q), strict=True)])  # noqa: B905
    wanted = TAU**2 * ((1 - rows) + (1 - columns))
    assert float(logit_loss(logits_for(p), logits_for(q))) == pytest.approx(wanted)


def test_logit_loss_looks_at_relations_only() -> None:
    """What a softmax does not see does not count."""
    random = torch.Generator().manual_seed(2)
    student, teacher = torch.randn(2, 6, 7, dtype=torch.float64, generator=random)
    moved = student + torch.arange(6)[:, None]
    assert float(logit_loss(moved, teacher)) == pytest.approx(float(logit_loss(student, teacher)))


def test_features_that_match_cost_nothing() -> None:
    random = torch.Generator().manual_seed(3)
    teacher = torch.randn(6, 8, dtype=torch.float64, generator=random)
    assert float(feature_loss(5 * teacher, teacher)) == pytest.approx(0.0, abs=1e-12)


def test_features_that_are_swapped() -> None:
    # P = softmax of ((1, 0), (0, 1)), Q = softmax of ((0, 1), (1, 0)); with a = e/(e+1), b = 1-a:
    # KL = a ln(a/b) + b ln(b/a) = a - b = (e - 1)/(e + 1), the same for both rows.
    teacher = torch.tensor([[3.0, 0.0], [0.0, 0.5]], dtype=torch.float64)
    student = torch.tensor([[0.0, 2.0], [1.0, 0.0]], dtype=torch.float64)
    assert float(feature_loss(student, teacher)) == pytest.approx((math.e - 1) / (math.e + 1))


def test_divergence_is_from_the_teacher() -> None:
    # The student says the same twice: Q is even, so KL(P || Q) = a ln 2a + b ln 2b.
    teacher = torch.eye(2, dtype=torch.float64)
    student = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    a, b = math.e / (math.e + 1), 1 / (math.e + 1)
    wanted = a * math.log(2 * a) + b * math.log(2 * b)
    assert float(feature_loss(student, teacher)) == pytest.approx(wanted)
    other_way = 0.5 * math.log(0.5 / a) + 0.5 * math.log(0.5 / b)
    assert wanted != pytest.approx(other_way, rel=0.01)


def test_relations_among_rows() -> None:
    # The teacher's rows are at right angles: P = softmax of ((1, 0), (0, 1)) = (a, b), (b, a).
    # The student's, of another size, point the same way: Q is even, KL = a ln 2a + b ln 2b.
    teacher = 3 * torch.eye(2, dtype=torch.float64)
    student = torch.tensor([[1.0, 2.0, 2.0], [2.0, 4.0, 4.0]], dtype=torch.float64)
    a, b = math.e / (math.e + 1), 1 / (math.e + 1)
    wanted = a * math.log(2 * a) + b * math.log(2 * b)
    assert float(relation_loss(student, teacher)) == pytest.approx(wanted)
    turned = torch.tensor([[0.0, 5.0, 0.0], [0.1, 0.0, 0.0]], dtype=torch.float64)
    assert float(relation_loss(turned, teacher)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("loss", [logit_loss, feature_loss, relation_loss])
def test_descent_brings_the_student_to_the_teacher(loss: object) -> None:
    random = torch.Generator().manual_seed(4)
    teacher = torch.randn(8, 7, generator=random)
    student = torch.randn(8, 7, generator=random).requires_grad_()
    optimizer = torch.optim.Adam([student], 0.2)
    first = None
    for _ in range(40):
        value = loss(student, teacher)  # type: ignore[operator]
        first = float(value.detach()) if first is None else first
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    assert float(value.detach()) < 0.2 * first  # type: ignore[operator]
