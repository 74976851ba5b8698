"""The recogniser on real tiny graphs and on the fake engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from magtkd_rt.bundle.golden import check_golden
from magtkd_rt.bundle.manifest import GRAPHS, Manifest
from magtkd_rt.bundle.store import Bundle, write_bundle
from magtkd_rt.core.jobs import Fuse, Fused, Turn
from magtkd_rt.core.media import VOICE_WINDOWS, WINDOW
from magtkd_rt.engines.fake import FakeEngine
from magtkd_rt.engines.interface import Engine
from magtkd_rt.engines.onnx import OnnxEngine
from magtkd_rt.errors import EngineError
from magtkd_rt.features.fit import fit_faces, fit_voice, fit_waveform
from magtkd_rt.runtime.recogniser import Features, Recogniser, State
from magtkd_rt.runtime.work import ModelWork

RANDOM = np.random.default_rng(5)
TEXT, AUDIO, VIDEO = (RANDOM.standard_normal(8, dtype=np.float32) for _ in range(3))


class Recorder(FakeEngine):
    """A fake that keeps the last inputs of each graph."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self.seen: dict[str, dict[str, NDArray[Any]]] = {}

    def run(self, graph: Any, inputs: Any) -> dict[str, NDArray[Any]]:
        self.seen[graph] = dict(inputs)
        return super().run(graph, inputs)


@pytest.fixture(params=["onnx", "fake"])
def engine(request: pytest.FixtureRequest, tiny_bundle: Bundle) -> Engine:
    if request.param == "onnx":
        return OnnxEngine(tiny_bundle, threads=1)
    return FakeEngine(tiny_bundle)


@pytest.fixture
def recogniser(tiny_bundle: Bundle, engine: Engine) -> Recogniser:
    return Recogniser(tiny_bundle, engine)


def test_warm_up_runs_every_graph(tiny_bundle: Bundle) -> None:
    engine = FakeEngine(tiny_bundle)
    Recogniser(tiny_bundle, engine).warm_up()
    assert engine.runs == dict.fromkeys(tiny_bundle.manifest.live_graphs, 1)
    Recogniser(tiny_bundle, OnnxEngine(tiny_bundle, threads=1)).warm_up()


def test_warm_up_without_voices(deaf_bundle: Bundle) -> None:
    engine = FakeEngine(deaf_bundle)
    recogniser = Recogniser(deaf_bundle, engine)
    recogniser.warm_up()
    assert engine.runs == dict.fromkeys(GRAPHS, 1)
    assert not recogniser.tells_voices_apart and not recogniser.tells_identities
    with pytest.raises(ValueError, match="no voice can be told"):
        recogniser.voice(np.zeros(VOICE_WINDOWS * WINDOW, np.float32))
    with pytest.raises(ValueError, match="nobody can be told"):
        recogniser.identify(np.zeros(32_000, np.float32))


def test_a_voice_is_a_vector_of_length_one(recogniser: Recogniser) -> None:
    assert recogniser.tells_voices_apart
    soft, loud = (
        recogniser.voice(level * RANDOM.standard_normal(VOICE_WINDOWS * WINDOW, dtype=np.float32))
        for level in (0.1, 2.0)
    )
    assert (soft.shape, soft.dtype) == ((8,), np.float32)
    assert float(np.linalg.norm(loud)) == pytest.approx(1, abs=1e-5)
    assert float(soft @ loud) < 0.999


@pytest.mark.parametrize(
    "shape", [(0,), (VOICE_WINDOWS * WINDOW - 1,), (1, VOICE_WINDOWS * WINDOW)]
)
def test_a_voice_needs_its_whole_window(recogniser: Recogniser, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="no voice can be told"):
        recogniser.voice(np.zeros(shape, np.float32))


@pytest.mark.parametrize("count", [1, 12_345, 32_000, 100_001])
def test_an_utterance_of_any_length_has_an_identity(recogniser: Recogniser, count: int) -> None:
    assert recogniser.tells_identities
    voice = recogniser.identify(RANDOM.standard_normal(count).astype(np.float32))
    assert (voice.shape, voice.dtype) == ((8,), np.float32)
    assert float(np.linalg.norm(voice)) == pytest.approx(1, abs=1e-5)


def test_identities_are_of_the_middle_or_of_repeated_sound(tiny_bundle: Bundle) -> None:
    engine = Recorder(tiny_bundle)
    recogniser = Recogniser(tiny_bundle, engine)
    recogniser.identify(np.arange(32_100, dtype=np.float32))
    assert engine.seen["identity"]["waveform"].tolist() == [list(range(50, 32_050))]
    recogniser.identify(np.arange(20_000, dtype=np.float32))
    repeated = engine.seen["identity"]["waveform"]
    assert repeated.tolist() == [[*range(20_000), *range(12_000)]]
    assert repeated.dtype == np.float32


@pytest.mark.parametrize("shape", [(0,), (1, 32_000)])
def test_no_sound_has_no_identity(recogniser: Recogniser, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="nobody can be told"):
        recogniser.identify(np.zeros(shape, np.float32))


def test_encodes_each_modality(recogniser: Recogniser) -> None:
    for encoded in (
        recogniser.encode_text([Turn(0, "What?"), Turn(1, "I am fine")]),
        recogniser.encode_audio(RANDOM.standard_normal(900, dtype=np.float32)),
        recogniser.encode_video(RANDOM.integers(0, 256, (3, 48, 48), dtype=np.uint8)),
    ):
        assert (encoded.feature.shape, encoded.logits.shape) == ((8,), (7,))
        assert (encoded.feature.dtype, encoded.logits.dtype) == (np.float32, np.float32)


def test_text_goes_in_as_the_prompt(tiny_bundle: Bundle) -> None:
    engine = Recorder(tiny_bundle)
    example = tiny_bundle.manifest.preprocessing.text.examples[0]
    Recogniser(tiny_bundle, engine).encode_text([Turn(t.speaker, t.text) for t in example.turns])
    assert engine.seen["text"]["input_ids"].tolist() == [example.input_ids]
    assert engine.seen["text"]["mask_position"].tolist() == [len(example.input_ids) - 2]


@pytest.mark.parametrize(("given_samples", "wanted"), [(1, 400), (400, 400), (20_000, 16_000)])
def test_sound_is_brought_within_the_limits(
    tiny_bundle: Bundle, given_samples: int, wanted: int
) -> None:
    engine = Recorder(tiny_bundle)
    samples = RANDOM.standard_normal(given_samples, dtype=np.float32)
    Recogniser(tiny_bundle, engine).encode_audio(samples)
    waveform = engine.seen["audio"]["waveform"]
    assert (waveform.shape, waveform.dtype) == ((1, wanted), np.float32)
    kept = min(given_samples, wanted)
    np.testing.assert_array_equal(waveform[0, :kept], samples[-kept:])
    assert not waveform[0, kept:].any()


@pytest.mark.parametrize(
    ("count", "wanted"),
    [(1, [0]), (4, [0, 1, 2, 3]), (10, [0, 3, 6, 9]), (400, [0, 133, 266, 399])],
)
def test_many_faces_are_thinned_evenly(tiny_bundle: Bundle, count: int, wanted: list[int]) -> None:
    engine = Recorder(tiny_bundle)
    faces = RANDOM.integers(0, 256, (count, 48, 48), dtype=np.uint8)
    Recogniser(tiny_bundle, engine).encode_video(faces)
    np.testing.assert_array_equal(engine.seen["video"]["faces"], faces[wanted])


@pytest.mark.parametrize("shape", [(0,), (1, 400), (0, 2)])
def test_no_waveform(recogniser: Recogniser, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="a waveform is"):
        recogniser.encode_audio(np.zeros(shape, np.float32))


@pytest.mark.parametrize("shape", [(0, 48, 48), (48, 48), (1, 64, 64), (1, 48, 48, 3)])
def test_no_faces(recogniser: Recogniser, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="faces are"):
        recogniser.encode_video(np.zeros(shape, np.uint8))


def probabilities(
    recogniser: Recogniser, present: tuple[bool, bool, bool], state: State
) -> NDArray[np.float32]:
    """The fusion graph run by hand on one row."""
    outputs = recogniser.engine.run(
        "fusion",
        {
            "text": TEXT[None],
            "audio": AUDIO[None],
            "video": VIDEO[None],
            "present": np.array([present]),
            "speaker": np.array([2]),
            "ahead": np.array([0]),
            **state,
        },
    )
    powers = np.exp(outputs["logits"][0].astype(np.float64) / 1.5)  # the bundle's temperature
    return (powers / powers.sum()).astype(np.float32)


@pytest.mark.parametrize(
    "here",
    [
        (True, True, True),
        (True, False, True),
        (False, True, True),
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ],
)
def test_fusion_and_contributions(recogniser: Recogniser, here: tuple[bool, bool, bool]) -> None:
    state = recogniser.fuse((TEXT, None, VIDEO), 0, None).state
    features = tuple(f if p else None for f, p in zip((TEXT, AUDIO, VIDEO), here, strict=True))
    fused = recogniser.fuse(features, 2, state)  # type: ignore[arg-type]

    whole = probabilities(recogniser, here, state)
    np.testing.assert_allclose(fused.probabilities, whole, atol=1e-6)
    assert fused.probabilities.dtype == np.float32
    assert float(fused.probabilities.sum()) == pytest.approx(1, abs=1e-6)
    winner = whole.argmax()
    for index, contribution in enumerate(fused.contributions):
        if not here[index]:
            assert contribution is None
            continue
        masked = tuple(p and i != index for i, p in enumerate(here))
        without = probabilities(recogniser, masked, state)  # type: ignore[arg-type]
        assert contribution == pytest.approx(float(whole[winner] - without[winner]), abs=1e-6)


def test_fusion_is_one_run(tiny_bundle: Bundle) -> None:
    engine = Recorder(tiny_bundle)
    Recogniser(tiny_bundle, engine).fuse((TEXT, AUDIO, None), 400, None)
    assert engine.runs["fusion"] == 1
    inputs = engine.seen["fusion"]
    assert inputs["present"].tolist() == [
        [True, True, False],
        [False, True, False],
        [True, False, False],
    ]
    assert inputs["speaker"].tolist() == [8, 8, 8]  # the last number is any further speaker
    Recogniser(tiny_bundle, engine).fuse((TEXT, None, None), None, None)
    assert engine.seen["fusion"]["speaker"].tolist() == [9, 9]  # after it, nobody known
    assert not inputs["keys"].any()
    assert inputs["keys"].shape == (3, 1, 1, 4, 8)


def test_state_flows_and_is_the_unmasked_rows(recogniser: Recogniser) -> None:
    def states(features: list[Features]) -> list[Fused]:
        results: list[Fused] = []
        for feature in features:
            results.append(recogniser.fuse(feature, 1, results[-1].state if results else None))
        return results

    first = states([(TEXT, AUDIO, VIDEO), (TEXT, None, None)])
    again = states([(TEXT, AUDIO, VIDEO), (TEXT, None, None)])
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.probabilities, other.probabilities)
        assert one.contributions == other.contributions
    alone = recogniser.fuse((TEXT, None, None), 1, None)
    assert not np.array_equal(alone.probabilities, first[1].probabilities)
    by_hand = recogniser.engine.run(
        "fusion",
        {
            "text": TEXT[None],
            "audio": AUDIO[None],
            "video": VIDEO[None],
            "present": np.ones((1, 3), np.bool_),
            "speaker": np.array([1]),
            "keys": np.zeros((1, 1, 1, 4, 8), np.float32),
            "valid": np.zeros((1, 3, 4), np.bool_),
            "ahead": np.array([0]),
        },
    )
    for name in ("keys", "valid"):
        np.testing.assert_allclose(first[0].state[name], by_hand[f"{name}_out"], atol=1e-6)
        assert first[0].state[name].base is None  # holds no memory of the masked rows


def test_a_second_look_is_given_how_many_have_followed(tiny_bundle: Bundle) -> None:
    engine = Recorder(tiny_bundle)
    recogniser = Recogniser(tiny_bundle, engine)
    assert recogniser.right_context == 2
    first = recogniser.fuse((TEXT, AUDIO, None), 0, None)
    assert engine.seen["fusion"]["ahead"].tolist() == [0, 0, 0]
    state = recogniser.fuse((TEXT, None, VIDEO), 1, first.state).state
    again = recogniser.fuse((TEXT, AUDIO, None), 0, state, ahead=1)
    assert engine.seen["fusion"]["ahead"].tolist() == [1, 1, 1]
    np.testing.assert_array_equal(engine.seen["fusion"]["keys"][2:], state["keys"])
    assert not np.array_equal(again.probabilities, first.probabilities)
    by_job = ModelWork(recogniser, None)(Fuse(7, "u0001", (TEXT, AUDIO, None), 0, state, ahead=1))
    assert isinstance(by_job, Fused)
    np.testing.assert_array_equal(by_job.probabilities, again.probabilities)
    for ahead in (-1, 3):
        with pytest.raises(ValueError, match="the bundle sees 2"):
            recogniser.fuse((TEXT, AUDIO, None), 0, state, ahead)


def test_a_bundle_without_right_context(causal_bundle: Bundle, tiny_bundle: Bundle) -> None:
    recogniser = Recogniser(tiny_bundle, OnnxEngine(tiny_bundle, threads=1))
    engine = OnnxEngine(causal_bundle, threads=1)
    check_golden(causal_bundle, engine)
    causal = Recogniser(causal_bundle, engine)
    assert causal.right_context == 0
    features = (TEXT, AUDIO, None)
    one, other = causal.fuse(features, 0, None), recogniser.fuse(features, 0, None)
    np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-6)
    with pytest.raises(ValueError, match="1 later utterances: the bundle sees 0"):
        causal.fuse(features, 0, one.state, ahead=1)


def test_fuse_refuses_what_makes_no_sense(recogniser: Recogniser) -> None:
    with pytest.raises(ValueError, match="every modality is absent"):
        recogniser.fuse((None, None, None), 0, None)
    with pytest.raises(ValueError, match="a feature is"):
        recogniser.fuse((TEXT[:4], None, None), 0, None)
    with pytest.raises(ValueError, match="the state is"):
        recogniser.fuse((TEXT, None, None), 0, {"keys": np.zeros((1, 2))})


def test_numbers_that_are_none_do_not_pass(tiny_bundle: Bundle) -> None:
    recogniser = Recogniser(tiny_bundle, OnnxEngine(tiny_bundle, threads=1))
    with pytest.raises(EngineError, match="the graph 'audio' gave numbers that are none"):
        recogniser.encode_audio(np.full(400, np.nan, np.float32))
    with pytest.raises(EngineError, match="the graph 'identity' gave numbers that are none"):
        recogniser.identify(np.full(400, np.inf, np.float32))
    with pytest.raises(EngineError, match="the graph 'fusion' gave numbers that are none"):
        recogniser.fuse((np.full(8, np.inf, np.float32), None, None), 0, None)


def test_each_temperature_is_its_own(
    tiny_manifest: Manifest, tiny_files: dict[str, bytes | Path], tmp_path: Path
) -> None:
    described = tiny_manifest.model_dump(mode="json")
    described["calibration"]["temperature"] = {"fused": 4, "text": 3, "audio": 2, "video": 1}
    manifest = Manifest.model_validate(described)
    bundle = write_bundle(tmp_path / "bundle", manifest, tiny_files)
    recogniser = Recogniser(bundle, FakeEngine(bundle))
    logits = np.log(np.array([[1, 16, 256], [1000, 1000, 1000]], np.float32))
    for kind, base in (("fused", 2), ("text", 16 ** (1 / 3)), ("audio", 4), ("video", 16)):
        shares: Any = recogniser.calibrate(kind, logits)  # type: ignore[arg-type]
        wanted = np.array([1, base, base**2]) / (1 + base + base**2)
        np.testing.assert_allclose(shares, np.stack([wanted, np.full(3, 1 / 3)]), rtol=1e-5)


@given(st.integers(0, 60), st.integers(1, 20), st.integers(0, 20))
def test_fitted_sound_has_the_right_length(length: int, low: int, more: int) -> None:
    samples = np.arange(1, length + 1, dtype=np.float32)
    fitted = fit_waveform(samples, low, low + more)
    assert low <= len(fitted) <= low + more
    assert fitted[: min(length, low + more)].tolist() == samples[-(low + more) :].tolist()


@given(st.integers(1, 60), st.integers(1, 20))
def test_a_fitted_voice_is_the_middle_or_repeated(length: int, count: int) -> None:
    fitted = fit_voice(np.arange(length, dtype=np.float32), count).astype(int).tolist()
    if length < count:
        assert fitted == [number % length for number in range(count)]
    else:
        before, after = fitted[0], length - 1 - fitted[-1]
        assert fitted == list(range(before, before + count)) and after - before in (0, 1)


@given(st.integers(1, 200), st.integers(1, 20))
def test_fitted_faces_keep_order_and_ends(count: int, most: int) -> None:
    faces = np.arange(count, dtype=np.uint8)[:, None, None]
    kept = fit_faces(faces, most)[:, 0, 0].tolist()
    assert len(kept) == min(count, most)
    assert kept == sorted(set(kept))
    assert kept[0] == 0
    assert len(kept) == 1 or kept[-1] == count - 1
