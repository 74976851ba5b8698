"""A bundle's prompt encoder is the one of its training, or is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from magtkd_rt.bundle.manifest import Manifest
from magtkd_rt.bundle.prompt import prompt_encoder
from magtkd_rt.bundle.store import Bundle, write_bundle
from magtkd_rt.core.jobs import Turn
from magtkd_rt.errors import BundleError


def test_encodes_as_in_training(tiny_bundle: Bundle) -> None:
    encoder = prompt_encoder(tiny_bundle)
    example = tiny_bundle.manifest.preprocessing.text.examples[0]
    turns = [Turn(turn.speaker, turn.text) for turn in example.turns]
    assert encoder.encode(turns).input_ids == example.input_ids
    assert encoder.max_tokens == 24


@pytest.mark.parametrize(
    "change",
    [
        {"words": {"before": "For", "between": ", now", "after": "what"}},
        {"context_turns": 0},
        {"max_tokens": 15},
        {"speakers": 4},
    ],
)
def test_another_prompt_is_refused(
    tiny_manifest: Manifest,
    tiny_files: dict[str, bytes | Path],
    tmp_path: Path,
    change: dict[str, Any],
) -> None:
    described = tiny_manifest.model_dump(mode="json")
    described["preprocessing"]["text"] |= change
    changed = Manifest.model_validate(described)
    bundle = write_bundle(tmp_path / "bundle", changed, tiny_files)
    with pytest.raises(BundleError, match="trained with another prompt"):
        prompt_encoder(bundle)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"model": {"type": "WordPiece"}}'])
def test_no_tokenizer_is_refused(
    tiny_manifest: Manifest,
    tiny_files: dict[str, bytes | Path],
    tmp_path: Path,
    content: bytes,
) -> None:
    files = {**tiny_files, "tokenizer.json": content}
    bundle = write_bundle(tmp_path / "bundle", tiny_manifest, files)
    with pytest.raises(BundleError, match=r"tokenizer.json of the bundle .* cannot be used"):
        prompt_encoder(bundle)
