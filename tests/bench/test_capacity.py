"""The search for how many conversations fit, and what is kept of it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from magtkd_rt.bench import capacity
from magtkd_rt.bench.capacity import Trials, search
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.cli.commands import app
from magtkd_rt.errors import InputError


@given(fitting=st.integers(0, 300), most=st.integers(1, 200), least=st.integers(1, 200))
def test_the_search_finds_the_largest_number_that_fits(fitting: int, most: int, least: int) -> None:
    asked: list[int] = []

    async def attempt(count: int) -> bool:
        asked.append(count)
        return count <= fitting

    assert asyncio.run(search(most, attempt, least)) == min(fitting, most)
    assert len(asked) == len(set(asked))
    assert all(1 <= count <= most for count in asked)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "SPREAD_S", 0.2)
    monkeypatch.setattr(capacity, "SETTLE_S", 0.1)


def measured(bundle: Bundle, *options: str) -> dict[str, Any]:
    arguments = ["bench", "capacity", "--bundle", str(bundle.directory), "--seconds", "1", "--json"]
    done = CliRunner().invoke(app, [*arguments, *options], catch_exceptions=False)
    assert done.exit_code == 0
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.usefixtures("quick")
def test_without_any_recording_it_searches_up_to_the_bound(tiny_bundle: Bundle) -> None:
    found = measured(tiny_bundle, "--most", "3", "--least", "2")
    assert found["conversations"] == 3
    assert [trial["conversations"] for trial in found["trials"]] == [2, 3]
    for trial in found["trials"]:
        assert trial["seconds"] == pytest.approx(1, abs=0.5)
        assert trial["dropped"] == 0
        assert trial["lag_p50_ms"] <= trial["lag_p95_ms"] <= 1000
        assert trial["cores"] > 0
    assert found["settings"]["conversations"] == "made voices, turns as in a telephone call"
    assert found["settings"]["asr"] == "made-up"


@pytest.mark.usefixtures("quick")
def test_what_was_tried_is_kept_and_not_tried_again(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "trials.json"
    first = measured(tiny_bundle, "--most", "1", "--out", str(kept))
    assert json.loads(kept.read_text())["trials"] == first["trials"]

    async def must_not(self: Trials, count: int) -> None:
        pytest.fail("it is known")

    monkeypatch.setattr(Trials, "run", must_not)
    assert measured(tiny_bundle, "--most", "1", "--out", str(kept)) == first
    with pytest.raises(InputError, match=r"other settings \(seed\); give --out another file"):
        measured(tiny_bundle, "--most", "1", "--seed", "5", "--out", str(kept))
    kept.write_text("[]")
    with pytest.raises(InputError, match="holds no trials"):
        measured(tiny_bundle, "--out", str(kept))
    with pytest.raises(InputError, match="there is no folder"):
        measured(tiny_bundle, "--out", str(tmp_path / "no" / "where.json"))
