"""`magtkd models`: against a hub that is a server of this test's, and without any."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import faster_whisper.utils
import pytest
from recorded import Ran

from magtkd_rt.asr.weights import REPOSITORIES, cache_folder, find_weights
from magtkd_rt.features import yunet

Run = Callable[..., Ran]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
MAGTKD = [sys.executable, "-c", "from magtkd_rt.cli import main; main()"]


class Hub:
    """As much of a hub as it takes to fetch a repository.

    Args:
        folder: its one repository's files.
        cut: of the weights only half is sent.
    """

    def __init__(self, folder: Path, repository: str, *, cut: bool = False) -> None:
        files = {file.name: file.read_bytes() for file in folder.iterdir()}

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.answer(body=False)

            def do_GET(self) -> None:
                self.answer(body=True)

            def answer(self, *, body: bool) -> None:
                name = self.path.split("?")[0].rsplit("/", 1)[-1]
                if self.path.startswith(f"/api/models/{repository}/tree/"):
                    tree = [
                        {"type": "file", "path": file, "size": len(held), "oid": COMMIT}
                        for file, held in files.items()
                    ]
                    self.reply(json.dumps(tree).encode(), body=body)
                elif self.path.startswith(f"/api/models/{repository}"):
                    siblings = [{"rfilename": file} for file in files]
                    content = json.dumps({"id": repository, "sha": COMMIT, "siblings": siblings})
                    self.reply(content.encode(), body=body)
                elif self.path.startswith(f"/{repository}/resolve/") and name in files:
                    self.reply(files[name], body=body, cut=cut and name == "model.bin")
                else:
                    self.send_error(404)

            def reply(self, content: bytes, *, body: bool, cut: bool = False) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
                self.send_header("X-Repo-Commit", COMMIT)
                self.end_headers()
                if body:
                    self.wfile.write(content[: len(content) // 2] if cut else content)
                self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(autouse=True)
def empty_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_OFFLINE", "MAGTKD_OFFLINE", "HF_HOME", "MAGTKD_YUNET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("MAGTKD_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def hub(tiny_whisper: Path) -> Iterator[Hub]:
    hub = Hub(tiny_whisper, "Systran/faster-whisper-base")
    yield hub
    hub.close()


def pull(name: str, address: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the hub's library reads its address once, when it is imported."""
    env = {**os.environ, "HF_ENDPOINT": address, "HF_HUB_ETAG_TIMEOUT": "5"}
    return subprocess.run(
        [*MAGTKD, "models", "pull", name],
        env=env, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_the_names_are_those_of_faster_whisper() -> None:
    assert faster_whisper.utils._MODELS == REPOSITORIES


def test_what_was_pulled_is_at_hand_without_network(
    hub: Hub, run_program: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = pull("whisper-base", hub.address)
    assert done.returncode == 0, done.stderr
    place = find_weights("base")
    assert place is not None and place.name == COMMIT
    assert done.stdout == f"base is at hand: {place}\n"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code = "from magtkd_rt.asr import select; print(*select('auto')[1:])"
    taken = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert taken.stdout == "words by Whisper base, at hand\n"
    listed = run_program("magtkd", "models", "list").out
    assert re.search(r"whisper base .* yes +0\.\d MB", listed)
    assert re.search(r"whisper tiny .* no ", listed)
    again = pull("base", "http://127.0.0.1:1")  # nobody is asked for what is there
    assert again.returncode == 0


def test_a_repository_that_the_hub_does_not_have(hub: Hub) -> None:
    done = pull("nobody/whisper-of-nothing", hub.address)
    assert_refused(done, "nobody/whisper-of-nothing cannot be fetched")


def test_weights_that_are_cut_off_do_not_count(tiny_whisper: Path) -> None:
    hub = Hub(tiny_whisper, "Systran/faster-whisper-base", cut=True)
    try:
        done = pull("base", hub.address)
    finally:
        hub.close()
    assert_refused(done, "Whisper base is not at hand", "cannot be fetched")
    assert find_weights("base") is None


def test_a_hub_that_cannot_be_reached(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        done = pull("base", address)
    assert_refused(done, f"{address} cannot be reached")
    # What to copy, and where to.
    assert cache_folder("base").name in done.stderr and str(tmp_path / "hub") in done.stderr


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done.stdout
    error = [line for line in done.stderr.splitlines() if line.startswith("magtkd: error: ")]
    assert len(error) == 1 and "; " in error[0]
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in error[0]


@pytest.mark.parametrize("name", ["base", "yunet"])
def test_a_forbidden_network(run_program: Run, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("MAGTKD_OFFLINE", "1")
    ran = run_program("magtkd", "models", "pull", name)
    assert ran.code == 2
    assert "the network is forbidden" in ran.err and "copy" in ran.err


def test_an_unknown_model(run_program: Run) -> None:
    ran = run_program("magtkd", "models", "pull", "enormous")
    assert ran.code == 2 and "'enormous'" in ran.err and "large-v3" in ran.err


def test_yunet_is_taken_only_with_the_pinned_hash(
    run_program: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    right, served = b"stands for the detector", {"content": b"something else"}
    monkeypatch.setattr(yunet, "YUNET_SHA256", hashlib.sha256(right).hexdigest())
    monkeypatch.setattr(yunet, "fetch", lambda *_, **__: served["content"])
    ran = run_program("magtkd", "models", "pull", "yunet")
    assert ran.code == 2 and yunet.YUNET_URL in ran.err and str(tmp_path / "cache") in ran.err
    served["content"] = right
    ran = run_program("magtkd", "models", "pull", "yunet")
    assert ran.code == 0, ran.err
    assert yunet.find_yunet() == yunet.yunet_place()


def test_one_model_is_not_taken_for_another(tiny_whisper: Path) -> None:
    """As `base.en` was for `base`, and a distilled `large-v3` for the whole one."""
    for name in ("base.en", "distil-large-v3", "large-v3-turbo"):
        snapshot = cache_folder(name) / "snapshots" / COMMIT
        snapshot.mkdir(parents=True)
        (snapshot / "model.bin").touch()
    assert find_weights("base") is None and find_weights("large-v3") is None
    assert find_weights("base.en") is not None
    assert find_weights("turbo") == find_weights("large-v3-turbo") is not None
