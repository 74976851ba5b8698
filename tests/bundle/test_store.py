"""Bundles on disk: whole, unchanged and of this version, or one clear line."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from magtkd_rt.bundle import store
from magtkd_rt.bundle.manifest import OPTIONAL_GRAPHS, Manifest
from magtkd_rt.bundle.store import Bundle, find, installed, write_bundle
from magtkd_rt.core.media import VOICE_WINDOWS, WINDOW
from magtkd_rt.errors import BundleError


@pytest.fixture
def copy(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    """A copy of the tiny bundle that a test may damage."""
    return Path(shutil.copytree(tiny_bundle.directory, tmp_path / "copy"))


def edit(directory: Path, **changes: Any) -> None:
    """Change top-level fields of the manifest; None removes one."""
    path = directory / "manifest.json"
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))


def refusal(directory: Path | str) -> str:
    """The one line that refuses a bundle."""
    with pytest.raises(BundleError) as caught:
        Bundle.load(directory)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy
    return str(caught.value)


def test_written_bundle_loads(tiny_bundle: Bundle, tiny_manifest: Manifest) -> None:
    loaded = Bundle.load(tiny_bundle.directory)
    assert loaded == tiny_bundle
    assert loaded.manifest.model_copy(update={"files": {}}) == tiny_manifest
    raw = (loaded.directory / "manifest.json").read_bytes()
    assert loaded.sha256 == hashlib.sha256(raw).hexdigest()
    assert set(loaded.manifest.files) == {
        "text.onnx",
        "audio.onnx",
        "video.onnx",
        "fusion.onnx",
        "speaker.onnx",
        "identity.onnx",
        "tokenizer.json",
        "golden.npz",
        "MODEL_CARD.md",
    }


@pytest.mark.parametrize("file", ["text.onnx", "tokenizer.json", "golden.npz", "MODEL_CARD.md"])
def test_one_changed_byte_is_found(copy: Path, file: str) -> None:
    content = bytearray((copy / file).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / file).write_bytes(content)
    assert f"wrong hash for {file}" in refusal(copy)


def test_missing_file(copy: Path) -> None:
    (copy / "audio.onnx").unlink()
    assert "has no readable audio.onnx (No such file or directory)" in refusal(copy)


def test_missing_graph(copy: Path) -> None:
    graphs = json.loads((copy / "manifest.json").read_text())["graphs"]
    del graphs["video"]
    edit(copy, graphs=graphs)
    assert "the graph 'video' is missing" in refusal(copy)


@pytest.mark.parametrize("graph", OPTIONAL_GRAPHS)
@pytest.mark.parametrize("left_out", ["graphs", "preprocessing"])
def test_half_a_graph_of_voices(copy: Path, left_out: str, graph: str) -> None:
    content = json.loads((copy / "manifest.json").read_text())
    del content[left_out][graph]
    edit(copy, graphs=content["graphs"], preprocessing=content["preprocessing"])
    assert f"'{graph}' and its preprocessing come together" in refusal(copy)


def test_identities_need_voices_to_be_told_apart(copy: Path) -> None:
    content = json.loads((copy / "manifest.json").read_text())
    for part in ("graphs", "preprocessing"):
        del content[part]["speaker"]
    edit(copy, graphs=content["graphs"], preprocessing=content["preprocessing"])
    assert "'identity' names speakers that 'speaker' tells apart" in refusal(copy)


def test_voices_are_of_the_length_that_the_core_counts_in(copy: Path) -> None:
    preprocessing = json.loads((copy / "manifest.json").read_text())["preprocessing"]
    assert preprocessing["speaker"]["window_samples"] == VOICE_WINDOWS * WINDOW
    preprocessing["speaker"]["window_samples"] += WINDOW
    edit(copy, preprocessing=preprocessing)
    assert "preprocessing.speaker.window_samples" in refusal(copy)


def test_file_without_hash(copy: Path) -> None:
    files = json.loads((copy / "manifest.json").read_text())["files"]
    del files["fusion.onnx"]
    edit(copy, files=files)
    assert "names the graph 'fusion' (fusion.onnx) without a hash" in refusal(copy)


@pytest.mark.parametrize("version", [2, 0, "1", None])
def test_unknown_version(copy: Path, version: object) -> None:
    edit(copy, format=version)
    line = refusal(copy)
    assert f"manifest format {version!r}, this release reads 1; install the release" in line


@pytest.mark.parametrize(
    "name", ["../stolen", "/etc/passwd", "a/../../b", "..", "a\\..\\b", "C:/x", "", "a//b", ".ssh"]
)
def test_file_names_cannot_leave_the_bundle(copy: Path, name: str) -> None:
    content = json.loads((copy / "manifest.json").read_text())
    edit(copy, files=content["files"] | {name: "0" * 64})
    assert "has a wrong manifest: files" in refusal(copy)
    content["graphs"]["text"]["file"] = name
    edit(copy, graphs=content["graphs"], files=content["files"])
    assert "has a wrong manifest: graphs.text.file" in refusal(copy)


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"format": 1, "name": NaN', b"\n" * 1_000_001]
)
def test_unreadable_manifest(copy: Path, raw: bytes) -> None:
    (copy / "manifest.json").write_bytes(raw)
    assert "manifest.json" in refusal(copy)


def test_wrong_and_unknown_fields(copy: Path) -> None:
    edit(copy, surprise=1)
    assert "wrong manifest: surprise: Extra inputs are not permitted" in refusal(copy)
    edit(copy, surprise=None, feature_size=-1)
    assert "wrong manifest: feature_size" in refusal(copy)
    edit(copy, feature_size=8, labels=["joy", "joy"])
    assert "a label occurs twice" in refusal(copy)
    edit(copy, labels=None)
    assert "wrong manifest: labels: Field required" in refusal(copy)


def test_no_such_bundle(tmp_path: Path, copy: Path) -> None:
    assert "there is no bundle 'nonsense'; give the directory" in refusal("nonsense")
    assert "there is no bundle" in refusal("\0")
    assert "there is no bundle" in refusal(copy / "manifest.json")
    (tmp_path / "empty").mkdir()
    assert "has no readable manifest.json" in refusal(tmp_path / "empty")


def test_installed_bundle_by_name(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "INSTALLED", tmp_path)
    monkeypatch.chdir(tmp_path.parent)
    assert installed() == ["copy"]
    assert find("copy") == copy
    assert Bundle.load("copy").manifest.name == "tiny"
    assert "(copy)" in refusal("nonsense")


def test_write_replaces_a_bundle_and_leaves_nothing_behind(
    tiny_manifest: Manifest, tiny_files: dict[str, bytes | Path], tmp_path: Path
) -> None:
    target = tmp_path / "bundle"
    first = write_bundle(target, tiny_manifest, tiny_files)
    second = write_bundle(target, tiny_manifest, {**tiny_files, "MODEL_CARD.md": b"other"})
    assert first.sha256 != second.sha256
    assert Bundle.load(target) == second
    assert (target / "MODEL_CARD.md").read_bytes() == b"other"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_failed_write_keeps_the_old_bundle(
    tiny_manifest: Manifest, tiny_files: dict[str, bytes | Path], tmp_path: Path
) -> None:
    target = tmp_path / "bundle"
    before = write_bundle(target, tiny_manifest, tiny_files)
    lacking = {name: content for name, content in tiny_files.items() if name != "audio.onnx"}
    with pytest.raises(BundleError, match=r"names the graph 'audio' \(audio.onnx\) without"):
        write_bundle(target, tiny_manifest, lacking)
    with pytest.raises(BundleError, match="wrong manifest: files"):
        write_bundle(target, tiny_manifest, {**tiny_files, "../escaped": b""})
    assert Bundle.load(target) == before
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_write_spares_a_folder_that_is_no_bundle(
    tiny_manifest: Manifest, tiny_files: dict[str, bytes | Path], tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(BundleError, match="is not empty and no bundle"):
        write_bundle(tmp_path, tiny_manifest, tiny_files)
    assert (tmp_path / "thesis.txt").exists()
