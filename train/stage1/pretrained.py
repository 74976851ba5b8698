"""Public checkpoints by name or directory: weights, tokenizer and what a processor would say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModel
from transformers.utils.hub import cached_file
from transformers.utils.logging import disable_progress_bar, set_verbosity_error

from magtkd_rt.errors import InputError
from magtkd_rt.features.prompt import build_tokenizer


def load_encoder(name: str, *, pretrained: bool = True, **changes: Any) -> Any:
    """A checkpoint's encoder, without any head.

    Args:
        name: on the Hugging Face hub, or a directory with `config.json` and weights.
        pretrained: with its weights; else of its shape only, drawn at random.
        changes: to its configuration.

    Raises:
        InputError: it cannot be loaded.
    """
    disable_progress_bar()
    set_verbosity_error()  # it reports heads that are rightly left out
    try:
        config = AutoConfig.from_pretrained(name)
        for key, value in changes.items():
            if hasattr(config, key):
                setattr(config, key, value)
        # A pooler that no loss reaches would stop training on several processes.
        pooled = {"add_pooling_layer": False} if _has_pooler(config) else {}
        if pretrained:
            model, found = AutoModel.from_pretrained(
                name, config=config, output_loading_info=True, **pooled
            )
            missing = set(found["missing_keys"])
        else:
            model = AutoModel.from_config(config, **pooled)
            missing = set()
    except Exception as error:  # transformers and safetensors have no common class
        raise _unusable(name, error) from error
    if 2 * len(missing) > len(model.state_dict()):
        raise InputError(
            f"the checkpoint {name} lacks most weights of {type(model).__name__}",
            remedy="name one of that architecture",
        )
    return model


def config_of(name: str) -> Any:
    """A checkpoint's configuration.

    Raises:
        InputError: it cannot be loaded.
    """
    try:
        return AutoConfig.from_pretrained(name)
    except Exception as error:  # as above
        raise _unusable(name, error) from error


def _has_pooler(config: Any) -> bool:
    return config.model_type in ("bert", "roberta", "xlm-roberta", "camembert", "data2vec-text")


def load_tokenizer(name: str) -> Tokenizer:
    """A checkpoint's tokenizer with the speaker tokens added.

    Raises:
        InputError: it has no `tokenizer.json`.
    """
    try:
        return build_tokenizer(tokenizer_file(name))
    except Exception as error:  # tokenizers raises no narrower class
        raise _unusable(name, error) from error


def processor_of(name: str) -> dict[str, Any]:
    """What `preprocessor_config.json` says, or nothing where there is none."""
    try:
        found = cached_file(name, "preprocessor_config.json")
        said = json.loads(Path(str(found)).read_text(encoding="utf-8"))
    except Exception:  # as above
        return {}
    return said if isinstance(said, dict) else {}


def tokenizer_file(name: str) -> Path:
    """A checkpoint's `tokenizer.json`, without the speaker tokens."""
    return Path(str(cached_file(name, "tokenizer.json")))


def _unusable(name: str, error: Exception) -> InputError:
    told = " ".join(str(error).split())[:200]
    return InputError(
        f"the checkpoint {name} cannot be loaded ({told})",
        remedy="name one of the Hugging Face hub, where there is network, or a directory that "
        "holds its config.json, weights and tokenizer.json",
    )
