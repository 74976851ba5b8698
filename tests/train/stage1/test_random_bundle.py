"""A bundle with random weights in given sizes: the live runtime opens it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from magtkd_rt.engines.select import select
from magtkd_rt.train.stage1.random_bundle import write_random_bundle

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),  # torch's own
]

SMALL: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32
}  # fmt: skip


def test_it_opens_and_says_what_it_said_when_it_was_made(tmp_path: Path) -> None:
    shapes: dict[str, dict[str, Any]] = {
        "text": SMALL
        | {"model_type": "roberta", "vocab_size": 300, "max_position_embeddings": 130},
        "audio": SMALL
        | {
            "model_type": "data2vec-audio", "mask_time_prob": 0.0, "conv_dim": (8, 8),
            "conv_kernel": (10, 3), "conv_stride": (10, 8), "num_feat_extract_layers": 2,
            "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2,
        },
        "video": SMALL
        | {"model_type": "timesformer", "num_frames": 4, "image_size": 32, "patch_size": 16},
        "fusion": {"feature_size": 8, "size": 8, "heads": 2, "feed_forward": 8, "window": 4},
    }  # fmt: skip
    bundle = write_random_bundle(tmp_path / "made" / "small", shapes)
    select(bundle, "onnx").engine.close()  # runs the golden inputs
    assert bundle.manifest.preprocessing.text.max_tokens == 128
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["small"]
    assert "learned nothing" in bundle.path("MODEL_CARD.md").read_text(encoding="utf-8")
