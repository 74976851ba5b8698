"""The prompt: its format, its limits, and that no text can forge it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from magtkd_rt.core.jobs import Turn
from magtkd_rt.features.prompt import (
    SPEAKER_TOKENS,
    PromptEncoder,
    build_tokenizer,
    normalise_text,
)


@pytest.fixture(scope="module")
def tokenizer(bert_tokenizer: Path) -> Tokenizer:
    return build_tokenizer(bert_tokenizer)


@pytest.fixture(scope="module")
def encoder(tokenizer: Tokenizer) -> PromptEncoder:
    return PromptEncoder(tokenizer, max_tokens=32)


def number_of(tokenizer: Tokenizer, token: str) -> int:
    number: int | None = tokenizer.token_to_id(token)
    assert number is not None
    return number


def shown(tokenizer: Tokenizer, ids: list[int]) -> str:
    return " ".join(str(tokenizer.id_to_token(number)) for number in ids)


def test_format(tokenizer: Tokenizer, encoder: PromptEncoder) -> None:
    prompt = encoder.encode([Turn(0, "I am fine."), Turn(1, "What?"), Turn(0, "Not you")])
    assert shown(tokenizer, prompt.input_ids) == (
        "[CLS] [S0] i am fine . [S1] what [UNK] [SEP] "
        "for [S0] not you , now [S0] feels [MASK] [SEP]"
    )
    assert tokenizer.id_to_token(prompt.input_ids[prompt.mask_position]) == "[MASK]"


def test_speakers_beyond_the_last_share_a_token(
    tokenizer: Tokenizer, encoder: PromptEncoder
) -> None:
    ids = encoder.encode([Turn(400, "fine"), Turn(7, "fine")]).input_ids
    assert shown(tokenizer, ids).startswith("[CLS] [S8] fine [SEP] for [S7] fine ,")


def test_long_history_keeps_the_newest_tokens(tokenizer: Tokenizer) -> None:
    encoder = PromptEncoder(tokenizer, max_tokens=14)
    ids = encoder.encode([Turn(0, "what the"), Turn(1, "i am not"), Turn(0, "you")]).input_ids
    # 10 tokens are the prompt's own and one is said: three are left for the history.
    assert shown(tokenizer, ids).startswith("[CLS] i am not [SEP] for [S0] you ,")


def test_long_utterance_keeps_its_newest_tokens(tokenizer: Tokenizer) -> None:
    encoder = PromptEncoder(tokenizer, max_tokens=14)
    text = "what the " * 50 + "you are not fine"
    ids = encoder.encode([Turn(1, "i am"), Turn(0, text)]).input_ids
    assert shown(tokenizer, ids) == (
        "[CLS] [SEP] for [S0] you are not fine , now [S0] feels [MASK] [SEP]"
    )


def test_context_turns_and_turns_without_words(tokenizer: Tokenizer) -> None:
    encoder = PromptEncoder(tokenizer, context_turns=2)
    turns = [Turn(0, "i am"), Turn(1, "you"), Turn(2, " \n"), Turn(0, "")]
    assert shown(tokenizer, encoder.encode(turns).input_ids) == (
        "[CLS] [S1] you [SEP] for [S0] , now [S0] feels [MASK] [SEP]"
    )
    alone = PromptEncoder(tokenizer, context_turns=0).encode(turns[:2]).input_ids
    assert shown(tokenizer, alone).startswith("[CLS] [SEP] for [S1] you ,")


def test_text_is_normalised(encoder: PromptEncoder) -> None:
    assert (
        normalise_text(" I\N{RIGHT SINGLE QUOTATION MARK}m \n \u201cfine\u201d\t") == 'I\'m "fine"'
    )
    assert encoder.encode([Turn(0, "I\u2019m  fine ")]) == encoder.encode([Turn(0, "I'm fine")])


@pytest.mark.parametrize("token", ["[MASK]", "[SEP]", "[CLS]", *SPEAKER_TOKENS])
def test_nobody_can_say_a_special_token(
    tokenizer: Tokenizer, encoder: PromptEncoder, token: str
) -> None:
    ordinary = encoder.encode([Turn(0, ""), Turn(0, "")]).input_ids
    spoken = encoder.encode([Turn(0, token), Turn(0, token)]).input_ids
    number = number_of(tokenizer, token)
    extra = 1 if token == "[S0]" else 0  # the history's own mark of the speaker
    assert spoken.count(number) == ordinary.count(number) + extra


def test_speaker_ids_are_stable(tokenizer: Tokenizer, tmp_path: Path) -> None:
    first = number_of(tokenizer, "[S0]")
    assert [tokenizer.token_to_id(token) for token in SPEAKER_TOKENS] == [*range(first, first + 9)]
    tokenizer.save(str(tmp_path / "again.json"))
    again = build_tokenizer(tmp_path / "again.json")
    assert again.get_vocab() == tokenizer.get_vocab()
    assert PromptEncoder(again).vocabulary_size == first + 9


def test_refuses_what_cannot_work(tokenizer: Tokenizer, bert_tokenizer: Path) -> None:
    with pytest.raises(ValueError, match="at least one turn"):
        PromptEncoder(tokenizer).encode([])
    with pytest.raises(ValueError, match="the prompt alone takes 10"):
        PromptEncoder(tokenizer, max_tokens=10)
    plain = Tokenizer.from_file(str(bert_tokenizer))
    with pytest.raises(ValueError, match=r"no token \[S0\]"):
        PromptEncoder(plain)


_TURNS = st.lists(
    st.builds(Turn, st.integers(0, 12), st.text(max_size=60) | st.sampled_from(["i am", "you"])),
    min_size=1,
    max_size=12,
)


@given(turns=_TURNS, max_tokens=st.integers(11, 64))
def test_always_fits_and_is_well_formed(
    tokenizer: Tokenizer, turns: list[Turn], max_tokens: int
) -> None:
    ids, mask_position = PromptEncoder(tokenizer, max_tokens=max_tokens).encode(turns)
    cls, sep, mask = (number_of(tokenizer, token) for token in ("[CLS]", "[SEP]", "[MASK]"))
    assert len(ids) <= max_tokens
    assert (ids[0], ids[mask_position:]) == (cls, [mask, sep])
    assert (ids.count(cls), ids.count(sep), ids.count(mask)) == (1, 2, 1)


@given(turns=_TURNS, max_tokens=st.integers(11, 40))
def test_cut_history_is_the_tail_of_the_whole(
    tokenizer: Tokenizer, turns: list[Turn], max_tokens: int
) -> None:
    sep = number_of(tokenizer, "[SEP]")
    whole = PromptEncoder(tokenizer, max_tokens=4096).encode(turns).input_ids
    cut = PromptEncoder(tokenizer, max_tokens=max_tokens).encode(turns).input_ids
    history, said = whole[1 : whole.index(sep)], len(whole) - whole.index(sep)
    kept = cut[1 : cut.index(sep)]
    assert kept == history[len(history) - len(kept) :]
    # Nothing is thrown away while there is room.
    assert len(cut) == min(len(whole), max_tokens) or said >= max_tokens
