"""A tiny full-size run to a bundle, and what the live runtime's recogniser makes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recorded import Ran
from small_corpora import write_meld

from magtkd_rt.bundle import store
from magtkd_rt.bundle.golden import read_golden
from magtkd_rt.bundle.manifest import OPTIONAL_GRAPHS, Corpus
from magtkd_rt.bundle.prompt import prompt_encoder
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.core.jobs import Turn
from magtkd_rt.engines.select import select
from magtkd_rt.errors import BundleError, InputError
from magtkd_rt.labels import LABELS
from magtkd_rt.runtime.recogniser import Recogniser
from magtkd_rt.train import full
from magtkd_rt.train.stage1 import export as exporting
from magtkd_rt.train.stage1 import prepare as preparing
from magtkd_rt.train.stage1.encoded import read_encoded
from magtkd_rt.train.stage1.export import Fused, export_run
from magtkd_rt.train.stage1.recipe import train_stage1
from magtkd_rt.train.stage1.settings import FuseConfig
from magtkd_rt.train.stage1.voices import voices_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),  # torch's own
]

SIZE, FEATURE = 12, 8
CORPUS = Corpus(name="made up", licence="none", use="tests")


class Everywhere:
    """A detector that sees one face, wherever it looks."""

    name = "everywhere"

    def detect(
        self, image_rgb: np.ndarray
    ) -> list[tuple[tuple[float, float, float, float], float]]:
        return [((0.25, 0.1, 0.5, 0.8), 1.0)]


@pytest.fixture(scope="module")
def run(checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    kinds = {"text": "roberta", "audio": "data2vec", "video": "timesformer"}
    extra = {"text": "max_tokens = 96", "audio": "", "video": 'frames = 4\nview = "live"'}
    (folder / "config.toml").write_text(
        f"[run]\nsize = {SIZE}\n"
        + "".join(
            f'[{stage}]\nmodel = "{checkpoints / kind}"\nepochs = 1\nbatch = 3\n'
            f"learning_rate = 1e-3\n{extra[stage]}\n"
            for stage, kind in kinds.items()
        )
    )
    data = write_meld(folder / "meld")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparing, "best_detector", Everywhere)
        train_stage1(folder / "config.toml", data, folder / "out")
    return folder / "out"


@pytest.fixture(scope="module")
def made(run: Path) -> tuple[Bundle, Fused]:
    """A bundle by way of stage 2, and what stage 2 gave."""
    chosen = FuseConfig(
        mode="streaming", seeds=1, imbalance="none", noise=(0, 0, 0), alone=False, rounds=2,
        epochs=1, size=FEATURE,
    )  # fmt: skip
    full.fuse_run(run, chosen)
    given: list[Fused] = []

    def noted(run: Path, fused: Fused, target: Path, **more: Any) -> Bundle:
        given.append(fused)
        return export_run(run, fused, target, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(full, "export_run", noted)
        return full.export(run, run.parent / "full"), given[0]


@pytest.fixture
def bundle(made: tuple[Bundle, Fused]) -> Bundle:
    return made[0]


@pytest.fixture
def fused(made: tuple[Bundle, Fused]) -> Fused:
    return made[1]


def test_it_opens_and_proves_itself(bundle: Bundle) -> None:
    opened = Bundle.load(bundle.directory)
    assert tuple(opened.manifest.labels) == LABELS and opened.manifest.feature_size == FEATURE
    selected = select(opened)  # runs the golden cases
    selected.engine.close()
    assert "text_distilled" not in opened.path("MODEL_CARD.md").read_text()
    assert "audio_distilled" in opened.path("MODEL_CARD.md").read_text()
    prompt = prompt_encoder(opened).encode([Turn(0, "Hi.")])
    assert len(prompt.input_ids) < 96


def test_it_tells_speakers_apart_as_the_starter_does(bundle: Bundle) -> None:
    starter = Bundle.load("starter")
    graph = bundle.manifest.graphs["speaker"]
    assert graph == starter.manifest.graphs["speaker"] and graph.licence == "Apache-2.0"
    assert bundle.manifest.files[graph.file] == starter.manifest.files[graph.file]
    assert bundle.manifest.preprocessing.speaker == starter.manifest.preprocessing.speaker
    assert {one.licence for one in bundle.manifest.data} >= {"CC BY-NC-SA 4.0"}
    card = bundle.path("MODEL_CARD.md").read_text()
    assert starter.manifest.files[graph.file][:16] in card and "CC BY-NC-SA" in card
    selected = select(bundle)
    try:
        case = next(one for one in read_golden(starter) if one.graph == "speaker")
        voice = Recogniser(bundle, selected.engine).voice(case.inputs["waveform"][0])
        np.testing.assert_allclose(voice, case.outputs["voice"][0], rtol=0, atol=0.005)
    finally:
        selected.engine.close()


def test_without_voices_there_is_one_speaker(
    run: Path, bundle: Bundle, fused: Fused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoders = {n: g for n, g in bundle.manifest.graphs.items() if n not in OPTIONAL_GRAPHS}
    golden = [case for case in read_golden(bundle) if case.graph not in OPTIONAL_GRAPHS]
    monkeypatch.setattr(exporting, "write_graphs", lambda *_: (encoders, golden))
    mute = export_run(run, fused, tmp_path / "mute", licence="", corpus=CORPUS)
    assert "speaker" not in mute.manifest.live_graphs and mute.manifest.data == [CORPUS]
    assert not mute.path("speaker.onnx").exists()
    with pytest.raises(BundleError, match="mute has no voice graph.*--no-voices"):
        voices_of(mute.directory)


def test_live_it_says_what_training_encoded(bundle: Bundle, run: Path, fused: Fused) -> None:
    """The same utterance through the runtime and through stage 1: no skew."""
    selected = select(bundle)
    recogniser = Recogniser(bundle, selected.engine)
    try:
        said = recogniser.encode_text([Turn(0, "Oh."), Turn(0, "Ew.")])
        wanted = read_encoded(run, "text")["test"]
        np.testing.assert_allclose(said.logits, wanted.logits[1], rtol=0, atol=0.005)
        adapted = fused.adapt[0](torch.from_numpy(wanted.features[1:2])).detach()[0].numpy()
        np.testing.assert_allclose(said.feature, adapted, rtol=0, atol=0.005)

        heard = read_encoded(run, "audio_distilled")["test"]
        waveforms = [np.load(path) / np.float32(32767) for path in (run / "media/sound").iterdir()]
        found = [recogniser.encode_audio(one.astype(np.float32)).logits for one in waveforms]
        for logits in heard.logits:
            assert min(np.abs(logits - one).max() for one in found) < 0.005

        seen = read_encoded(run, "video_distilled")["test"]
        faces = [np.load(path) for path in (run / "media/pictures").iterdir()]
        assert faces[0].shape == (4, 48, 48)
        found = [recogniser.encode_video(one).logits for one in faces]
        for logits in seen.logits:
            assert min(np.abs(logits - one).max() for one in found) < 0.005

        fewer = recogniser.encode_video(faces[0][:1])
        again = recogniser.encode_video(np.repeat(faces[0][:1], 4, axis=0))
        np.testing.assert_allclose(fewer.logits, again.logits, rtol=0, atol=1e-5)
        result = recogniser.fuse((said.feature, fewer.feature, None), 0, None)
        assert result.probabilities.shape == (7,)
    finally:
        selected.engine.close()


def test_pictures_that_the_runtime_does_not_give(run: Path, fused: Fused, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(
        (run / "run.json").read_text().replace('"view": "live"', '"view": "whole"')
    )
    with pytest.raises(InputError, match='whole pictures, .* set view = "live"'):
        export_run(tmp_path, fused, tmp_path / "b", licence="", corpus=CORPUS)
    with pytest.raises(InputError, match="no run in"):
        export_run(tmp_path / "none", fused, tmp_path / "b", licence="", corpus=CORPUS)


def test_a_stage_that_is_missing(run: Path, fused: Fused, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text((run / "run.json").read_text())
    with pytest.raises(InputError, match="the stage text has not been run"):
        export_run(tmp_path, fused, tmp_path / "b", licence="", corpus=CORPUS)


def test_an_interrupted_export_leaves_the_old_bundle(
    run: Path, bundle: Bundle, fused: Fused, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in bundle.directory.iterdir()}

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    exported = (
        {n: g for n, g in bundle.manifest.graphs.items() if n not in OPTIONAL_GRAPHS},
        [case for case in read_golden(bundle) if case.graph not in OPTIONAL_GRAPHS],
    )
    monkeypatch.setattr(exporting, "write_graphs", lambda *_: exported)
    monkeypatch.setattr(store, "_swap", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_run(run, fused, bundle.directory, licence="other", corpus=CORPUS)
    assert {path.name: path.read_bytes() for path in bundle.directory.iterdir()} == before
    left = {path.name for path in bundle.directory.parent.iterdir()}
    assert left == {"config.toml", "full", "meld", "out"}


def test_a_run_without_fusion(run: Path, tmp_path: Path, run_program: Callable[..., Ran]) -> None:
    options = ("magtkd", "train", "export", "--run", tmp_path, "--to", tmp_path / "bundle")
    ran = run_program(*options)
    assert ran.code == 2 and "no run in" in ran.err
    (tmp_path / "run.json").write_text((run / "run.json").read_text())
    ran = run_program(*options)
    assert ran.code == 2 and "no streaming fusion in" in ran.err
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
