"""Runs the Autobahn test suite against our server and prints what it found.

    python tests/server/autobahn.py --wstest "python2.7 -m autobahntestsuite.wstest" --out build/ab

The suite needs Python 2.7 with autobahntestsuite 25.10.1, autobahn 0.10.9 and twisted 18.9.
docs/conformance.md holds what it found last.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from echo_server import echo_server, echo_url

CASES = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"]
TOO_LARGE = [
    *(f"9.{kind}.{size}" for kind in (1, 2) for size in (4, 5, 6)),  # 4 to 16 MiB
    *(f"9.{kind}.{size}" for kind in (3, 4) for size in range(1, 10)),  # 4 MiB in fragments
]
"""Cases of messages above 1 MiB, which the server refuses with 1009."""
FINE = {"OK", "NON-STRICT", "INFORMATIONAL"}


async def run(wstest: str, out: Path, cases: list[str]) -> dict[str, Any]:
    """What the suite found, by case."""
    out.mkdir(parents=True, exist_ok=True)
    async with echo_server() as server:
        spec = {
            "outdir": str(out),
            "servers": [{"agent": "magtkd", "url": echo_url(server)}],
            "cases": cases,
            "exclude-cases": TOO_LARGE,
            "exclude-agent-cases": {},
        }
        file = out / "fuzzingclient.json"
        file.write_text(json.dumps(spec))
        command = [*shlex.split(wstest), "-m", "fuzzingclient", "-s", str(file)]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
        if await process.wait():
            sys.exit(f"{wstest} failed")
    found: dict[str, Any] = json.loads((out / "index.json").read_text())["magtkd"]
    return found


def main() -> None:
    """Print what was found; exit code 1 where anything is neither passed nor informational."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wstest", required=True, help="the command that runs wstest")
    parser.add_argument("--out", type=Path, required=True, help="folder for the suite's reports")
    parser.add_argument("--cases", nargs="+", default=CASES, help="such as 1.* 7.1.5")
    given = parser.parse_args()
    found = asyncio.run(run(given.wstest, given.out.resolve(), given.cases))
    by_kind = Counter((case["behavior"], case["behaviorClose"]) for case in found.values())
    for (behaviour, close), count in sorted(by_kind.items()):
        print(f"{count:4} {behaviour}, closed {close}")
    for name, case in sorted(found.items(), key=lambda item: [int(n) for n in item[0].split(".")]):
        if {case["behavior"], case["behaviorClose"]} != {"OK"}:
            print(f"{name}: {case['behavior']}, closed {case['behaviorClose']}")
    bad = [n for n, c in found.items() if not {c["behavior"], c["behaviorClose"]} <= FINE]
    sys.exit(f"not passed: {', '.join(bad)}" if bad else 0)


if __name__ == "__main__":
    main()
