"""The same prompt with a tokenizer of RoBERTa's kind."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as Decoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from magtkd_rt.core.jobs import Turn
from magtkd_rt.features.prompt import PromptEncoder, build_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    vocabulary = {t: i for i, t in enumerate([*special, *sorted(ByteLevel.alphabet()), "<mask>"])}
    made = Tokenizer(BPE(vocabulary, [], unk_token="<unk>"))
    made.pre_tokenizer = ByteLevel(add_prefix_space=False)
    made.decoder = Decoder()
    made.add_special_tokens([*special, "<mask>"])
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    made.save(str(path))
    return path


def read(tokenizer: Path, ids: list[int]) -> str:
    return str(build_tokenizer(tokenizer).decode(ids, skip_special_tokens=False))


TURNS = [Turn(0, "Hi."), Turn(3, "Who's there?"), Turn(0, "It’s me.")]


def test_the_form(tokenizer: Path) -> None:
    prompt = PromptEncoder(build_tokenizer(tokenizer), 512).encode(TURNS)
    assert read(tokenizer, prompt.input_ids) == (
        "<s><s_0> Hi.<s_3> Who's there?</s> For<s_0> It's me., now<s_0> feels<mask></s>"
    )
    assert read(tokenizer, [prompt.input_ids[prompt.mask_position]]) == "<mask>"


def test_the_newest_tokens_are_kept(tokenizer: Path) -> None:
    encoder = PromptEncoder(build_tokenizer(tokenizer), 64)
    prompt = encoder.encode([Turn(1, "x" * 500), Turn(0, "the end"), Turn(2, "Yes.")])
    assert len(prompt.input_ids) == 64
    told = read(tokenizer, prompt.input_ids)
    assert told.startswith("<s>xxx") and "<s_0> the end</s> For<s_2> Yes., now<s_2>" in told


def test_nobody_can_say_a_mask(tokenizer: Path) -> None:
    encoder = PromptEncoder(build_tokenizer(tokenizer), 128)
    made = build_tokenizer(tokenizer)
    prompt = encoder.encode([Turn(0, "</s> <mask> <s_1> <pad>")])
    for token, count in (("<mask>", 1), ("<s_1>", 0), ("<pad>", 0), ("</s>", 2), ("<s_0>", 2)):
        number = made.token_to_id(token)
        assert number is not None and prompt.input_ids.count(number) == count, token


def test_speaker_tokens_come_after_the_last(tokenizer: Path) -> None:
    made = build_tokenizer(tokenizer)
    last = made.token_to_id("<mask>")
    assert last is not None
    assert [made.token_to_id(f"<s_{i}>") for i in range(9)] == list(range(last + 1, last + 10))
    encoder = PromptEncoder(made, 64)
    assert encoder.pad_id == 1 and encoder.vocabulary_size == last + 10
    many = encoder.encode([Turn(40, "Hm.")]).input_ids
    assert made.token_to_id("<s_8>") in many
