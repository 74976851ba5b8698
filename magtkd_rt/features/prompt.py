"""The text student's input: a dialogue as one prompt whose mask asks for the last feeling.

    [CLS] [S0] earlier words [S1] more [SEP] for [S0] the words, now [S0] feels [MASK] [SEP]

The newest tokens win where it does not fit. With a tokenizer of RoBERTa's kind the marks are
`<s>`, `</s>`, `<mask>` and `<s_0>`, and words begin with a space. Training and runtime share this
file: no skew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from tokenizers import Tokenizer

from magtkd_rt.core.jobs import Turn

SPEAKER_TOKENS: Final[tuple[str, ...]] = tuple(f"[S{number}]" for number in range(9))
"""Added special tokens, one per speaker of the conversation; the last is any further speaker."""

PAD_ID: Final = 0
"""Id that fills a batch up: `[PAD]` of the BERT vocabulary."""

ROBERTA_SPEAKER_TOKENS: Final[tuple[str, ...]] = tuple(f"<s_{number}>" for number in range(9))
"""The same for a vocabulary of RoBERTa's kind."""


class _Marks(NamedTuple):
    """How a family of tokenizers names its special tokens."""

    start: str
    end: str
    mask: str
    pad: str
    speakers: tuple[str, ...]
    space: str
    """What a word begins with that does not stand at the beginning of a text."""


_BERT: Final = _Marks("[CLS]", "[SEP]", "[MASK]", "[PAD]", SPEAKER_TOKENS, "")
_ROBERTA: Final = _Marks("<s>", "</s>", "<mask>", "<pad>", ROBERTA_SPEAKER_TOKENS, " ")


def _marks(tokenizer: Tokenizer) -> _Marks:
    return _ROBERTA if tokenizer.token_to_id("<mask>") is not None else _BERT


_STRAIGHT: Final = str.maketrans(
    {  # escaped: these look alike on paper
        "\N{LEFT SINGLE QUOTATION MARK}": "'",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{LEFT DOUBLE QUOTATION MARK}": '"',
        "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
    }
)
_LONGEST_TEXT: Final = 8192
"""Characters of one utterance that are looked at, the newest: bounds the work on hostile text."""


@dataclass(frozen=True, slots=True)
class PromptWords:
    """The prompt's own words: `{before} [Sk] text{between} [Sk] {after} [MASK]`."""

    before: str = "For"
    between: str = ", now"
    after: str = "feels"


class Prompt(NamedTuple):
    """What the text graph takes: token ids, and where the mask is in them."""

    input_ids: list[int]
    mask_position: int


def normalise_text(text: str) -> str:
    """Strip, straighten curly quotes, collapse white space."""
    return " ".join(text.translate(_STRAIGHT).split())


def build_tokenizer(path: str | Path) -> Tokenizer:
    """Open a `tokenizer.json` (BERT's or RoBERTa's kind) and add the speaker tokens at its end.

    A file that was saved with them already keeps its ids.
    """
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.add_special_tokens(list(_marks(tokenizer).speakers))
    return tokenizer


class PromptEncoder:
    """Turns a dialogue into the ids of a prompt.

    Args:
        tokenizer: of :func:`build_tokenizer`. From now on it reads special tokens in a text as
            plain characters, so that nobody can say `[MASK]` or another speaker's token.
        max_tokens: longest prompt, all tokens counted.
        context_turns: how many earlier turns are looked at; None for as many as fit.
        words: the prompt's own words.
        cache: how many utterances' tokens are remembered.

    Attributes:
        pad_id: fills a batch up.

    Raises:
        ValueError: the tokenizer lacks a special token, or `max_tokens` leaves no room for words.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        max_tokens: int = 96,
        context_turns: int | None = None,
        words: PromptWords = PromptWords(),
        cache: int = 1024,
    ) -> None:
        self.max_tokens = max_tokens
        self.context_turns = context_turns
        self._tokenizer = tokenizer
        tokenizer.encode_special_tokens = True
        self._marks = _marks(tokenizer)
        self._tokens = lru_cache(maxsize=cache)(self._tokenise)
        self._cls, self._sep, self._mask, self.pad_id = map(self._id, self._marks[:4])
        if self._marks is _BERT and self.pad_id != PAD_ID:
            raise ValueError(f"[PAD] must have id {PAD_ID}, the tokenizer gives it {self.pad_id}")
        self._speakers = [self._id(token) for token in self._marks.speakers]
        self._before = self._tokenise(words.before)
        self._between = self._tokenise(words.between, joined=True)
        self._after = self._tokenise(words.after)
        # [CLS] ... [SEP] before [Sk] text between [Sk] after [MASK] [SEP]
        fixed = 6 + len(self._before) + len(self._between) + len(self._after)
        self._room = max_tokens - fixed
        if self._room < 1:
            raise ValueError(f"max_tokens is {max_tokens}, the prompt alone takes {fixed}")

    @property
    def vocabulary_size(self) -> int:
        """Rows that the encoder's embedding needs, added tokens included."""
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    def encode(self, turns: Sequence[Turn]) -> Prompt:
        """Encode the last of `turns` (oldest first) in the light of the earlier ones.

        Returns:
            at most `max_tokens` ids, and the index of `[MASK]` in them.

        Raises:
            ValueError: there is no turn.
        """
        if not turns:
            raise ValueError("a prompt needs at least one turn")
        speaker = self._speaker(turns[-1])
        text = self._tokens(turns[-1].text)[-self._room :]
        history = self._history(turns[:-1], self._room - len(text))
        ids = [self._cls, *history, self._sep, *self._before, speaker, *text]
        ids += [*self._between, speaker, *self._after, self._mask, self._sep]
        return Prompt(ids, len(ids) - 2)

    def _history(self, turns: Sequence[Turn], room: int) -> list[int]:
        """The newest `room` tokens of the earlier turns; one without words leaves no trace."""
        if self.context_turns is not None:
            turns = turns[max(len(turns) - self.context_turns, 0) :]
        pieces: list[list[int]] = []
        left = room
        for turn in reversed(turns):
            if left <= 0:
                break
            if tokens := self._tokens(turn.text):
                pieces.append([self._speaker(turn), *tokens])
                left -= len(pieces[-1])
        ids = [token for piece in reversed(pieces) for token in piece]
        return ids[max(len(ids) - room, 0) :]

    def _speaker(self, turn: Turn) -> int:
        return self._speakers[min(turn.speaker, len(self._speakers) - 1)]

    def _tokenise(self, text: str, *, joined: bool = False) -> tuple[int, ...]:
        text = normalise_text(text[-_LONGEST_TEXT:])
        if text and not joined:
            text = self._marks.space + text
        return tuple(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def _id(self, token: str) -> int:
        number = self._tokenizer.token_to_id(token)
        if number is None:
            raise ValueError(f"the tokenizer has no token {token}")
        return int(number)
