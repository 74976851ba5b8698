"""Bundles and corpora that are not as an evaluation would have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from magtkd_rt.bundle.manifest import Manifest
from magtkd_rt.bundle.store import Bundle, write_bundle
from magtkd_rt.errors import BundleError, DataError, InputError
from magtkd_rt.labels import LABELS
from magtkd_rt.train import report
from magtkd_rt.train.evaluate import evaluate


def test_without_right_context_and_paper_mode(
    causal_bundle: Bundle,
    paired_bundle: Bundle,
    corpora_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(report, "_PICTURED", {("text", "test")})  # plots take long
    files: dict[str, bytes | Path] = {
        file: causal_bundle.path(file) for file in causal_bundle.manifest.files
    }
    files["pairing.json"] = paired_bundle.path("pairing.json")
    bundle = write_bundle(tmp_path / "plain", causal_bundle.manifest, files)
    results = evaluate(bundle.directory, corpora_folder, tmp_path / "out", rounds=1, threads=1)
    assert results["paper"] == results["revised"] == results["changed"] == {}
    assert not any("again" in name for name in results["differences"])
    assert not any("paper" in name for name in results["differences"])
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "Nothing here sees the future" in page


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (None, "the manifest does not list it"),
        (b"{", "Invalid JSON"),
        (b'{"exchange": {}, "shares": [1,0,0,0,0,0,0], "seeds": [1]}', "its test shares"),
        (b'{"exchange": {"test": {}}, "shares": [1,0,0,0,0,0,1], "seeds": [1]}', "sum to 1"),
        (b'{"exchange": {"test": {}}, "shares": [1], "seeds": [1]}', "at least 7 items"),
    ],
)
def test_bundle_without_usable_pairing(
    tiny_manifest: Manifest,
    tiny_files: dict[str, bytes | Path],
    corpora_folder: Path,
    tmp_path: Path,
    record: bytes | None,
    said: str,
) -> None:
    files = tiny_files | ({} if record is None else {"pairing.json": record})
    bundle = write_bundle(tmp_path / "bundle", tiny_manifest, files)
    with pytest.raises(BundleError, match=said) as caught:
        evaluate(bundle.directory, corpora_folder, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_bundle_with_other_labels(
    tiny_manifest: Manifest,
    tiny_files: dict[str, bytes | Path],
    corpora_folder: Path,
    tmp_path: Path,
) -> None:
    described = tiny_manifest.model_dump(mode="json")
    described["labels"] = sorted(LABELS)
    manifest = Manifest.model_validate(described)
    bundle = write_bundle(tmp_path / "bundle", manifest, tiny_files)
    with pytest.raises(BundleError, match="has the labels anger, disgust"):
        evaluate(bundle.directory, corpora_folder, tmp_path / "out")


def test_what_the_user_can_get_wrong(
    paired_bundle: Bundle, corpora_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match="there is no bundle"):
        evaluate(tmp_path / "nowhere", corpora_folder, tmp_path / "out")
    with pytest.raises(DataError, match="not found at"):
        evaluate(paired_bundle.directory, tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(InputError, match="0 bootstrap rounds"):
        evaluate(paired_bundle.directory, corpora_folder, tmp_path / "out", rounds=0)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot make the folder"):
        evaluate(paired_bundle.directory, corpora_folder, tmp_path / "file")
    assert not (tmp_path / "out").exists()
