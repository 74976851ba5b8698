"""`magtkd doctor` as a whole: table, JSON, exit code."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from recorded import Ran

from magtkd_rt.bundle.store import Bundle
from magtkd_rt.cli import doctor as command
from magtkd_rt.doctor import Check, Finding, examine

Run = Callable[..., Ran]


@pytest.fixture
def settings(tmp_path: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings for a machine without devices."""
    monkeypatch.setenv("MAGTKD_OFFLINE", "1")
    file = tmp_path / "live.toml"
    file.write_text(
        f"no_mic = true\nno_camera = true\nport = 0\nbundle = '{tiny_bundle.directory}'\n"
    )
    return file


def test_a_machine_that_works(run_program: Run, settings: Path) -> None:
    ran = run_program("magtkd", "doctor", "--config", settings, "--asr", "pocketsphinx")
    assert ran.code == 0, ran.out
    assert "magtkd-live works here" in ran.out
    assert "error" not in ran.out.split("magtkd-live")[0]


def test_json_and_an_error(run_program: Run, settings: Path) -> None:
    options = ["--config", settings, "--asr", "whisper", "--whisper-model", "none/such"]
    ran = run_program("magtkd", "doctor", *options, "--json")
    assert ran.code == 1
    findings = json.loads(ran.out)
    (error,) = [finding for finding in findings if finding["level"] == "error"]
    assert error["name"] == "whisper none/such"
    assert error["remedy"] == "magtkd models pull none/such"
    assert all(set(finding) == {"name", "level", "found", "remedy"} for finding in findings)


def test_settings_that_make_no_sense_are_a_finding(
    run_program: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "checks_for", lambda *_, **__: {})
    file = tmp_path / "live.toml"
    file.write_text("prot = 1\n")
    ran = run_program("magtkd", "doctor", "--config", file)
    assert ran.code == 1
    assert "'prot'" in ran.out and "would not begin" in ran.out


def test_a_driver_that_hangs_does_not_hang_the_command(
    run_program: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for_ever = threading.Event()

    def hangs() -> list[Finding]:
        for_ever.wait()
        return []

    checks: dict[str, Check] = {"microphone": hangs}
    monkeypatch.setattr(command, "checks_for", lambda *_, **__: checks)
    monkeypatch.setattr(command, "examine", lambda c, **k: examine(c, seconds=0.2, **k))
    left: list[int] = []

    def leave(code: int) -> None:
        left.append(code)
        raise SystemExit(code)

    monkeypatch.setattr("os._exit", leave)
    ran = run_program("magtkd", "doctor")
    assert left == [1] and ran.code == 1
    assert "no answer within" in ran.out
    for_ever.set()
