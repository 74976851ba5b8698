"""What only the JavaScript client has to mind."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from both_clients import CLIENT, in_node, node

from magtkd_rt.server import EventServer, Hub, Limits

pytestmark = pytest.mark.anyio


async def test_a_dozing_reader_holds_no_more_than_it_may_and_misses_nothing(script: Any) -> None:
    hub = Hub(Limits(ring_events=20_000))
    hub.publish(script.started())
    for _ in range(12_000):
        hub.publish(script.status())
    hub.publish(script.ended())
    async with EventServer(hub, port=0) as server:
        lines = await in_node(job="doze", url=server.url, options={"since": 0}, dozes=3)
    (seqs, states) = (line[key] for line, key in zip(lines, ("seqs", "states"), strict=True))
    assert seqs == list(range(1, 12_003))
    lost = "the connection was lost (1006 read too slowly here)"
    assert states == ["connecting", "open", lost, "connecting", "open", "ended"]


def test_without_a_websocket_the_remedy_is_told(tmp_path: Path) -> None:
    program = tmp_path / "bare.mjs"
    program.write_text(
        f"""
        delete globalThis.WebSocket;
        const {{ subscribe }} = await import("{CLIENT.as_uri()}");
        try {{
          for await (const event of subscribe("127.0.0.1:9")) console.log(event);
        }} catch (error) {{
          console.log(error.code, error.remedy.includes("--experimental-websocket"));
        }}
        """
    )
    done = subprocess.run([*node(), program], capture_output=True, text=True, check=True)
    assert done.stdout == "unsupported true\n"


def test_it_depends_on_nothing_and_asks_no_other_host() -> None:
    text = CLIENT.read_text(encoding="utf-8")
    code = [line for line in text.splitlines() if not line.lstrip().startswith(("*", "/*"))]
    assert not [line for line in code if line.startswith("import ") or "import(" in line]
    assert not [line for line in code if "https://" in line or "fetch(" in line]


def test_an_aborted_signal_ends_it_quietly(tmp_path: Path) -> None:
    program = tmp_path / "left.mjs"
    program.write_text(
        f"""
        const {{ subscribe }} = await import("{CLIENT.as_uri()}");
        const leaving = new AbortController();
        leaving.abort();
        const {{ signal }} = leaving;
        for await (const event of subscribe("127.0.0.1:9", {{ signal }})) console.log(event);
        console.log("left");
        """
    )
    done = subprocess.run([*node(), program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("left\n", "")


def test_what_is_exported_has_its_types() -> None:
    declared = CLIENT.with_suffix(".d.ts").read_text(encoding="utf-8")
    names = r"^export (?:declare )?(?:async )?(?:function\*?|class|const) (\w+)"
    exported = set(re.findall(names, CLIENT.read_text(encoding="utf-8"), re.MULTILINE))
    assert "subscribe" in exported and "MagtkdError" in exported
    # The outbox is for the vectors alone.
    assert exported - {"Outbox"} == set(re.findall(names, declared, re.MULTILINE))
