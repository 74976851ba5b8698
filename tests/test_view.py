"""What the terminal view shows."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import pytest
from rich.console import Console

from magtkd_rt import wire
from magtkd_rt.view import Board, TerminalView


def shown(board: Board, *, lag_ms: float = 0.0, height: int = 30, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, height=height, highlight=False)
    console.print(board.render(height, "ws://127.0.0.1:1/v1/events", lag_ms))
    file: Any = console.file
    return str(file.getvalue())


@pytest.fixture
def board(script: Any) -> Board:
    board = Board()
    for event in (script.started(), *script.utterance("u1")):
        board.take(event)
    return board


def test_the_header_names_everything(board: Board) -> None:
    text = shown(board, lag_ms=2600)
    for part in ("call.wav", "scripted", "starter", "fake", "ws://127.0.0.1:1", "lag 2.6 s"):
        assert part in text


def test_the_last_result_has_a_bar_for_each_label(board: Board) -> None:
    text = shown(board)
    for label in ("neutral", "joy", "sadness", "anger", "surprise", "fear", "disgust"):
        assert label in text
    assert "60%" in text
    assert "moved it by +20%" in text
    assert "no face" in text
    assert "so it goes" in text


def test_partial_words_are_shown_until_the_result(script: Any, board: Board) -> None:
    board.take(script.speech("u2"))
    board.take(script.words("u2", text="half a sent"))
    assert "half a sent" in shown(board)
    board.take(script.dropped("u2"))
    assert "half a sent" not in shown(board)
    assert "nobody speaks" in shown(board)


def test_what_is_unsure_says_so(script: Any, board: Board) -> None:
    event = script.emotion("u3")
    modalities = {
        **event.modalities,
        "text": wire.Modality(present=False, reason="low_confidence"),
    }
    board.take(event.model_copy(update={"abstained": True, "modalities": modalities}))
    text = shown(board)
    assert "unsure" in text
    assert "better not act on it" in text
    assert "the words were too unsure to count" in text


@pytest.mark.parametrize("height", [18, 24, 50])
def test_it_fits_the_terminal(script: Any, board: Board, height: int) -> None:
    for number in range(60):
        for event in script.utterance(f"v{number}"):
            board.take(event)
        board.take(script.status(f"notice {number}"))
    lines = shown(board, height=height).rstrip("\n").splitlines()
    assert len(lines) <= max(height, 20)
    assert "notice 59" in lines[-1]


def test_text_of_others_cannot_command_the_terminal(script: Any, board: Board) -> None:
    board.take(script.speech("u2"))
    board.take(script.words("u2", text="\x1b[2Jgone"))
    board.take(script.emotion("u4", text="[red]not markup[/red]"))
    text = shown(board)
    assert "\x1b" not in text
    assert "[red]not markup[/red]" in text


@pytest.mark.anyio
async def test_a_terminal_sees_the_end(script: Any) -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=100, height=30)
    view = TerminalView(console, "", lambda: 0.0)
    drawing = asyncio.create_task(view.run())
    view.show(script.started())
    await asyncio.sleep(0.3)
    assert "call.wav" in file.getvalue()
    view.show(script.ended())
    view.stop()
    await asyncio.wait_for(drawing, 10)
    assert "end of input" in file.getvalue()
    assert file.getvalue().rstrip().endswith("\x1b[?25h"), "the cursor is back"


def test_a_recording_shows(script: Any) -> None:
    board = Board(recording="talks/one.mkv")
    board.take(script.started())
    assert "REC talks/one.mkv" in shown(board)
    failed = {"level": "error", "code": "recording_failed", "message": "the disk is full"}
    board.take(script.status().model_copy(update=failed))
    assert "REC" not in shown(board) and "the disk is full" in shown(board)
    assert "REC" not in shown(Board())
