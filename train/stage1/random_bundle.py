"""A bundle whose encoders have the published sizes and random weights: to time, not to use.

The published sizes (docs/magtkd.md of the paper's method): RoBERTa-large, data2vec-audio-base,
TimeSformer-base at 8 x 224, MAGT with d 768, 8 heads, feed-forward 768, window 32.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from torch import nn

from magtkd_rt.bundle.golden import write_golden
from magtkd_rt.bundle.manifest import Calibration, Corpus, Temperatures
from magtkd_rt.bundle.store import Bundle, write_bundle
from magtkd_rt.features.prompt import PromptEncoder
from magtkd_rt.labels import LABELS
from magtkd_rt.models.magt import MagtConfig, StreamingMagt
from magtkd_rt.train.stage1.encoders import PictureEncoder, SoundEncoder, TextEncoder
from magtkd_rt.train.stage1.export import graphs_of, manifest_of, write_graphs
from magtkd_rt.train.stage1.pretrained import load_tokenizer, tokenizer_file
from magtkd_rt.train.stage1.settings import Settings

Shape = Mapping[str, Any]

FULL: Final[Mapping[str, Shape]] = {
    "text": {
        "model_type": "roberta",
        "vocab_size": 50265,
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "max_position_embeddings": 514,
        "type_vocab_size": 1,
        "pad_token_id": 1,
    },
    "audio": {"model_type": "data2vec-audio", "mask_time_prob": 0.0},
    "video": {"model_type": "timesformer", "num_frames": 8, "image_size": 224},
    "fusion": {
        "feature_size": 768,
        "size": 768,
        "heads": 8,
        "feed_forward": 768,
        "window": 32,
    },
}
"""What is not said is as transformers' configurations, or `MagtConfig`, have it."""

_TOKENS: Final = 128
_SECONDS: Final = 4.0
_SEED: Final = 5


def write_random_bundle(target: Path, shapes: Mapping[str, Shape] = FULL) -> Bundle:
    """Write it; prompts are of 128 tokens at most, sound of 4 seconds, as the timings are told.

    Args:
        target: the bundle's directory.
        shapes: of text, audio and video as transformers' configurations, of fusion as `MagtConfig`.

    Raises:
        EngineError: a graph does not say what its module says.
        OSError: it cannot be written.
    """
    torch.manual_seed(_SEED)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        folder = Path(name)
        for part in ("text", "audio", "video"):
            (folder / part).mkdir()
            (folder / part / "config.json").write_text(json.dumps(dict(shapes[part])))
        hears = {"do_normalize": True, "return_attention_mask": True}
        (folder / "audio" / "preprocessor_config.json").write_text(json.dumps(hears))
        _write_tokenizer(folder / "text" / "tokenizer.json", shapes["text"]["vocab_size"])
        config = MagtConfig(**shapes["fusion"])
        frames = shapes["video"]["num_frames"]
        settings = Settings.model_validate(
            {
                "run": {"size": config.feature_size},
                "text": {"model": str(folder / "text"), "max_tokens": _TOKENS},
                "audio": {"model": str(folder / "audio"), "longest": _SECONDS},
                "video": {"model": str(folder / "video"), "frames": frames, "view": "live"},
            }
        )
        prompts = PromptEncoder(load_tokenizer(settings.text.model), _TOKENS)
        vocabulary, size, classes = prompts.vocabulary_size, config.feature_size, len(LABELS)
        encoders = (
            TextEncoder(settings.text.model, vocabulary, size, classes, pretrained=False),
            SoundEncoder(settings.audio.model, size, classes, pretrained=False),
            PictureEncoder(settings.video.model, size, classes, frames, pretrained=False),
        )
        same = nn.Identity()
        graphs = graphs_of(settings, prompts, encoders, (same, same, same), StreamingMagt(config))
        described, golden = write_graphs(graphs, folder / "graphs")
        manifest = manifest_of(
            target.name,
            settings,
            LABELS,
            described,
            config,
            Calibration(
                temperature=Temperatures(fused=1.0, text=1.0, audio=1.0, video=1.0),
                abstain_threshold=0.0,
                text_confidence_threshold=0.0,
            ),
            licence="none needed: nothing was learned",
            corpus=Corpus(name="none", licence="none", use="random weights, for timing only"),
        )
        return write_bundle(
            target,
            manifest,
            {
                **{graph.file: folder / "graphs" / graph.file for graph in described.values()},
                "tokenizer.json": tokenizer_file(settings.text.model),
                "golden.npz": write_golden(golden),
                "MODEL_CARD.md": b"# Random weights\n\nTo time full-size graphs. It has learned "
                b"nothing: its results mean nothing.\n",
            },
        )


def _write_tokenizer(file: Path, size: int) -> None:
    """A byte-level tokenizer with RoBERTa's special tokens, as many tokens as RoBERTa has.

    It cuts words into letters, since nothing was learned about words.
    """
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    tokens = [*special, *sorted(ByteLevel.alphabet())]
    tokens += [f"unused {number}" for number in range(size - len(tokens) - 1)]
    vocabulary = {token: number for number, token in enumerate([*tokens, "<mask>"])}
    tokenizer = Tokenizer(BPE(vocabulary, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    tokenizer.add_special_tokens([*special, "<mask>"])
    tokenizer.save(str(file))
