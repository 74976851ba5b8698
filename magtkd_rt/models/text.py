"""The text student: the tokens of a prompt in, the feature at its mask and logits out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel


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
        hidden = self.encoder(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=torch.zeros_like(input_ids),
        ).last_hidden_state  # (b, n, hidden)
        rows = torch.arange(input_ids.shape[0], device=input_ids.device)
        feature: Tensor = self.project(self.dropout(hidden[rows, mask_position]))
        return feature

    def forward(self, input_ids: Tensor, mask_position: Tensor) -> tuple[Tensor, Tensor]:
        """(1, n) int64 tokens, (1,) int64 -> feature (1, d) and logits (1, classes)."""
        feature = self.embed(input_ids, mask_position)
        return feature, self.classify(feature)
