"""Compiling: what passes is kept and used, what does not is kept out, and nothing corrupt runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_bundle import tiny_inputs

from magtkd_rt.bundle.manifest import GraphName
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.engines import select as selecting
from magtkd_rt.engines.cache import EngineName, Key, building, keep, read
from magtkd_rt.engines.compile import compile_graphs
from magtkd_rt.engines.device import Device, find_device
from magtkd_rt.engines.interface import Runner
from magtkd_rt.engines.mixed import MixedEngine
from magtkd_rt.engines.onnx import OnnxEngine
from magtkd_rt.engines.select import Selected, select
from magtkd_rt.errors import EngineError

Arrays = Mapping[str, NDArray[Any]]
CPU = find_device("cpu")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MAGTKD_ENGINE_CACHE", str(tmp_path / "engines"))
    return tmp_path / "engines"


class CopyBackend:
    """Copies the bundle's file; `off` is added to every float that it gives."""

    name: EngineName = "inductor"
    precision = "float32"

    def __init__(self, off: float = 0.0, fails: str = "") -> None:
        self.built: list[GraphName] = []
        self._off, self._fails = off, fails

    def build(
        self,
        bundle: Bundle,
        graph: GraphName,
        cases: Sequence[Arrays],
        folder: Path,
        told: Callable[[str], None],
    ) -> None:
        told("copying")
        if self._fails:
            raise EngineError(self._fails, remedy="none")
        self.built.append(graph)
        (folder / "graph.onnx").write_bytes(bundle.graph_path(graph).read_bytes())

    def open(self, bundle: Bundle, graph: GraphName, folder: Path) -> Runner:
        assert (folder / "graph.onnx").exists()
        engine = OnnxEngine(bundle, 1)
        off = np.float32(self._off)

        def run(inputs: Arrays) -> dict[str, NDArray[Any]]:
            outputs = engine.run(graph, inputs)
            return {n: a + off if a.dtype == np.float32 else a for n, a in outputs.items()}

        return run


def compile_all(bundle: Bundle, backend: CopyBackend, device: Device = CPU) -> list[Any]:
    graphs = bundle.manifest.live_graphs
    return list(compile_graphs(bundle, backend, device, 2, graphs, lambda *_: None))


def elsewhere(selected: Selected) -> frozenset[GraphName]:
    """The graphs that do not run on the default engine."""
    engine = selected.engine
    return engine.elsewhere if isinstance(engine, MixedEngine) else frozenset()


def use(backend: CopyBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selecting, "open_backend", lambda *_: backend)


def test_what_passes_is_kept_outside_the_bundle_and_used(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(tiny_bundle.directory.rglob("*"))
    backend = CopyBackend()
    assert all(record.accepted for record in compile_all(tiny_bundle, backend))
    assert sorted(tiny_bundle.directory.rglob("*")) == before
    use(backend, monkeypatch)
    selected = select(tiny_bundle, "inductor")
    assert selected.engine.name == "inductor+onnx"
    assert "fusion by inductor in float32" in selected.reason
    assert elsewhere(selected) == set(tiny_bundle.manifest.live_graphs)


def test_what_is_built_is_not_built_again(tiny_bundle: Bundle) -> None:
    backend = CopyBackend()
    compile_all(tiny_bundle, backend)
    compile_all(tiny_bundle, backend)
    assert backend.built == list(tiny_bundle.manifest.live_graphs)


def test_what_differs_is_kept_out_with_its_numbers(
    tiny_bundle: Bundle, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = CopyBackend(off=0.01)
    records = compile_all(tiny_bundle, backend)
    assert not any(record.accepted for record in records)
    assert "logits 0.01 away (at most 0.001)" in records[0].why
    assert not list(own_cache.rglob("graph.onnx"))
    use(backend, monkeypatch)
    selected = select(tiny_bundle, "inductor")
    assert selected.engine.name == "onnx"
    assert "nothing is compiled for inductor here" in selected.reason


def test_a_graph_that_cannot_be_built_says_why(tiny_bundle: Bundle) -> None:
    records = compile_all(tiny_bundle, CopyBackend(fails="an operator without converter"))
    assert {record.why for record in records} == {"an operator without converter; none"}


@pytest.mark.parametrize("part", ["graph.onnx", "record.json"])
def test_a_file_that_was_cut_off_is_not_run(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    backend = CopyBackend()
    compile_all(tiny_bundle, backend)
    key = Key.of(tiny_bundle, "video", "inductor", CPU, 2)
    file = key.directory / part
    file.write_bytes(file.read_bytes()[:50])
    use(backend, monkeypatch)
    selected = select(tiny_bundle, "inductor")
    assert "video" not in elsewhere(selected)
    (trouble,) = selected.troubles
    assert "cannot be used" in trouble
    assert "run magtkd compile again" in trouble
    selected.engine.run("video", tiny_inputs("video"))
    compile_all(tiny_bundle, backend)
    assert "video" in elsewhere(select(tiny_bundle, "inductor"))


def test_a_build_for_another_device_or_release_is_not_found(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = Device("cuda", "Some GPU", "13.0")
    compile_all(tiny_bundle, CopyBackend(), gpu)
    key = Key.of(tiny_bundle, "text", "inductor", gpu, 2)
    assert read(key) is not None
    others = (Device("cuda", "Another GPU", "13.0"), Device("cuda", "Some GPU", "12.8"), CPU)
    for other in others:
        assert read(Key.of(tiny_bundle, "text", "inductor", other, 2)) is None
    monkeypatch.setattr("magtkd_rt.engines.cache._version", lambda _: "99")
    assert read(Key.of(tiny_bundle, "text", "inductor", gpu, 2)) is None


def test_what_passed_then_and_is_wrong_now_runs_on_the_default_engine(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_all(tiny_bundle, CopyBackend())
    use(CopyBackend(off=0.5), monkeypatch)
    selected = select(tiny_bundle, "inductor")
    assert not elsewhere(selected)
    assert len(selected.troubles) == len(tiny_bundle.manifest.live_graphs)
    assert all("is 0.5 away" in trouble for trouble in selected.troubles)


def test_another_process_waits_for_the_lock(tiny_bundle: Bundle) -> None:
    key = Key.of(tiny_bundle, "text", "inductor", CPU, 2)
    code = (
        "import sys; from filelock import FileLock, Timeout\n"
        f"lock = FileLock({str(key.directory)!r} + '.lock', timeout=0.2)\n"
        "try: lock.acquire()\nexcept Timeout: sys.exit(7)\n"
    )
    with building(key):
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 7
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_who_waits_for_another_process_says_so(tiny_bundle: Bundle) -> None:
    key = Key.of(tiny_bundle, "text", "inductor", CPU, 2)
    code = (
        "import sys; from filelock import FileLock\n"
        f"with FileLock({str(key.directory)!r} + '.lock'): print('mine', flush=True); input()\n"
    )
    told: list[str] = []
    with building(key, lambda: told.append("alone")):
        assert told == []
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin is not None and other.stdout is not None
        assert other.stdout.readline() == "mine\n"

        def waits(free: IO[str] = other.stdin) -> None:
            told.append("waits")
            free.write("\n")
            free.close()

        with building(key, waits) as folder:
            assert told == ["waits"] and folder.is_dir()


def break_off(key: Key) -> None:
    with building(key) as folder:
        (folder / "half").write_bytes(b"a part")
        raise KeyboardInterrupt


def test_a_build_that_breaks_off_leaves_nothing(tiny_bundle: Bundle, own_cache: Path) -> None:
    key = Key.of(tiny_bundle, "text", "inductor", CPU, 2)
    with pytest.raises(KeyboardInterrupt):
        break_off(key)
    assert read(key) is None
    assert [path.name for path in own_cache.iterdir()] == [f"{key.directory.name}.lock"]


def test_an_accepted_record_is_replaced_whole(tiny_bundle: Bundle) -> None:
    key = Key.of(tiny_bundle, "text", "inductor", CPU, 2)
    (record, *_) = compile_all(tiny_bundle, CopyBackend())
    with building(key) as folder:
        (folder / "new").write_bytes(b"new")
        keep(key, folder, record)
    entry = read(key)
    assert entry is not None
    assert list(entry.record.files) == ["new"]


class Crowded:
    """A runner that has memory for one row."""

    def __init__(self, engine: OnnxEngine, graph: GraphName, most: int) -> None:
        self.rows: list[int] = []
        self._engine, self._graph, self._most = engine, graph, most

    def __call__(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        rows = len(next(iter(inputs.values())))
        self.rows.append(rows)
        if rows > self._most:
            raise EngineError("the GPU has too little memory", remedy="none")
        return self._engine.run(self._graph, inputs)


def test_too_little_memory_halves_the_batch(tiny_bundle: Bundle) -> None:
    base = OnnxEngine(tiny_bundle, 1)
    crowded = Crowded(base, "fusion", most=1)
    engine = MixedEngine(base, {"fusion": crowded}, "inductor+onnx")
    got, wanted = (e.run("fusion", tiny_inputs("fusion")) for e in (engine, base))
    assert crowded.rows == [2, 1, 1]
    assert all(np.allclose(got[name], wanted[name], atol=1e-6) for name in wanted)
    assert not engine.troubles


def test_what_fails_anyway_goes_on_on_the_default_engine_and_is_told_of(
    tiny_bundle: Bundle,
) -> None:
    base = OnnxEngine(tiny_bundle, 1)
    crowded = Crowded(base, "fusion", most=0)
    engine = MixedEngine(base, {"fusion": crowded}, "inductor+onnx")
    for _ in range(2):
        engine.run("fusion", tiny_inputs("fusion"))
    assert crowded.rows == [2, 1]  # never asked again
    assert engine.troubles == [
        "the graph 'fusion' failed and runs on onnx now: the GPU has too little memory"
    ]


def test_wrong_inputs_are_the_callers_fault(tiny_bundle: Bundle) -> None:
    base = OnnxEngine(tiny_bundle, 1)
    engine = MixedEngine(base, {"video": Crowded(base, "video", most=9)}, "inductor+onnx")
    with pytest.raises(EngineError):
        engine.run("video", {"faces": np.zeros((1, 3), np.uint8)})
    assert engine.elsewhere == {"video"}
