"""`magtkd compile` and `magtkd bench engines`, as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from magtkd_rt.bundle.store import Bundle
from magtkd_rt.cli.commands import app
from magtkd_rt.errors import MagtkdError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MAGTKD_ENGINE_CACHE", str(tmp_path / "engines"))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")  # the commands set them; undone afterwards
    return tmp_path / "engines"


def compiled(bundle: Bundle, *options: str) -> list[dict[str, object]]:
    arguments = ["compile", str(bundle.directory), *options, "--json"]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    records: list[dict[str, object]] = json.loads(done.stdout)
    return records


def test_builds_and_says_what_was_accepted(tiny_bundle: Bundle) -> None:
    records = compiled(tiny_bundle, "--engine", "eager", "--graph", "video", "--graph", "audio")
    assert [record["graph"] for record in records] == ["audio", "video"]
    assert all(record["precision"] == "float32" for record in records)
    (video,) = (record for record in records if record["graph"] == "video")
    assert video["accepted"]


def test_what_8_bits_do_not_suit_is_kept_out_in_words(tiny_bundle: Bundle) -> None:
    (record,) = compiled(tiny_bundle, "--graph", "video")
    assert not record["accepted"]
    assert "it stays in 32 bits" in str(record["why"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--engine", "steam"], "there is no engine 'steam'"),
        (["--device", "moon"], "there is no device 'moon'"),
        (["--graph", "smell"], "has not all of the graphs smell"),
        (["--engine", "tensorrt"], "compiled for a GPU only"),
        (["--precision", "int3"], "does not compute in int3 on cpu; choose auto or int8"),
        (["--engine", "inductor", "--precision", "float16"], "choose auto or float32"),
    ],
)
def test_what_makes_no_sense_is_refused(tiny_bundle: Bundle, options: list[str], told: str) -> None:
    with pytest.raises(MagtkdError, match=told):
        CliRunner().invoke(
            app, ["compile", str(tiny_bundle.directory), *options], catch_exceptions=False
        )


def test_bench_measures_every_graph(tiny_bundle: Bundle) -> None:
    arguments = ["bench", "engines", "--bundle", str(tiny_bundle.directory), "--seconds", "0.1"]
    done = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    measured = json.loads(done.stdout)
    assert {one["what"] for one in measured["timings"]} == {
        "text", "audio", "video", "fusion", "speaker", "identity", "utterance",
    }  # fmt: skip
    assert [one["rows"] for one in measured["timings"] if one["what"] == "fusion"][-1] == 64
    assert all(one["median_ms"] > 0 for one in measured["timings"])
    assert measured["ceilings"]["flops_per_s"] > 1e8
