"""Encoders of stage 1, on tiny random checkpoints: padding, places, colours, bad checkpoints."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from magtkd_rt.errors import InputError
from magtkd_rt.features.prompt import PromptEncoder
from magtkd_rt.train.corpora.types import Utterance
from magtkd_rt.train.stage1.encoders import PictureEncoder, SoundEncoder, TextEncoder
from magtkd_rt.train.stage1.inputs import PictureInputs, SoundInputs, TextInputs
from magtkd_rt.train.stage1.pretrained import load_encoder, load_tokenizer

SIZE, CLASSES = 12, 7


def written(folder: Path, arrays: list[np.ndarray]) -> list[Path | None]:
    paths: list[Path | None] = []
    for number, array in enumerate(arrays):
        path = folder / f"{number}.npy"
        np.save(path, array)
        paths.append(path)
    return paths


def text_encoder(checkpoints: Path) -> tuple[TextEncoder, PromptEncoder]:
    prompts = PromptEncoder(load_tokenizer(str(checkpoints / "roberta")), 128)
    torch.manual_seed(1)
    model = TextEncoder(str(checkpoints / "roberta"), prompts.vocabulary_size, SIZE, CLASSES)
    return model.eval(), prompts


def test_a_short_prompt_beside_a_long_one(checkpoints: Path) -> None:
    model, prompts = text_encoder(checkpoints)
    dialogue = [Utterance("Hi.", 0, 0), Utterance("And a good morning to you!", 1, 1)]
    inputs = TextInputs([dialogue], prompts)
    together = model(**inputs.batch([0, 1]))
    for row in (0, 1):
        alone = model(**inputs.batch([row]))
        assert alone[0].shape == (1, SIZE) and alone[1].shape == (1, CLASSES)
        for one, both in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], both[row], rtol=0, atol=1e-5)


def test_the_feature_is_read_at_the_mask(checkpoints: Path) -> None:
    model, prompts = text_encoder(checkpoints)
    batch = TextInputs([[Utterance("Hi.", 0, 0)]], prompts).batch([0])
    hidden = model.encoder(
        input_ids=batch["tokens"], attention_mask=batch["attention"]
    ).last_hidden_state
    mask = load_tokenizer(str(checkpoints / "roberta")).token_to_id("<mask>")
    place = batch["tokens"][0].tolist().index(mask)
    torch.testing.assert_close(model(**batch)[0][0], model.project(hidden[0, place]))


def test_words_of_nobody_are_not_usable(checkpoints: Path) -> None:
    _, prompts = text_encoder(checkpoints)
    dialogue = [Utterance("Hi.", 0, 0), Utterance("", 1, 1)]
    assert TextInputs([dialogue], prompts).usable.tolist() == [True, False]


def test_the_past_only(checkpoints: Path) -> None:
    _, prompts = text_encoder(checkpoints)
    first, other, later = (Utterance(text, 0, 0) for text in ("Hi.", "No.", "So."))
    one = TextInputs([[first, other, later]], prompts).batch([1])["tokens"]
    cut = TextInputs([[first, other]], prompts).batch([1])["tokens"]
    assert torch.equal(one, cut)


@pytest.mark.parametrize("kind", ["data2vec", "wav2vec2"])
def test_padded_sound_is_masked(checkpoints: Path, tmp_path: Path, kind: str) -> None:
    """Which is why a short sound says the same alone and beside a long one."""
    torch.manual_seed(1)
    name = str(checkpoints / kind)
    model = SoundEncoder(name, SIZE, CLASSES).eval()
    random = np.random.default_rng(2)
    sounds = [random.integers(-9000, 9000, n).astype(np.int16) for n in (4000, 16_000)]
    inputs = SoundInputs(written(tmp_path, sounds), name)
    batch = inputs.batch([0, 1])
    assert batch["attention"].sum(1).tolist() == [4000, 16_000]
    assert torch.count_nonzero(batch["sound"][0, 4000:]) == 0
    together, alone = model(**batch)[0], model(**inputs.batch([0]))[0]
    difference = float((together[0] - alone[0]).detach().abs().max())
    if kind == "data2vec":
        assert model.masked and difference < 1e-5
        unmasked = model(batch["sound"], torch.ones_like(batch["attention"]))[0]
        assert float((unmasked[0] - alone[0]).detach().abs().max()) > 1e-3
    else:  # its first layer's norm looks over everything, and it learned so
        assert not model.masked


def test_sound_is_normalised_over_itself(tmp_path: Path, checkpoints: Path) -> None:
    sounds = [np.full(2000, 500, np.int16), np.arange(-800, 800, dtype=np.int16), np.ones(3, "i2")]
    inputs = SoundInputs(written(tmp_path, sounds), str(checkpoints / "data2vec"))
    ramp = inputs.batch([1])["sound"][0]
    assert float(ramp.mean()) == pytest.approx(0, abs=1e-5)
    assert float(ramp.std()) == pytest.approx(1, abs=1e-2)
    assert inputs.batch([2])["sound"].shape == (1, 1600)  # an encoder needs some
    assert torch.isfinite(inputs.batch([0])["sound"]).all()


def test_pictures(tmp_path: Path, checkpoints: Path) -> None:
    name = str(checkpoints / "timesformer")
    image = np.zeros((4, 32, 32, 3), np.uint8)
    image[..., 0] = 255
    batch = PictureInputs(written(tmp_path, [image]), name, 32).batch([0])["pictures"]
    assert batch.shape == (1, 4, 3, 32, 32)
    wanted = torch.tensor([(1 - 0.45) / 0.225, -2.0, -2.0])
    torch.testing.assert_close(batch[0, 2, :, 5, 5], wanted)
    usual = PictureInputs(written(tmp_path, [image]), str(checkpoints / "videomae"), 32)
    red = usual.batch([0])["pictures"][0, 0, 0, 0, 0]
    assert float(red) == pytest.approx((1 - 0.485) / 0.229)


def test_grey_faces(tmp_path: Path, checkpoints: Path) -> None:
    """As the live runtime gives them; bilinear, so the middle of an edge is half of each side."""
    name = str(checkpoints / "timesformer")
    faces = np.zeros((4, 48, 48), np.uint8)
    faces[:, :, 24:] = 200
    batch = PictureInputs(written(tmp_path, [faces]), name, 96).batch([0])["pictures"]
    assert batch.shape == (1, 4, 3, 96, 96)
    level = (batch[0, 1, 2, 40] * 0.225 + 0.45) * 255
    assert [round(float(v)) for v in level[[0, 46, 47, 48, 49, 95]]] == [0, 0, 50, 150, 200, 200]


def picture_feature(name: Path, batch: Tensor) -> Tensor:
    torch.manual_seed(1)
    model = PictureEncoder(str(name), SIZE, CLASSES, 4).eval()
    hidden = model.encoder(pixel_values=batch).last_hidden_state
    pooled = hidden[:, 0] if name.name == "timesformer" else hidden.mean(1)
    torch.testing.assert_close(model(batch)[0], model.project(pooled))
    found: Tensor = model(batch)[0]
    return found


@pytest.mark.parametrize("kind", ["timesformer", "videomae"])
def test_class_token_or_mean(checkpoints: Path, kind: str) -> None:
    batch = torch.randn(2, 4, 3, 32, 32, generator=torch.Generator().manual_seed(5))
    assert picture_feature(checkpoints / kind, batch).shape == (2, SIZE)


def test_another_number_of_frames(checkpoints: Path) -> None:
    with pytest.raises(InputError, match="takes 4 frames, not 8; set frames = 4"):
        PictureEncoder(str(checkpoints / "timesformer"), SIZE, CLASSES)


def test_every_parameter_that_learns_gets_a_gradient(checkpoints: Path) -> None:
    """Several processes wait for those that do not."""
    batch = {"sound": torch.randn(2, 4000), "attention": torch.ones(2, 4000, dtype=torch.int64)}
    for kind in ("data2vec", "wav2vec2"):
        model = SoundEncoder(str(checkpoints / kind), SIZE, CLASSES).train()
        model(**batch)[1].sum().backward()
        silent = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
        assert silent == []
        assert all(p.grad is None for p in model.encoder.feature_extractor.parameters())


def test_checkpoints_that_cannot_be_used(
    checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match="the checkpoint .*nowhere cannot be loaded"):
        load_encoder(str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="data2vec cannot be loaded"):
        load_tokenizer(str(checkpoints / "data2vec"))
    other = tmp_path / "other"
    shutil.copytree(checkpoints / "roberta", other)
    (other / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(InputError, match="other cannot be loaded"):
        load_encoder(str(other))
    shutil.copy(checkpoints / "videomae" / "model.safetensors", other)
    with pytest.raises(InputError, match="lacks most weights of RobertaModel"):
        load_encoder(str(other))
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"model_type": "unheard-of"}))
    with pytest.raises(InputError, match="other cannot be loaded"):
        load_encoder(str(other))
