"""`magtkd doctor`: the findings as a table or as JSON."""

from __future__ import annotations

import json as jsonlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from magtkd_rt.config import LiveConfig, find_config, usual_file
from magtkd_rt.doctor import Finding, examine
from magtkd_rt.doctor.checks import checks_for
from magtkd_rt.errors import InputError

FOUND_ERRORS = 1

_STYLES = {"ok": "green", "warning": "yellow", "error": "bold red"}


def run_doctor(
    file: Path | None, flags: Mapping[str, object], *, open_devices: bool, json: bool
) -> int:
    """Look at this machine and print; returns the exit code: 1 where an error was found.

    Args:
        file: the settings of `magtkd-live`; those in the usual place where none is named.
        flags: as `find_config` takes them; they win.
        open_devices: listen and look.
        json: print JSON instead of a table.
    """
    config, first = _settings(file, flags)
    checks = checks_for(config, open_devices=open_devices)
    sys.stdout.flush()
    with _quiet_drivers() as stderr, Status("looking ...", console=stderr) as status:

        def waiting(names: Sequence[str]) -> None:
            status.update(f"looking at {', '.join(names)} ...")

        findings = dict(examine(checks, waiting=waiting))
    shown = [first, *(finding for name in checks for finding in findings[name])]
    if json:
        print(jsonlib.dumps([asdict(finding) for finding in shown], indent=1))
    else:
        _show(shown)
    code = FOUND_ERRORS if any(finding.level == "error" for finding in shown) else 0
    if any("no answer within" in finding.found for finding in shown):
        # A driver hangs, and would hold up the end of this process too.
        sys.stdout.flush()
        os._exit(code)
    return code


def _settings(file: Path | None, flags: Mapping[str, object]) -> tuple[LiveConfig, Finding]:
    place = file or (usual_file() if usual_file().exists() else None)
    try:
        config = find_config(LiveConfig, file, flags)
    except InputError as error:
        return LiveConfig(), Finding("settings", "error", error.problem, error.remedy)
    return config, Finding("settings", "ok", str(place or "the defaults"))


@contextmanager
def _quiet_drivers() -> Iterator[Console]:
    """Silence what ALSA, OpenCV and others print themselves; yields a console on stderr."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        with os.fdopen(os.dup(kept), "w", encoding="utf-8") as stream:
            yield Console(file=stream, highlight=False)
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _show(findings: Sequence[Finding]) -> None:
    table = Table("", "checked", "found", "remedy", box=None, pad_edge=False)
    for column in table.columns:
        column.overflow = "fold"  # a path or a command is of no use with its end cut off
    for one in findings:
        table.add_row(Text(one.level, style=_STYLES[one.level]), one.name, one.found, one.remedy)
    console = Console(highlight=False, markup=False)
    console.print(table)
    bad = {level: sum(one.level == level for one in findings) for level in ("error", "warning")}
    said = ", ".join(f"{count} {level}{'s' * (count > 1)}" for level, count in bad.items() if count)
    verdict = "magtkd-live would not begin" if bad["error"] else "magtkd-live works here"
    console.print(f"{verdict}: {said}" if said else verdict)
