"""Checkpoints in the shapes of the public ones, tiny and random, saved to a directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


def _tokenizer(folder: Path) -> int:
    """A byte-level tokenizer with RoBERTa's special tokens; returns its size."""
    from tokenizers import Tokenizer
    from tokenizers.decoders import ByteLevel as Decoder
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel

    special = ["<s>", "<pad>", "</s>", "<unk>"]
    letters = sorted(ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*special, *letters, "<mask>"])}
    tokenizer = Tokenizer(BPE(vocabulary, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = Decoder()
    tokenizer.add_special_tokens([*special, "<mask>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    return len(vocabulary)


def write_checkpoint(folder: Path, kind: str) -> Path:
    """Save one of roberta, data2vec, wav2vec2, timesformer and videomae; no dropout anywhere."""
    import torch
    import transformers
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(3)
    small: dict[str, Any] = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    sound: dict[str, Any] = {
        "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 32, "conv_dim": (8, 8, 8), "conv_kernel": (10, 3, 3),
        "conv_stride": (10, 8, 4), "num_feat_extract_layers": 3, "mask_time_prob": 0.0,
        "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2,
        "hidden_dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0,
        "feat_proj_dropout": 0.0,
    }  # fmt: skip
    pictures = small | {"image_size": 32, "patch_size": 16, "num_frames": 4}
    config: Any
    model: Any
    if kind == "roberta":
        size = _tokenizer(folder)
        config = transformers.RobertaConfig(
            vocab_size=size, max_position_embeddings=130, type_vocab_size=1, pad_token_id=1, **small
        )
        model = transformers.RobertaModel(config)
    elif kind == "data2vec":
        model = transformers.Data2VecAudioModel(transformers.Data2VecAudioConfig(**sound))
        _processor(folder, do_normalize=True, return_attention_mask=True)
    elif kind == "wav2vec2":
        config = transformers.Wav2Vec2Config(feat_extract_norm="group", **sound)
        model = transformers.Wav2Vec2Model(config)
        _processor(folder, do_normalize=True, return_attention_mask=False)
    elif kind == "timesformer":
        model = transformers.TimesformerModel(transformers.TimesformerConfig(**pictures))
        _processor(folder, image_mean=[0.45] * 3, image_std=[0.225] * 3)
    elif kind == "videomae":
        config = transformers.VideoMAEConfig(tubelet_size=2, **pictures)
        model = transformers.VideoMAEModel(config)
    else:
        raise ValueError(kind)
    model.save_pretrained(folder)
    return folder


def _processor(folder: Path, **said: Any) -> None:
    (folder / "preprocessor_config.json").write_text(json.dumps(said))


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one sub-folder for each kind."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for kind in ("roberta", "data2vec", "wav2vec2", "timesformer", "videomae"):
        write_checkpoint(folder / kind, kind)
    return folder
