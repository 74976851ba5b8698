"""Build a tiny Whisper with random weights: faster-whisper's real code runs on it offline."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

_LANGUAGES = ("en", "de")


@pytest.fixture(scope="session")
def tiny_whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A converted Whisper with random weights."""
    for module in ("torch", "transformers", "ctranslate2", "faster_whisper"):
        pytest.importorskip(module)
    return build_tiny_whisper(tmp_path_factory.mktemp("whisper"))


def build_tiny_whisper(folder: Path) -> Path:
    """Write a converted model (int8) into a new folder below `folder` and return that."""
    import torch
    from ctranslate2.converters import TransformersConverter
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import (  # type: ignore[attr-defined]  # the last is made when asked for
        GenerationConfig,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperTokenizerFast,
    )

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: at for at, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|startoftranscript|>"]
    special += [f"<|{language}|>" for language in _LANGUAGES]
    special += ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>"]
    special += ["<|nospeech|>", "<|notimestamps|>"]
    special += [f"<|{step * 0.02:.2f}|>" for step in range(1501)]
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    token = tokenizer.get_vocab()
    begin, end = token["<|startoftranscript|>"], token["<|endoftext|>"]

    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=tokenizer.get_vocab_size(),
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        decoder_start_token_id=begin,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        decoder_start_token_id=begin,
        is_multilingual=True,
        lang_to_id={f"<|{language}|>": token[f"<|{language}|>"] for language in _LANGUAGES},
        task_to_id={"transcribe": token["<|transcribe|>"], "translate": token["<|translate|>"]},
        no_timestamps_token_id=token["<|notimestamps|>"],
        alignment_heads=[[0, 0], [1, 0]],
        max_length=448,
    )
    source = folder / "random"
    model.save_pretrained(source)
    WhisperTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|endoftext|>",
        eos_token="<|endoftext|>",
        unk_token="<|endoftext|>",
    ).save_pretrained(source)
    tokenizer.save(str(source / "tokenizer.json"))
    WhisperFeatureExtractor().save_pretrained(source)
    files = ["tokenizer.json"]
    if (source / "preprocessor_config.json").is_file():
        files.append("preprocessor_config.json")
    json.loads((source / "tokenizer.json").read_text())
    target = folder / "tiny-random-whisper"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the converter, about dtypes
        TransformersConverter(str(source), copy_files=files).convert(
            str(target), quantization="int8"
        )
    return target
