"""Which transcriber is taken."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from magtkd_rt.asr import ScriptedTranscriber, select
from magtkd_rt.core.media import AudioChunk
from magtkd_rt.errors import EngineError, InputError


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_auto_takes_whisper_that_is_at_hand(tiny_whisper: Path) -> None:
    transcriber, message = select("auto", str(tiny_whisper))
    assert transcriber is not None
    assert transcriber.name.startswith("whisper")
    assert "at hand" in message
    transcriber.close()


def test_auto_goes_without_where_the_network_is_forbidden() -> None:
    pytest.importorskip("pocketsphinx")
    transcriber, message = select("auto")
    assert transcriber is not None
    assert transcriber.name == "pocketsphinx"
    assert "pocketsphinx" in message and "forbidden" in message
    transcriber.close()


def test_a_hub_that_never_answers_costs_little_time(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pocketsphinx")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.delenv("MAGTKD_OFFLINE", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        before = time.monotonic()
        with pytest.raises(EngineError, match="cannot be reached"):
            select("whisper", "base")
        assert time.monotonic() - before < 2
        transcriber, message = select("auto", "base")
    assert transcriber is not None
    assert transcriber.name == "pocketsphinx"
    assert "cannot be reached" in message
    transcriber.close()


def test_asked_for_by_name_it_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="not at hand"):
        select("whisper", "base")
    with pytest.raises(EngineError, match="cannot be loaded"):
        select("whisper", str(tmp_path))
    with pytest.raises(InputError, match="no transcriber is called dictaphone"):
        select(cast(Any, "dictaphone"))
    assert select("none")[0] is None


def test_the_script_is_spoken_in_order() -> None:
    transcriber = ScriptedTranscriber(["hello there", "again"], confidence=0.7)
    first = transcriber.open("a")
    chunks = [AudioChunk(0, 100 + at, np.zeros(50, np.float32)) for at in (0, 50, 100, 150)]
    partials = [first.feed(chunk) for chunk in chunks]
    assert [partial and partial.text for partial in partials] == [
        "hello",
        "hello there",
        None,
        None,
    ]
    final = first.finish()
    assert final.final and final.words is not None
    assert [(word.text, word.start, word.end) for word in final.words] == [
        ("hello", 100, 200),
        ("there", 200, 300),
    ]
    assert transcriber.open("b").finish().text == "again"
    assert transcriber.open("c").finish().text == ""
