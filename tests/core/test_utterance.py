"""What an utterance looks like on the wire."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from magtkd_rt.core.jobs import Fused, Transcribed, Word
from magtkd_rt.core.utterance import Utterance, fault_of, transcript_event, wire_probabilities


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=9).filter(lambda p: sum(p) > 0.01))
def test_probabilities_sum_to_one_and_keep_their_order(values: list[float]) -> None:
    sent = wire_probabilities(np.array(values, np.float32))
    assert sum(sent) == pytest.approx(1.0, abs=1e-9)
    assert all(0 <= p <= 1 and p == round(p, 6) for p in sent)
    assert values[int(np.argmax(sent))] == pytest.approx(max(values), abs=1e-5)
    np.testing.assert_allclose(sent, np.array(values) / sum(values), atol=1e-5)


@pytest.mark.parametrize(
    "fused",
    [
        Fused(np.array([0.5, 0.5], np.float32), (None, 0.1, None), None),
        Fused(np.array([np.nan, 0.5, 0.5], np.float32), (None, 0.1, None), None),
        Fused(np.array([-0.1, 0.6, 0.5], np.float32), (None, 0.1, None), None),
        Fused(np.zeros(3, np.float32), (None, 0.1, None), None),
        Fused(np.array([0.2, 0.3, 0.5], np.float32), (None, float("nan"), None), None),
    ],
)
def test_results_that_cannot_be_sent_are_found(fused: Fused) -> None:
    assert fault_of(fused, 3)


def test_a_good_result_has_no_fault() -> None:
    fused = Fused(np.array([0.2, 0.3, 0.5], np.float32), (None, -0.1, 0.2), None)
    assert fault_of(fused, 3) is None


def test_words_have_seconds_and_sane_confidences() -> None:
    words = (Word("hello", 16000, 24000, 1.2), Word("there", 24000, 32000, float("nan")))
    said = Transcribed("hello there", words, 0.75, "en", True)
    stamp = {"seq": 1, "session_id": "s", "t": 3.0}
    utterance = Utterance("u1", speaker=1, start=8000)
    event = transcript_event(stamp, utterance, said, final=True, end=40000)
    assert event.words is not None
    assert [(w.text, w.start, w.end, w.confidence) for w in event.words] == [
        ("hello", 1.0, 1.5, 1.0),
        ("there", 1.5, 2.0, 0.0),
    ]
    assert (event.start, event.end, event.speaker) == (0.5, 2.5, "S2")
