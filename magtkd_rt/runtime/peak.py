"""The most memory that a process held, told by itself when it ends.

What the kernel tells a parent (`ru_maxrss`) begins with the parent's own size at the fork.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Final

PEAK: Final = "peak memory in kB: "
"""How the line on standard error begins."""


def tell_peak() -> None:
    """Write the peak to standard error; registered with `atexit`."""
    print(f"{PEAK}{peak_kb()}", file=sys.stderr, flush=True)


def peak_kb() -> int:
    """The most resident memory of this process since it began, in units of 1024 bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest // 1024 if sys.platform == "darwin" else largest
