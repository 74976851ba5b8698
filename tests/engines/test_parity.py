"""The gate lets through what agrees with 32 bits, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from magtkd_rt.engines.parity import LIMITS, Arrays, Run, compare

CASES = [{"x": np.full((2, 7), number, np.float32)} for number in range(100)]


def exact(inputs: Arrays) -> dict[str, np.ndarray]:
    logits = np.eye(7, dtype=np.float32)[[3, 4]] + inputs["x"]
    return {"feature": inputs["x"], "logits": logits}


def off_by(much: float, changed: int = 0) -> Run:
    """An engine whose logits are off by so much, and whose first decisions are others."""
    seen: list[int] = []

    def run(inputs: Arrays) -> dict[str, np.ndarray]:
        outputs = exact(inputs)
        outputs["logits"] = outputs["logits"] + np.float32(much)
        if len(seen) < changed:
            outputs["logits"] = np.roll(outputs["logits"], 1, axis=1)
        seen.append(1)
        return outputs

    return run


@pytest.mark.parametrize("precision", LIMITS)
def test_within_its_limits_passes(precision: str) -> None:
    parity = compare(precision, CASES, exact, off_by(LIMITS[precision].logits * 0.9))
    assert parity.passed
    assert parity.cases == 200
    assert parity.decisions == 1.0


@pytest.mark.parametrize("precision", LIMITS)
def test_beyond_its_limits_is_kept_out_with_numbers(precision: str) -> None:
    parity = compare(precision, CASES, exact, off_by(LIMITS[precision].logits * 1.2))
    assert not parity.passed
    assert f"at most {LIMITS[precision].logits:g}" in str(parity)


def test_changed_decisions_are_kept_out_even_where_logits_are_near() -> None:
    near = np.zeros((2, 7), np.float32)
    near[:, 0] = 1e-4
    exact_near = {"logits": near}
    other = {"logits": np.roll(near, 1, axis=1)}
    parity = compare("float32", CASES, lambda _: exact_near, lambda _: other)
    assert parity.logits <= 1e-3
    assert parity.decisions == 0.0
    assert not parity.passed


@pytest.mark.parametrize("bad", [np.full((2, 7), np.nan, np.float32), np.zeros((1, 7), np.float32)])
def test_no_numbers_or_another_shape_never_pass(bad: np.ndarray) -> None:
    parity = compare("int8", CASES[:1], exact, lambda x: {"feature": x["x"], "logits": bad})
    assert not parity.passed


@pytest.mark.parametrize(("turned", "passed"), [(0.2, True), (0.4, False)])
def test_vectors_have_to_be_alike(turned: float, passed: bool) -> None:
    """Without classes numbers near each other are not enough: of many each is small."""
    size = 200
    right, across = np.zeros((2, 2, size), np.float32)
    right[:, ::2], across[:, 1::2] = (2 / size) ** 0.5, (2 / size) ** 0.5
    got = (np.cos(turned) * right + np.sin(turned) * across).astype(np.float32)
    parity = compare("int8", CASES[:5], lambda _: {"voice": right}, lambda _: {"voice": got})
    assert parity.logits < 0.1 and parity.cases == 10
    assert parity.passed is passed
