"""The encoders of stage 1 as a bundle's graphs: what the live runtime gives in, MAGT's size out.

Normalising, enlarging and stage 2's adapter are inside the graph, so that they exist once.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from magtkd_rt.train.stage1.encoders import PictureEncoder, SoundEncoder, TextEncoder
from magtkd_rt.train.stage1.inputs import enlarged, normalised


class TextGraph(nn.Module):
    """One prompt -> feature of MAGT's size and logits.

    Args:
        encoder: of stage 1.
        adapt: (b, d) -> (b, feature size), of stage 2.
    """

    def __init__(self, encoder: TextEncoder, adapt: nn.Module) -> None:
        super().__init__()
        self.encoder, self.adapt = encoder, adapt

    def forward(self, input_ids: Tensor, mask_position: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (1, n) and the mask's place (1,) -> (1, feature size), (1, classes)."""
        feature, logits = self.encoder(input_ids, mask_position, torch.ones_like(input_ids))
        return self.adapt(feature), logits


class SoundGraph(nn.Module):
    """One waveform -> feature of MAGT's size and logits.

    Args:
        encoder: of stage 1.
        adapt: (b, d) -> (b, feature size), of stage 2.
        normalise: whether the checkpoint wants sound of mean 0 and deviation 1.
    """

    def __init__(self, encoder: SoundEncoder, adapt: nn.Module, normalise: bool) -> None:
        super().__init__()
        self.encoder, self.adapt, self.normalise = encoder, adapt, normalise

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """(1, n) at 16 kHz -> (1, feature size), (1, classes)."""
        if self.normalise:
            centred = waveform - waveform.mean(1, keepdim=True)
            waveform = centred / (centred.square().mean(1, keepdim=True) + 1e-7).sqrt()
        feature, logits = self.encoder.alone(waveform)
        return self.adapt(feature), logits


class PictureGraph(nn.Module):
    """Grey faces of one utterance -> feature of MAGT's size and logits.

    Args:
        encoder: of stage 1, trained with `view = "live"`.
        adapt: (b, d) -> (b, feature size), of stage 2.
        colours: mean and deviation (3, 1, 1) that the checkpoint learned with.
    """

    def __init__(
        self, encoder: PictureEncoder, adapt: nn.Module, colours: tuple[Tensor, Tensor]
    ) -> None:
        super().__init__()
        self.encoder, self.adapt = encoder, adapt
        self.frames, self.side = int(encoder.encoder.config.num_frames), encoder.side
        self.register_buffer("mean", colours[0])
        self.register_buffer("deviation", colours[1])

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (n, 48, 48) in order -> (1, feature size), (1, classes); n may be too few."""
        # One by one, by sizes: TensorRT has no converters for // on tensors.
        count, parts = faces.shape[0], 2 * self.frames
        chosen = [faces[(2 * frame + 1) * count // parts] for frame in range(self.frames)]
        pictures = enlarged(torch.stack(chosen).unsqueeze(0), self.side)
        mean, deviation = self.get_buffer("mean"), self.get_buffer("deviation")
        feature, logits = self.encoder(normalised(pictures, mean, deviation))
        return self.adapt(feature), logits
