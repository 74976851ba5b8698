"""The three encoders of stage 1: a public checkpoint, a linear layer to d, a linear classifier."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from magtkd_rt.errors import InputError
from magtkd_rt.train.stage1.pretrained import load_encoder, processor_of


class TextEncoder(nn.Module):
    """RoBERTa-like: the hidden state at the prompt's mask (magtkd.md, prompt learning).

    Args:
        name: of the checkpoint.
        vocabulary: rows of the embedding, speaker tokens included.
        size: d.
        classes: how many labels.
        pretrained: with the checkpoint's weights.
    """

    def __init__(
        self, name: str, vocabulary: int, size: int, classes: int, *, pretrained: bool = True
    ) -> None:
        super().__init__()
        self.encoder = load_encoder(name, pretrained=pretrained)
        self.encoder.resize_token_embeddings(vocabulary, mean_resizing=False)
        self.typed = bool(getattr(self.encoder.config, "type_vocab_size", 0))
        self.project = nn.Linear(self.encoder.config.hidden_size, size)
        self.classify = nn.Linear(size, classes)

    def forward(self, tokens: Tensor, position: Tensor, attention: Tensor) -> tuple[Tensor, Tensor]:
        """Features (b, d) and logits (b, classes) of tokens (b, n) with the mask at position (b,).

        attention (b, n) is 0 where a prompt is filled up.
        """
        # Said, for what the encoder takes by itself is looked up in a way that TensorRT cannot.
        types = {"token_type_ids": torch.zeros_like(tokens)} if self.typed else {}
        hidden = self.encoder(input_ids=tokens, attention_mask=attention, **types)
        hidden = hidden.last_hidden_state
        feature = self.project(hidden[torch.arange(len(tokens), device=tokens.device), position])
        return feature, self.classify(feature)


class SoundEncoder(nn.Module):
    """wav2vec2-like (data2vec-audio, HuBERT, WavLM): the mean over what is no padding.

    Args:
        name: of the checkpoint.
        size: d.
        classes: how many labels.
        pretrained: with the checkpoint's weights.
        frozen_convolutions: keep the layers on the waveform as they are.
    """

    def __init__(
        self,
        name: str,
        size: int,
        classes: int,
        *,
        pretrained: bool = True,
        frozen_convolutions: bool = True,
    ) -> None:
        super().__init__()
        # Layers left out at random would leave parameters without a gradient, which several
        # processes wait for.
        self.encoder = load_encoder(name, pretrained=pretrained, layerdrop=0.0)
        config = self.encoder.config
        if not (getattr(config, "apply_spec_augment", True) and config.mask_time_prob > 0):
            for parameter_name, parameter in self.encoder.named_parameters():
                if parameter_name.endswith("masked_spec_embed"):
                    parameter.requires_grad_(False)
        if frozen_convolutions:
            self.encoder.feature_extractor.requires_grad_(False)
        # Group normalisation looks over the padding too; such checkpoints learned without a mask.
        said = processor_of(name).get("return_attention_mask")
        self.masked = said if isinstance(said, bool) else config.feat_extract_norm == "layer"
        self._kept: Tensor | None = None
        self._silence_padding()
        self.project = nn.Linear(config.hidden_size, size)
        self.classify = nn.Linear(size, classes)

    def _silence_padding(self) -> None:
        """Keep padding at zero between data2vec's five convolutions over positions.

        Otherwise what a short sound says would depend on how long the others in its batch are.
        """

        def zero(_: nn.Module, __: Any, output: Tensor) -> Tensor:
            return output if self._kept is None else output * self._kept[:, None].to(output.dtype)

        positions = getattr(self.encoder.encoder, "pos_conv_embed", None)
        for layer in getattr(positions, "layers", ()):
            layer.register_forward_hook(zero)

    def forward(self, sound: Tensor, attention: Tensor) -> tuple[Tensor, Tensor]:
        """Features (b, d) and logits (b, classes) of sound (b, n) at 16 kHz.

        attention (b, n) is 0 where a sound is filled up.
        """
        shortened = self.encoder._get_feat_extract_output_lengths(torch.tensor(sound.shape[1]))
        kept = self.encoder._get_feature_vector_attention_mask(int(shortened), attention)
        self._kept = kept if self.masked else None
        hidden = self.encoder(sound, attention_mask=attention if self.masked else None)
        hidden = hidden.last_hidden_state
        weights = kept[..., None].to(hidden.dtype)
        feature = self.project((hidden * weights).sum(1) / weights.sum(1))
        return feature, self.classify(feature)

    def alone(self, sound: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, of one sound (1, n) that is not filled up."""
        self._kept = None
        feature = self.project(self.encoder(sound).last_hidden_state.mean(1))
        return feature, self.classify(feature)


class PictureEncoder(nn.Module):
    """TimeSformer: the class token; VideoMAE, which has none: the mean of all tokens.

    Args:
        name: of the checkpoint.
        size: d.
        classes: how many labels.
        frames: pictures to an utterance.
        pretrained: with the checkpoint's weights.
    """

    def __init__(
        self, name: str, size: int, classes: int, frames: int = 8, *, pretrained: bool = True
    ) -> None:
        super().__init__()
        self.encoder = load_encoder(name, pretrained=pretrained)
        config = self.encoder.config
        if config.num_frames != frames:
            raise InputError(
                f"the checkpoint {name} takes {config.num_frames} frames, not {frames}",
                remedy=f"set frames = {config.num_frames} in [video]",
            )
        self.side = int(config.image_size)
        self.class_token = config.model_type == "timesformer"
        self.project = nn.Linear(config.hidden_size, size)
        self.classify = nn.Linear(size, classes)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Features (b, d) and logits (b, classes) of normalised RGB pictures (b, t, 3, h, w)."""
        hidden = self.encoder(pixel_values=pictures).last_hidden_state
        feature = self.project(hidden[:, 0] if self.class_token else hidden.mean(1))
        return feature, self.classify(feature)
