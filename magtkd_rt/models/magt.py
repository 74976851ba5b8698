"""The Multi-modal Anchor Gated Transformer (MAGTKD, IJCAI 2025, arXiv 2506.18716), two ways.

`StreamingMagt` is causal, with a sliding window, relative positions and cached keys and values:
a session can last all day. `PaperMagt` sees the whole dialogue as published, for comparison with
published tables only. Both share their blocks.

Shapes: b dialogues, n utterances, m modalities (text, audio, video), d model size, h heads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

_TEXT, _AUDIO, _VIDEO = 0, 1, 2


@dataclass(frozen=True)
class MagtConfig:
    """Sizes of a MAGT.

    Attributes:
        feature_size: of the students' vectors.
        size: d, inside.
        heads: attention heads; `size` is a multiple.
        feed_forward: width of the feed-forward layer.
        window: how many utterances one may look at, itself included.
        right: how many later utterances one may look at when it is looked at again, 1 or more.
        speakers: rows of the speaker table; the one before the last is any further speaker,
            the last an unknown one.
        classes: how many labels.
        dropout: everywhere.
        words_alone: what sees neither voice nor face gets what its words say by themselves; without
            it, words alone are judged in the light of the conversation.
        linear_first: MAGT adds to a linear classifier of all modalities; without it, of words.
    """

    feature_size: int = 128
    size: int = 128
    heads: int = 4
    feed_forward: int = 256
    window: int = 24
    right: int = 2
    speakers: int = 10
    classes: int = 7
    dropout: float = 0.3
    words_alone: bool = True
    linear_first: bool = False


@dataclass(frozen=True)
class MagtState:
    """What a conversation leaves behind: the window's keys and values of each block.

    Attributes:
        keys: (b, blocks, h, window - 1, d / h), oldest first.
        values: as `keys`.
        valid: (b, m, window - 1), 1 where that modality was present.
    """

    keys: Tensor
    values: Tensor
    valid: Tensor

    @staticmethod
    def empty(config: MagtConfig, batch: int = 1) -> MagtState:
        """The state before the first utterance."""
        past = config.window - 1
        shape = (batch, _BLOCKS, config.heads, past, config.size // config.heads)
        return MagtState(torch.zeros(shape), torch.zeros(shape), torch.zeros(batch, 3, past))

    def newest(self, count: int) -> MagtState:
        """The last `count` utterances of it."""
        start = self.valid.shape[2] - count
        return MagtState(
            self.keys[:, :, :, start:], self.values[:, :, :, start:], self.valid[:, :, start:]
        )


class AnchorGatedBlock(nn.Module):
    """One transformer layer: queries from the anchor, keys and values from the source, gated.

    A learned nothing is always there to look at, so that attention over absent modalities is
    defined.
    """

    def __init__(self, config: MagtConfig) -> None:
        super().__init__()
        size = config.size
        self.heads = config.heads
        self.query, self.key, self.value, self.out = (nn.Linear(size, size) for _ in range(4))
        self.nothing = nn.Parameter(torch.randn(2, size) * 0.02)
        self.norm_attention, self.norm_forward = nn.LayerNorm(size), nn.LayerNorm(size)
        self.feed_forward = nn.Sequential(
            nn.Linear(size, config.feed_forward),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.feed_forward, size),
        )
        self.gate = nn.Linear(size, size)
        self.dropout = nn.Dropout(config.dropout)

    def _split(self, x: Tensor) -> Tensor:
        """(b, n, d) -> (b, h, n, d / h)."""
        parts: Tensor = x.unflatten(2, (self.heads, -1))
        return parts.transpose(1, 2)

    def keys_values(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """(b, n, d) -> keys and values (b, h, n, d / h), which may be cached."""
        return self._split(self.key(source)), self._split(self.value(source))

    def forward(
        self, anchor: Tensor, seen: Sequence[tuple[Tensor, Tensor]], bias: Tensor
    ) -> Tensor:
        """Look at several pieces of keys and values as if they were one.

        They are not joined, which would copy a whole window at every step.

        Args:
            anchor: (b, n, d).
            seen: pieces of keys and values, (b, h, k, d / h) each.
            bias: (b, h, n, all k), -inf hides.

        Returns:
            (b, n, d)
        """
        nothing = self.nothing.unflatten(1, (self.heads, -1)).unsqueeze(2)  # (2, h, 1, d / h)
        pieces = [(nothing[0], nothing[1]), *seen]
        query = self._split(self.query(anchor) / math.sqrt(nothing.shape[-1]))
        scores = torch.cat([query @ keys.transpose(-1, -2) for keys, _ in pieces], dim=3)
        weights = self.dropout(torch.softmax(scores + functional.pad(bias, (1, 0)), dim=3))
        counts = [keys.shape[-2] for keys, _ in pieces]
        found = [
            part @ values
            for part, (_, values) in zip(weights.split(counts, dim=3), pieces, strict=True)
        ]
        heard = self.out(torch.stack(found).sum(0).transpose(1, 2).flatten(2))
        x = self.norm_attention(anchor + self.dropout(heard))
        x = self.norm_forward(x + self.dropout(self.feed_forward(x)))
        gated: Tensor = torch.sigmoid(self.gate(x)) * x
        return gated


Attend = Callable[[int, Tensor, Tensor], Tensor]
"""(block, anchor (b, n, d), source (b, n, d)) -> (b, n, d)"""

# source modality of each block, in the order of the anchors video, audio, text
_SOURCES = (_VIDEO, _TEXT, _AUDIO, _AUDIO, _TEXT, _VIDEO, _TEXT, _AUDIO, _VIDEO)
_BLOCKS = len(_SOURCES)


class _Magt(nn.Module):
    """What both ways share: inputs, the nine blocks, the heads.

    `words` is the text student's own classifier on its feature, which training leaves as it is: the
    main head learns what voice, face and conversation add to it.
    """

    def __init__(self, config: MagtConfig) -> None:
        super().__init__()
        self.config = config
        self.inputs = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(config.feature_size), nn.Linear(config.feature_size, config.size)
            )
            for _ in range(3)
        )
        self.missing = nn.Parameter(torch.randn(3, config.size) * 0.02)
        self.speaker = nn.Embedding(config.speakers, config.size)
        nn.init.normal_(self.speaker.weight, std=0.1)
        self.blocks = nn.ModuleList(AnchorGatedBlock(config) for _ in _SOURCES)
        self.merge = nn.ModuleList(nn.Linear(3 * config.size, config.size) for _ in range(3))
        self.dropout = nn.Dropout(config.dropout)
        self.classify = nn.ModuleList(nn.Linear(config.size, config.classes) for _ in range(3))
        own = 3 if config.linear_first else 1
        self.words = nn.Linear(own * config.feature_size, config.classes)

    def _embed(self, features: Tensor, present: Tensor, speaker: Tensor) -> list[Tensor]:
        """features (b, n, m, f), present (b, n, m), speaker (b, n) -> per modality (b, n, d)."""
        voice = self.speaker(speaker)
        embedded = []
        for index, project in enumerate(self.inputs):
            there = present[:, :, index, None]
            x = project(features[:, :, index])
            embedded.append(torch.where(there > 0, x, self.missing[index]) + voice)
        return embedded

    def _refine(self, inputs: list[Tensor], attend: Attend) -> list[Tensor]:
        """The three anchors in turn; returns t', a', v' of shape (b, n, d)."""
        text, audio, video = inputs

        def anchored(first: int, anchor: Tensor, sources: tuple[Tensor, ...], merge: int) -> Tensor:
            parts = [attend(first + i, anchor, source) for i, source in enumerate(sources)]
            merged: Tensor = self.merge[merge](torch.cat(parts, dim=2))
            return merged

        video_refined = anchored(0, video, (video, text, audio), _VIDEO)
        audio_refined = anchored(3, audio, (audio, text, video), _AUDIO)
        text_refined = anchored(6, text, (text, audio_refined, video_refined), _TEXT)
        return [text_refined, audio_refined, video_refined]

    def _heads(
        self, refined: list[Tensor], features: Tensor, present: Tensor, hidden: list[Tensor]
    ) -> Tensor:
        """Logits of the main head and of the two auxiliary ones, (3, b, n, classes).

        The main head adds to what the words say by themselves, where there are words; with
        `words_alone` it adds nothing to utterances that see no voice and no face, not even an
        earlier one.
        """
        main, audio, video = (
            head(self.dropout(x)) for head, x in zip(self.classify, refined, strict=True)
        )
        if self.config.linear_first:
            there = present[..., None] > 0
            words = self.words(torch.where(there, features, torch.zeros_like(features)).flatten(2))
        else:
            words = self.words(features[:, :, _TEXT])
            words = torch.where(present[:, :, _TEXT, None] > 0, words, torch.zeros_like(words))
        if not self.config.words_alone:
            return torch.stack([main + words, audio, video])
        sees = (hidden[_AUDIO].isfinite() | hidden[_VIDEO].isfinite()).any(dim=3).squeeze(1)
        return torch.stack([main * sees[..., None] + words, audio, video])


class StreamingMagt(_Magt):
    """Causal MAGT: each utterance sees itself and the `window - 1` before it.

    Positions are a linear bias on the distance (ALiBi, Press et al. 2022) with learned slopes, so
    they never run out and a cached key stays valid when the window slides.

    Once `ahead` later utterances have come, 1 to `right`, an utterance may be looked at again: its
    own queries then see the keys and values that those left in the window, which are causal still,
    and a learned bias stands for each place after it. Nothing but its own result changes.
    """

    def __init__(self, config: MagtConfig) -> None:
        super().__init__(config)
        start = 2.0 ** -torch.arange(1, config.heads + 1, dtype=torch.float32)
        self.slopes = nn.Parameter(start.log().repeat(_BLOCKS, 1))
        # (blocks, h, right): later utterances start as what is as far back.
        places = torch.arange(1, 1 + config.right)
        self.later = nn.Parameter((-start[:, None] * places).repeat(_BLOCKS, 1, 1))

    def _attended(
        self,
        features: Tensor,
        present: Tensor,
        speaker: Tensor,
        cached: MagtState,
        distance: Tensor,
        seen: Tensor,
    ) -> tuple[Tensor, MagtState]:
        """Score n utterances that see some of k cached ones and of themselves.

        Args:
            features, present, speaker: as in `advance`.
            cached: of k utterances.
            distance: (1 or b, n, k + n), how long before; less than 0 is later.
            seen: as `distance`, what may be looked at.

        Returns:
            logits (3, b, n, classes), and `cached` with the n at its end.
        """
        valid = torch.cat([cached.valid, present.transpose(1, 2)], dim=2)
        hidden = [
            torch.where((valid[:, i, None, :] > 0) & seen, 0.0, -torch.inf).unsqueeze(1)
            for i in range(3)
        ]
        back = distance.clamp(min=0).to(valid.dtype).unsqueeze(1)
        is_later = distance.unsqueeze(1) < 0
        place = (-distance - 1).clamp(0, self.config.right - 1)
        kept = list(zip(cached.keys.unbind(1), cached.values.unbind(1), strict=True))
        added: list[tuple[Tensor, Tensor]] = []

        def attend(block: int, anchor: Tensor, source: Tensor) -> Tensor:
            layer = cast("AnchorGatedBlock", self.blocks[block])
            added.append(layer.keys_values(source))
            slope = self.slopes[block].exp()[:, None, None]
            later = torch.where(is_later, self.later[block][:, place].transpose(0, 1), 0.0)
            bias = hidden[_SOURCES[block]] - slope * back + later
            scored: Tensor = layer(anchor, [kept[block], added[block]], bias)
            return scored

        refined = self._refine(self._embed(features, present, speaker), attend)
        keys, values = (torch.stack(new, 1) for new in zip(*added, strict=True))
        everything = MagtState(
            torch.cat([cached.keys, keys], dim=3), torch.cat([cached.values, values], dim=3), valid
        )
        return self._heads(refined, features, present, hidden), everything

    def advance(
        self, features: Tensor, present: Tensor, speaker: Tensor, state: MagtState
    ) -> tuple[Tensor, MagtState]:
        """Score the next n >= 1 utterances of each dialogue.

        Args:
            features: (b, n, m, f); what stands where `present` is 0 does not matter.
            present: (b, n, m), 1 or 0.
            speaker: (b, n) int64, numbers of the speakers.
            state: what the previous call returned, or `MagtState.empty`.

        Returns:
            logits (3, b, n, classes), main head first, and the new state. However the utterances
            are cut into calls, the logits are the same to rounding.
        """
        past, count = self.config.window - 1, features.shape[1]
        distance = (torch.arange(count)[:, None] + past - torch.arange(past + count))[None]
        seen = (distance >= 0) & (distance < self.config.window)
        logits, everything = self._attended(features, present, speaker, state, distance, seen)
        return logits, everything.newest(past)

    def step(
        self, features: Tensor, present: Tensor, speaker: Tensor, state: MagtState, ahead: Tensor
    ) -> tuple[Tensor, MagtState]:
        """Score the next utterance of each dialogue, or look again at an earlier one.

        Args:
            features, present, speaker: as in `advance`, n = 1; of an earlier one as at first.
            state: what the last utterance left.
            ahead: (b,) int64: 0 for the next utterance, else how many have followed the one that
                is meant, 1 to `right`.

        Returns:
            logits (3, b, 1, classes), and the new state, which means nothing where `ahead` is not
            0.
        """
        past = self.config.window - 1
        # Its own place in the window is left out: it comes as it is now, at distance 0.
        shift = torch.where(ahead > 0, ahead + 1, 0)[:, None, None]
        cached = past - torch.arange(past) - shift
        distance = torch.cat([cached, torch.zeros_like(shift)], dim=2)
        seen = torch.cat([cached != 0, torch.ones_like(shift, dtype=torch.bool)], dim=2)
        logits, everything = self._attended(features, present, speaker, state, distance, seen)
        return logits, everything.newest(past)

    def look_again(
        self, features: Tensor, present: Tensor, speaker: Tensor, causal: MagtState, ahead: int
    ) -> Tensor:
        """Look at whole dialogues again: what `step` gives for each utterance, at once.

        Args:
            features, present, speaker: as in `forward`.
            causal: keys and values of those n utterances, by `whole`.
            ahead: how many later utterances each one sees, 1 to `right`.

        Returns:
            logits (3, b, n, classes); the last `ahead` see what there is of later ones.
        """
        places = torch.arange(features.shape[1])
        apart = places[:, None] - places
        # The window has moved on by `ahead`.
        others = (apart >= -ahead) & (apart < self.config.window - 1 - ahead) & (apart != 0)
        distance = torch.cat([apart, apart], dim=1)[None]
        seen = torch.cat([others, apart == 0], dim=1)[None]
        return self._attended(features, present, speaker, causal, distance, seen)[0]

    def whole(self, features: Tensor, present: Tensor, speaker: Tensor) -> tuple[Tensor, MagtState]:
        """The full causal pass, with the keys and values of all n utterances."""
        count = features.shape[1]
        empty = MagtState.empty(self.config, features.shape[0]).newest(0)
        places = torch.arange(count)
        distance = (places[:, None] - places)[None]
        seen = (distance >= 0) & (distance < self.config.window)
        return self._attended(features, present, speaker, empty, distance, seen)

    def forward(self, features: Tensor, present: Tensor, speaker: Tensor) -> Tensor:
        """The full causal pass: (b, n, m, f), (b, n, m), (b, n) -> (3, b, n, classes)."""
        return self.whole(features, present, speaker)[0]


class PaperMagt(_Magt):
    """MAGT as published: attention over the whole dialogue, sinusoids. Sees the future."""

    def _positions(self, count: int) -> Tensor:
        """(n, d) sinusoids (Vaswani et al. 2017)."""
        half = self.config.size // 2
        rate = torch.exp(torch.arange(half) * (-math.log(10_000.0) / half))
        angle = torch.arange(count)[:, None] * rate
        return torch.cat([angle.sin(), angle.cos()], dim=1) * 0.1

    def forward(self, features: Tensor, present: Tensor, speaker: Tensor) -> Tensor:
        """(b, n, m, f), (b, n, m), (b, n) -> (3, b, n, classes), main head first."""
        positions = self._positions(features.shape[1])
        hidden = [torch.where(present[:, None, None, :, i] > 0, 0.0, -torch.inf) for i in range(3)]

        def attend(block: int, anchor: Tensor, source: Tensor) -> Tensor:
            layer = cast("AnchorGatedBlock", self.blocks[block])
            bias = hidden[_SOURCES[block]].expand(-1, layer.heads, anchor.shape[1], -1)
            scored: Tensor = layer(anchor, [layer.keys_values(source)], bias)
            return scored

        inputs = [x + positions for x in self._embed(features, present, speaker)]
        return self._heads(self._refine(inputs, attend), features, present, hidden)
