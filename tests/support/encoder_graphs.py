"""The graphs of a full-size bundle, as training exports them, with random weights."""

from __future__ import annotations

from pathlib import Path

import torch

from magtkd_rt.bundle.manifest import GraphName
from magtkd_rt.train.cases import audio_cases, video_cases
from magtkd_rt.train.full import Adapted
from magtkd_rt.train.graphs import Exportable, to_onnx
from magtkd_rt.train.stage1.encoders import PictureEncoder, SoundEncoder, TextEncoder
from magtkd_rt.train.stage1.graphs import PictureGraph, SoundGraph, TextGraph
from magtkd_rt.train.stage1.inputs import colours_of
from magtkd_rt.train.stage1.pretrained import config_of
from magtkd_rt.train.stage2.model import Adapter

KINDS: dict[str, GraphName] = {
    "roberta": "text",
    "data2vec": "audio",
    "wav2vec2": "audio",
    "timesformer": "video",
    "videomae": "video",
}
"""Checkpoints of `tiny_checkpoints`, and which graph each becomes."""


def encoder_graph(checkpoint: Path, size: int = 12, feature_size: int = 8) -> Exportable:
    """The graph of a checkpoint's shape, with stage 2's adapter behind it."""
    torch.manual_seed(5)
    name, config = str(checkpoint), config_of(str(checkpoint))
    adapt = Adapted(Adapter((size, size, size), feature_size, 0.0, (0, 0, 0)), 0)
    encoded = ["feature", "logits"]
    kind = KINDS[checkpoint.name]
    if kind == "text":
        words = TextEncoder(name, config.vocab_size, size, 7, pretrained=False)
        cases = [
            {
                "input_ids": torch.randint(5, config.vocab_size, (1, length)),
                "mask_position": torch.tensor([length - 2]),
            }
            for length in (24, 9, 40)
        ]
        return Exportable(TextGraph(words, adapt), cases, encoded, {"input_ids": 1})
    if kind == "audio":
        voice = SoundEncoder(name, size, 7, pretrained=False)
        return Exportable(SoundGraph(voice, adapt, True), audio_cases(), encoded, {"waveform": 1})
    face = PictureEncoder(name, size, 7, config.num_frames, pretrained=False)
    graph = PictureGraph(face, adapt, colours_of(name))
    return Exportable(graph, video_cases(), encoded, {"faces": 0})


def write_encoder(checkpoint: Path, folder: Path) -> Path:
    """Export it; gives the ONNX file."""
    file = folder / f"{checkpoint.name}.onnx"
    to_onnx(encoder_graph(checkpoint), file)
    return file
