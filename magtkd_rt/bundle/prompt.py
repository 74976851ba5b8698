"""The prompt encoder that a bundle's text graph was trained with."""

from __future__ import annotations

from magtkd_rt.bundle.store import Bundle
from magtkd_rt.core.jobs import Turn
from magtkd_rt.errors import BundleError
from magtkd_rt.features.prompt import SPEAKER_TOKENS, PromptEncoder, PromptWords, build_tokenizer


def prompt_encoder(bundle: Bundle) -> PromptEncoder:
    """Open the bundle's tokenizer, and check that its example dialogues still give the same ids.

    Raises:
        BundleError: they do not, or the tokenizer is none.
    """
    text = bundle.manifest.preprocessing.text
    try:
        tokenizer = build_tokenizer(bundle.path(text.tokenizer))
        encoder = PromptEncoder(
            tokenizer,
            max_tokens=text.max_tokens,
            context_turns=text.context_turns,
            words=PromptWords(**text.words.model_dump()),
        )
    except Exception as error:  # tokenizers raises no narrower class
        raise BundleError(
            f"{text.tokenizer} of the bundle {bundle.directory} cannot be used ({error})",
            remedy="install or export the bundle again",
        ) from error
    same = text.speakers == len(SPEAKER_TOKENS) and all(
        encoder.encode([Turn(turn.speaker, turn.text) for turn in example.turns]).input_ids
        == example.input_ids
        for example in text.examples
    )
    if not same:
        raise BundleError(
            f"the bundle {bundle.directory} was trained with another prompt than this release's",
            remedy="install the release of magtkd-rt that wrote it, or train a bundle again",
        )
    return encoder
