"""The text student: the tokens of a prompt in, the feature at its mask and logits out."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel
from transformers.models.bert.modeling_bert import BertLayer


class TextStudent(nn.Module):
    """A small BERT read at the prompt's mask (MAGTKD, stage 1, with linear feature and head)."""

    def __init__(self, config: BertConfig, feature_size: int = 128, classes: int = 7) -> None:
        super().__init__()
        self.encoder = BertModel(config, add_pooling_layer=False)
        self.dropout = nn.Dropout(0.1)
        self.project = nn.Linear(config.hidden_size, feature_size)
        self.classify = nn.Linear(feature_size, classes)

    def embed(
        self, input_ids: Tensor, mask_position: Tensor, attention_mask: Tensor | None = None
    ) -> Tensor:
        """(b, n) tokens and (b,) mask positions -> (b, feature_size)."""
        hidden = self.encoder.embeddings(input_ids)  # (b, n, hidden)
        heard = None if attention_mask is None else attention_mask.bool()[:, None, None]
        *layers, last = cast("list[BertLayer]", list(self.encoder.encoder.layer))
        for layer in layers:
            hidden = _attend(layer, hidden, hidden, heard)
        # Of the last layer nobody reads more than the mask's row: a seventh of the work is saved.
        rows = torch.arange(input_ids.shape[0], device=input_ids.device)
        asked = hidden[rows, mask_position][:, None]
        feature: Tensor = self.project(self.dropout(_attend(last, asked, hidden, heard)[:, 0]))
        return feature

    def forward(self, input_ids: Tensor, mask_position: Tensor) -> tuple[Tensor, Tensor]:
        """(1, n) int64 tokens, (1,) int64 -> feature (1, d) and logits (1, classes)."""
        feature = self.embed(input_ids, mask_position)
        return feature, self.classify(feature)


def _attend(layer: BertLayer, queries: Tensor, hidden: Tensor, heard: Tensor | None) -> Tensor:
    """One layer of BERT, (b, m, hidden), that asks `m` queries of `n` hidden states.

    Attention is written out: of torch's own, the way back is slow on a CPU.
    """
    attention = layer.attention.self
    query, key, value = (
        part(given).unflatten(-1, (attention.num_attention_heads, -1)).transpose(1, 2)
        for part, given in (
            (attention.query, queries),
            (attention.key, hidden),
            (attention.value, hidden),
        )
    )  # (b, heads, m or n, size)
    scores = (query * attention.scaling) @ key.transpose(-1, -2)
    if heard is not None:
        scores = scores.masked_fill(~heard, -1e4)
    shares = attention.dropout(torch.softmax(scores, -1, dtype=torch.float32))
    mixed = shares.to(value.dtype) @ value
    after = layer.attention.output(mixed.transpose(1, 2).flatten(2), queries)
    changed: Tensor = layer.output(layer.intermediate(after), after)
    return changed
