"""What goes wrong around engines: clear words, a working session, nothing corrupt left behind."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from numpy.typing import NDArray
from tiny_bundle import tiny_inputs

from magtkd_rt.bundle.manifest import GraphName
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.engines import select as selecting
from magtkd_rt.engines.cache import EngineName, Key, building, read
from magtkd_rt.engines.compile import compile_graphs
from magtkd_rt.engines.device import find_device
from magtkd_rt.engines.interface import Runner
from magtkd_rt.engines.mixed import MixedEngine
from magtkd_rt.engines.onnx import OnnxEngine
from magtkd_rt.engines.select import select
from magtkd_rt.engines.torch_running import check_cuda, in_words
from magtkd_rt.errors import EngineError

Arrays = Mapping[str, NDArray[Any]]
CPU = find_device("cpu")
GRAPHS: tuple[GraphName, ...] = ("video", "fusion")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MAGTKD_ENGINE_CACHE", str(tmp_path / "engines"))
    return tmp_path / "engines"


class Backend:
    """Runs the bundle's own graph, as far as it is let.

    Args:
        name: what it poses as.
        most: rows that its memory holds.
        full: whether the disk is full while it builds.
    """

    precision = "float32"

    def __init__(self, name: EngineName = "inductor", most: int = 99, full: bool = False) -> None:
        self.name: EngineName = name
        self.opens = True
        self._most, self._full = most, full

    def build(
        self,
        bundle: Bundle,
        graph: GraphName,
        cases: Sequence[Arrays],
        folder: Path,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        (folder / "graph").write_bytes(b"built")
        if self._full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def open(self, bundle: Bundle, graph: GraphName, folder: Path) -> Runner:
        if not self.opens:
            raise EngineError("the GPU has too little memory", remedy="none")
        engine = OnnxEngine(bundle, 1)

        def run(inputs: Arrays) -> dict[str, NDArray[Any]]:
            if min(len(array) for array in inputs.values()) > self._most:
                raise EngineError("the GPU has too little memory", remedy="none")
            return engine.run(graph, inputs)

        return run


def compiled(bundle: Bundle, backend: Backend) -> list[Any]:
    return list(compile_graphs(bundle, backend, CPU, 2, GRAPHS, lambda *_: None))


def use(monkeypatch: pytest.MonkeyPatch, *backends: Backend) -> None:
    by_name = {backend.name: backend for backend in backends}
    monkeypatch.setattr(selecting, "open_backend", lambda name, *_: by_name[name])
    monkeypatch.setattr(selecting, "_WORTH", 0.0)  # however slow they are


def test_a_gpu_that_is_asked_for_and_not_there_is_told_of(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(name: str) -> None:
        raise OSError(name)

    find_device.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", nothing)
    selected = select(tiny_bundle, device="cuda")
    assert selected.engine.name == "onnx"
    (trouble,) = selected.troubles
    assert trouble.startswith("there is no CUDA here")
    assert not select(tiny_bundle).troubles  # nobody asked


class Refusing:
    """CUDA's driver, too old for what asks it."""

    def cuInit(self, flags: int) -> int:
        return 803

    def __getattr__(self, name: str) -> Any:
        return lambda *_: 0


def test_a_driver_that_does_not_answer_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    find_device.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", lambda _: Refusing())
    with pytest.raises(EngineError, match=r"\(cuInit gave error 803\); see whether nvidia-smi"):
        find_device("cuda")
    find_device.cache_clear()


def test_a_driver_older_than_torch_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_old() -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).")

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "init", too_old)
    with pytest.raises(EngineError, match=r"too old .*; update NVIDIA's driver to one for CUDA 13"):
        check_cuda()


def out_of_memory() -> None:
    with in_words("the graph 'text' failed on the GPU"):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


def test_too_little_memory_is_told_in_words() -> None:
    with pytest.raises(EngineError, match="'text' failed on the GPU: the GPU has too little mem"):
        out_of_memory()


def test_a_graph_that_fits_in_parts_passes_the_gate(tiny_bundle: Bundle) -> None:
    records = {record.graph: record for record in compiled(tiny_bundle, Backend(most=1))}
    assert records["fusion"].accepted


def test_a_graph_that_does_not_fit_is_kept_out(tiny_bundle: Bundle, cache: Path) -> None:
    records = compiled(tiny_bundle, Backend(most=0))
    assert {record.why for record in records} == {"the GPU has too little memory; none"}
    assert not list(cache.rglob("graph"))
    assert all(record.accepted for record in compiled(tiny_bundle, Backend()))  # once it does


def test_where_the_fastest_does_not_open_the_next_one_runs(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Backend("inductor"), Backend("eager")
    compiled(tiny_bundle, first), compiled(tiny_bundle, second)
    use(monkeypatch, first, second)
    first.opens = False
    selected = select(tiny_bundle)
    assert isinstance(selected.engine, MixedEngine)
    assert selected.engine.elsewhere == set(GRAPHS)
    assert selected.engine.name == "eager+onnx"
    second.opens = False
    selected = select(tiny_bundle)
    assert selected.engine.name == "onnx"
    assert len(selected.troubles) == 2 * len(GRAPHS)
    assert "video by eager: the GPU has too little memory; none" in selected.troubles


def test_a_full_disk_is_told_of_and_leaves_nothing(tiny_bundle: Bundle, cache: Path) -> None:
    with pytest.raises(EngineError, match=r"cannot be kept .*No space left .*make room there"):
        compiled(tiny_bundle, Backend(full=True))
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


def test_a_cache_that_cannot_be_written_is_told_of(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MAGTKD_ENGINE_CACHE", str(tmp_path / "file" / "engines"))
    with pytest.raises(EngineError, match="cannot be kept .*MAGTKD_ENGINE_CACHE"):
        compiled(tiny_bundle, Backend())
    assert select(tiny_bundle).engine.name == "onnx"


def test_a_new_cache_is_nobody_elses(tiny_bundle: Bundle, cache: Path) -> None:
    old = os.umask(0)
    try:
        compiled(tiny_bundle, Backend())
    finally:
        os.umask(old)
    assert cache.stat().st_mode & 0o077 == 0
    folders = [path for path in cache.iterdir() if path.is_dir()]
    assert len(folders) == len(GRAPHS)
    assert all(folder.stat().st_mode & 0o077 == 0 for folder in folders)


@pytest.mark.parametrize("part", ["cache", "entry"])
def test_what_others_may_write_to_is_not_run(
    tiny_bundle: Bundle, cache: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    backend = Backend()
    compiled(tiny_bundle, backend)
    use(monkeypatch, backend)
    place = cache if part == "cache" else Key.of(tiny_bundle, "video", "inductor", CPU, 2).directory
    place.chmod(0o770)
    selected = select(tiny_bundle)
    assert len(selected.troubles) == 1
    assert all("other users may write into" in trouble for trouble in selected.troubles)
    assert all("chmod go-w" in trouble for trouble in selected.troubles)
    if isinstance(selected.engine, MixedEngine):
        assert part == "entry" and selected.engine.elsewhere == {"fusion"}
    else:
        assert part == "cache"
        with pytest.raises(EngineError, match="other users may write into"):
            compiled(tiny_bundle, backend)


def test_what_belongs_to_somebody_else_is_not_run(
    tiny_bundle: Bundle, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = Backend()
    compiled(tiny_bundle, backend)
    use(monkeypatch, backend)
    real = Path.stat

    def strangers(path: Path, **more: Any) -> os.stat_result:
        found = real(path, **more)
        return os.stat_result((*found[:4], 4242, *found[5:])) if path == cache else found

    monkeypatch.setattr(Path, "stat", strangers)
    selected = select(tiny_bundle)
    assert selected.engine.name == "onnx"
    assert "belongs to another user" in selected.troubles[0]


def test_what_a_killed_process_left_is_removed(tiny_bundle: Bundle, cache: Path) -> None:
    key = Key.of(tiny_bundle, "text", "inductor", CPU, 2)
    other = Key.of(tiny_bundle, "video", "inductor", CPU, 2)
    with building(key) as folder:
        name = folder.name
    for left in (name, name.replace(key.directory.name, other.directory.name)):
        (cache / left).mkdir()
        (cache / left / "half").write_bytes(b"a part")
    with building(key) as folder:
        assert [path.name for path in cache.glob(".building.text*")] == [folder.name]
        assert len(list(cache.glob(".building.video*"))) == 1  # of somebody who may be at work
    assert not list(cache.glob(".building.text*"))


PROCESS = """
import sys, time
from pathlib import Path
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.engines.compile import compile_graphs
from magtkd_rt.engines.device import find_device
from magtkd_rt.engines.onnx import OnnxEngine

class Backend:
    name, precision = "inductor", "float32"
    def build(self, bundle, graph, cases, folder, told):
        with open(sys.argv[2], "a") as log:
            log.write(graph + chr(10))
        time.sleep(0.3)  # the other one comes meanwhile
        (folder / "graph").write_bytes(b"built")
    def open(self, bundle, graph, folder):
        engine = OnnxEngine(bundle, 1)
        return lambda inputs: engine.run(graph, inputs)

bundle = Bundle.load(sys.argv[1])
records = list(compile_graphs(
    bundle, Backend(), find_device("cpu"), 2, ["text", "video"], lambda *_: None))
assert all(record.accepted for record in records), records
"""


def test_two_processes_build_the_same_once(tiny_bundle: Bundle, tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", PROCESS, str(tiny_bundle.directory), str(log)]
    both = [subprocess.Popen(command) for _ in range(2)]
    assert [one.wait(60) for one in both] == [0, 0]
    assert sorted(log.read_text().split()) == ["text", "video"]
    for graph in ("text", "video"):
        assert read(Key.of(tiny_bundle, graph, "inductor", CPU, 2)) is not None


def test_the_session_goes_on_whatever_is_wrong(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = Backend(most=99)
    compiled(tiny_bundle, backend)
    use(monkeypatch, backend)
    selected = select(tiny_bundle)
    backend._most = 0  # the GPU's memory went to another program
    for graph in GRAPHS:
        selected.engine.run(graph, tiny_inputs(graph))
    assert len(selected.troubles) == len(GRAPHS)
    assert all("and runs on onnx now" in trouble for trouble in selected.troubles)
