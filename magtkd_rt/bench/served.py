"""A server of this installation in a process of its own, to be measured from outside."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from magtkd_rt.errors import ServerError

READY: Final = "serving on "
"""How the line ends, before the address, that says: all is loaded."""
_START_WITHIN_S: Final = 60.0
_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Served:
    """A running server: its address, and its process."""

    url: str
    pid: int

    def processor_s(self) -> float:
        """Time of all processor cores so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * _TICK_S

    def resident_mb(self) -> float:
        """Memory that it holds now, in millions of bytes."""
        for line in Path(f"/proc/{self.pid}/status").read_text("ascii").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024 / 1e6
        return 0.0


@asynccontextmanager
async def serving(options: Sequence[str]) -> AsyncIterator[Served]:
    """Run `magtkd serve` with these options, on any free port, until the block ends.

    Raises:
        ServerError: it does not begin.
    """
    program = ("-c", "from magtkd_rt.cli import main; main()", "serve", "--port=0")
    async with started([*program, *options]) as (served, _):
        yield served


@asynccontextmanager
async def started(arguments: Sequence[str]) -> AsyncIterator[tuple[Served, Process]]:
    """Run a server by Python with these arguments until the block ends; its pipes are open.

    Raises:
        ServerError: it does not begin.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    said = ""
    try:
        async with asyncio.timeout(_START_WITHIN_S):
            assert process.stderr is not None
            async for line in process.stderr:
                said = line.decode("utf-8", "replace").strip()
                if READY in said:
                    break
            else:
                raise ServerError(f"the server did not begin ({said})", remedy="mend that")
        yield Served(said.rpartition(READY)[2], process.pid), process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()
