"""How programs that connect come by a token and by whom to trust."""

from __future__ import annotations

from pathlib import Path

import pytest

from magtkd_rt.cli.client_options import find_token, trusting
from magtkd_rt.errors import InputError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of tokens as the server reads it."""
    path = tmp_path / "tokens"
    path.write_text(
        "# ours\n\nobserve:of-the-file-0001 expires=2030-01-01 # guests\nanother-one-0002\n"
    )
    path.chmod(0o600)
    return path


def test_the_option_wins_over_the_file_and_the_file_over_the_environment(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MAGTKD_TOKEN", raising=False)
    assert find_token(None, None) is None
    monkeypatch.setenv("MAGTKD_TOKEN", "publish:of-the-variable")
    assert find_token(None, None) == "of-the-variable"
    assert find_token(None, file) == "of-the-file-0001"
    assert find_token("of-the-option", file) == "of-the-option"


def test_a_file_without_a_token_is_told(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text("# nothing\n")
    path.chmod(0o600)
    with pytest.raises(InputError, match="holds no token"):
        find_token(None, path)


def test_an_authority_that_is_none_is_told(tmp_path: Path) -> None:
    assert trusting(None) is None
    junk = tmp_path / "junk"
    junk.write_text("no certificate")
    for path in (junk, tmp_path / "none"):
        with pytest.raises(InputError, match="cannot be read .* --ca"):
            trusting(path)
