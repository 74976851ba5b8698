"""Runs checks side by side, each for a bounded time; none can end the program."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final

from magtkd_rt.doctor.finding import Finding, Level
from magtkd_rt.errors import MagtkdError

Check = Callable[[], Sequence[Finding]]

SECONDS: Final = 30.0
"""How long all of them together may take."""
OPTIONAL: Final = ("camera", "gpu", "permissions", "sound server", "faces")
"""Checks without whose subject `magtkd-live` works all the same."""


def examine(
    checks: Mapping[str, Check],
    *,
    seconds: float = SECONDS,
    optional: Collection[str] = OPTIONAL,
    waiting: Callable[[Sequence[str]], None] = lambda _: None,
) -> Iterator[tuple[str, Sequence[Finding]]]:
    """Run every check on a thread of its own.

    Args:
        checks: by name. One that raises has found an error.
        seconds: after which a check that is not done has found an error: a driver hangs. Its
            thread is left behind.
        optional: of these that is a warning.
        waiting: is told, whenever that changes, which are not done yet.

    Yields:
        name and findings of each check, as they are done.
    """
    done: queue.SimpleQueue[tuple[str, Sequence[Finding]]] = queue.SimpleQueue()
    left = list(checks)
    end = time.monotonic() + seconds
    for name, check in checks.items():
        work = threading.Thread(
            target=lambda name=name, check=check: done.put((name, _run(name, check))),
            name=f"check {name}",
            daemon=True,
        )
        work.start()
    while left:
        waiting(left)
        try:
            name, findings = done.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            for name in left:
                hung = f"no answer within {seconds:g} s"
                level: Level = "warning" if name in optional else "error"
                yield name, [Finding(name, level, hung, "unplug the device, or restart")]
            return
        left.remove(name)
        yield name, findings


def _run(name: str, check: Check) -> Sequence[Finding]:
    try:
        return check()
    except MagtkdError as error:
        return [Finding(name, "error", error.problem, error.remedy)]
    except Exception as error:  # libraries and drivers raise anything
        said = " ".join(str(error).split()) or type(error).__name__
        return [Finding(name, "error", said, "this was not foreseen: please report it")]
