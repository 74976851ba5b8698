"""The import rule: one way only, a pure core, no torch in the live runtime."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAPPED = ("train", "engines", "clients")

LEAVES = {"wire", "errors", "labels"}
LIVE = {"core", "features", "bundle", "vad", "asr", "sources", "engines", "runtime", "server"}
MAY_IMPORT = {
    # part: other parts of magtkd_rt that it may import; the leaves are free to all but leaves
    "core": set(),
    "features": {"core"},
    "models": {"core", "features"},
    "bundle": {"core", "features"},
    "vad": {"core", "features", "bundle"},
    "asr": {"core", "features", "bundle"},
    "sources": {"core", "features", "bundle"},
    "engines": {"core", "features", "bundle", "models"},
    "config": {"core"},
    "runtime": (LIVE - {"server"}) | {"config"},
    "server": LIVE | {"config"},
    "clients": set(),
    "bench": LIVE | {"config", "clients"},
    "view": {"clients"},
    "train": (LIVE - {"server"}) | {"models"},  # the runtime's own recogniser is what it measures
    "doctor": LIVE | {"config"},
    "cli": LIVE | {"config", "view", "clients", "train", "doctor", "bench"},
}
"""The order: core <- features <- bundle <- engines <- runtime <- server <- cli."""

LEAF_MAY_IMPORT = {"wire": {"labels", "wire"}, "errors": set[str](), "labels": set[str]()}

PURE = {
    "__future__", "bisect", "collections", "dataclasses", "enum", "fractions", "functools",
    "heapq", "itertools", "math", "numpy", "operator", "types", "typing", "magtkd_rt",
}  # fmt: skip
"""All that core/ may import: neither clock nor I/O, threads or models."""

EFFECTS = {"open", "print", "input", "exec", "eval", "__import__"}

TORCH = {"torch", "transformers", "safetensors", "onnxscript", "torch_tensorrt", "tensorrt"}
TORCH_ENGINES = {
    "eager", "inductor", "tensorrt",  # and what they share
    "torch_backend", "torch_graph", "torch_lstm", "torch_operators", "torch_running",
    "torch_shapes", "stand_in",
    "tensorrt_converters", "tensorrt_operators",
}  # fmt: skip


@dataclass(frozen=True)
class Import:
    """One import, `file:line` where it stands and the module that it names."""

    file: Path
    line: int
    module: str

    @property
    def root(self) -> str:
        return self.module.split(".")[0]

    @property
    def part(self) -> str:
        """`core` for magtkd_rt.core.session, empty for the package itself or another one."""
        names = self.module.split(".")
        return names[1] if names[0] == "magtkd_rt" and len(names) > 1 else ""

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line}: imports {self.module}"


def _modules() -> dict[str, Path]:
    """Every module's name as it is imported, and its file."""
    found = {}
    for top in ("magtkd_rt", *MAPPED):
        for file in sorted((ROOT / top).rglob("*.py")):
            names = list(file.relative_to(ROOT).with_suffix("").parts)
            if top in MAPPED:
                names.insert(0, "magtkd_rt")
            if names[-1] == "__init__":
                names.pop()
            found[".".join(names)] = file
    return found


MODULES = _modules()


def _part(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def _imports(module: str, source: str | None = None) -> Iterator[Import]:
    """What a module imports, wherever in it: `from a import b` names a.b where that is a module."""
    file = MODULES[module]
    tree = ast.parse(file.read_text(encoding="utf-8") if source is None else source)
    package = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(file, node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{origin}.{alias.name}"
                yield Import(file, node.lineno, inner if inner in MODULES else origin)


def _allowed(part: str) -> set[str]:
    if part in LEAVES:
        return LEAF_MAY_IMPORT[part]
    if part == "clients":
        return {"clients", "wire", "errors", "labels"}
    return MAY_IMPORT[part] | LEAVES | {part}


def _wrong_way(module: str, source: str | None = None) -> list[str]:
    """The lines of a module that break the order of the parts."""
    allowed = _allowed(_part(module)) if _part(module) else LEAVES
    return [
        f"{item}, but {module} may import only {', '.join(sorted(allowed)) or 'nothing'}"
        for item in _imports(module, source)
        if item.root == "magtkd_rt" and item.part not in allowed
    ]


def _impure(module: str, source: str | None = None) -> list[str]:
    """The lines of a module of core/ that reach for the world outside."""
    text = MODULES[module].read_text(encoding="utf-8") if source is None else source
    lines = [
        f"{item}, which core/ may not" for item in _imports(module, text) if item.root not in PURE
    ]
    return lines + [
        f"{MODULES[module].relative_to(ROOT)}:{node.lineno}: calls {node.func.id}()"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in EFFECTS
    ]


def _torch_lines(module: str, source: str | None = None) -> list[str]:
    """The lines of a module that import torch or what cannot do without it."""
    return [str(item) for item in _imports(module, source) if item.root in TORCH]


def _may_use_torch(module: str) -> bool:
    part, name = _part(module), module.split(".")[-1]
    return part in ("models", "train") or (part == "engines" and name in TORCH_ENGINES)


def test_every_part_is_known_to_the_rule() -> None:
    parts = {_part(module) for module in MODULES} - {""}
    assert parts <= LEAVES | MAY_IMPORT.keys()


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_one_way(module: str) -> None:
    assert not (wrong := _wrong_way(module)), "\n".join(["", *wrong])


@pytest.mark.parametrize("module", [module for module in MODULES if _part(module) == "core"])
def test_the_core_is_pure(module: str) -> None:
    assert not (impure := _impure(module)), "\n".join(["", *impure])


@pytest.mark.parametrize("module", [module for module in MODULES if not _may_use_torch(module)])
def test_torch_stays_with_models_training_and_its_engines(module: str) -> None:
    assert not (lines := _torch_lines(module)), "\n".join(["", *lines])


def test_the_live_runtime_starts_without_torch() -> None:
    """All modules that are no part of training, really imported, in an interpreter of their own."""
    live = [
        module
        for module in MODULES
        if not _may_use_torch(module) and not module.endswith("__main__")
    ]
    code = (
        "import importlib, sys\n"
        f"for name in {live!r}:\n"
        "    importlib.import_module(name)\n"
        f"    loaded = sorted({TORCH!r} & sys.modules.keys())\n"
        "    if loaded: sys.exit(f'importing {name} loads {loaded}')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("magtkd_rt.core.session", "from magtkd_rt.engines.interface import Engine"),
        ("magtkd_rt.core.session", "from ..bundle import store"),
        ("magtkd_rt.features.prompt", "import magtkd_rt.bundle.store"),
        ("magtkd_rt.bundle.store", "from magtkd_rt.runtime import recogniser"),
        ("magtkd_rt.sources.file", "from magtkd_rt.vad import StreamingVad"),
        ("magtkd_rt.clients.subscriber", "from magtkd_rt.core import media"),
        ("magtkd_rt.wire", "from magtkd_rt import errors"),
    ],
)
def test_an_import_the_wrong_way_is_found(module: str, line: str) -> None:
    (found,) = _wrong_way(module, f"def later():\n    {line}\n")
    assert f"{MODULES[module].relative_to(ROOT)}:2: imports magtkd_rt." in found


@pytest.mark.parametrize(
    "line",
    ["import time", "from threading import Thread", "import asyncio", "from pathlib import Path",
     "import onnxruntime", "open('x')"],
)  # fmt: skip
def test_an_impure_core_is_found(line: str) -> None:
    assert len(_impure("magtkd_rt.core.session", line)) == 1


def test_a_lazy_import_of_torch_is_found() -> None:
    source = "def forward():\n    from torch.nn import functional\n"
    assert len(_torch_lines("magtkd_rt.runtime.recogniser", source)) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="that is where it was seen")
def test_onnxruntime_reports_to_nobody(tmp_path: Path) -> None:
    """Its wheels keep usage data on disk and send it, unless told not to before it is imported."""
    code = "import magtkd_rt.engines.select, onnxruntime; print(onnxruntime.__file__)"
    folders = {"HOME": tmp_path, "TMPDIR": tmp_path, "XDG_CACHE_HOME": tmp_path}
    env = {**os.environ, **{name: str(folder) for name, folder in folders.items()}}
    env.pop("ORT_DISABLE_TELEMETRY", None)
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True)
    assert b"onnxruntime" in done.stdout
    assert list(tmp_path.iterdir()) == []
