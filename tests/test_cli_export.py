from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from event_script import EventScript
from journals import write_journal
from recorded import Ran

from magtkd_rt.clients.export import FORMATS, Session

Run = Callable[..., Ran]


@pytest.fixture
def journal(tmp_path: Path, script: EventScript) -> Path:
    events = [script.started(), *script.utterance("u1"), script.ended()]
    return write_journal(tmp_path / "talk.jsonl", events)


@pytest.mark.parametrize("to", FORMATS)
def test_a_file_beside_the_session(run_program: Run, journal: Path, to: str) -> None:
    done = run_program("magtkd", "export", journal, "--to", to)
    written = journal.with_suffix(f".{to}")
    assert (done.code, done.out) == (0, "")
    assert done.err == f"magtkd: 1 utterances in {written}\n"
    assert "so it goes" in written.read_text(encoding="utf-8")
    assert sorted(journal.parent.iterdir()) == sorted([journal, written])


def test_the_standard_output(run_program: Run, journal: Path) -> None:
    done = run_program("magtkd", "export", journal, "--to", "srt", "--out", "-")
    assert done.code == 0
    assert done.out.startswith("1\n00:00:00,100 --> 00:00:00,900\n")
    assert list(journal.parent.iterdir()) == [journal]


def test_a_pipe_that_is_closed_ends_it_quietly(journal: Path, script: EventScript) -> None:
    many = [event for number in range(2000) for event in script.utterance(f"u{number}")]
    write_journal(journal, many)
    code = "from magtkd_rt.cli import main; main()"
    arguments = [sys.executable, "-c", code, "export", str(journal), "--to", "html", "--out", "-"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.read(15) == b"<!doctype html>"
        process.stdout.close()
        told = process.stderr.read().decode()
    assert process.returncode == 0
    assert told.startswith("magtkd: 2000 utterances; the session's file is cut short, 0 results")


def test_what_the_file_lacks_is_told(run_program: Run, journal: Path) -> None:
    script = EventScript()
    lost = script.speech("u1")
    write_journal(journal, [script.emotion("u1", "provisional")])
    with journal.open("a", encoding="utf-8") as file:
        file.write('{"type": "emo')
    assert lost.seq == 1
    done = run_program("magtkd", "export", journal, "--to", "csv")
    assert done.err == (
        f"magtkd: 1 utterances in {journal.with_suffix('.csv')}; the session's file is cut short, "
        "1 results are provisional; it lacks 1 events\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--to", "docx"], "no format 'docx'; choose one of srt, vtt, csv, emotionml, html"),
        ([], "Missing option '--to'"),
        (["--to", "srt", "--session", "x"], "has no session x; it has call-1"),
        (["--to", "srt", "--out", "{folder}"], "is a directory; give a file's name with --out"),
        (["--to", "srt", "--out", "{folder}/talk.jsonl"], "is the session's own file; give an"),
        (["--to", "srt", "--out", "{folder}/no/such"], "cannot be written (No such file"),
        (["--to", "srt", "--out", "/dev/full"], "cannot be written (No space left"),
    ],
)
def test_what_a_user_can_do_wrong(
    run_program: Run, journal: Path, arguments: list[str], said: str
) -> None:
    before = journal.read_bytes()
    named = [argument.format(folder=journal.parent) for argument in arguments]
    done = run_program("magtkd", "export", journal, *named)
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1
    assert list(journal.parent.iterdir()) == [journal]
    assert journal.read_bytes() == before


def test_a_broken_line(run_program: Run, journal: Path) -> None:
    journal.write_text("{}\n", encoding="utf-8")
    done = run_program("magtkd", "export", journal, "--to", "srt")
    assert done.code == 2
    assert "talk.jsonl, line 1 is no event" in done.err


@pytest.mark.parametrize(("answer", "code"), [("n", 130), ("y", 0), ("--yes", 0)])
def test_a_terminal_is_asked_before_a_file_is_written_over(
    journal: Path, answer: str, code: int
) -> None:
    there = journal.with_suffix(".srt")
    there.write_text("mine", encoding="utf-8")
    program = "from magtkd_rt.cli import main; main()"
    arguments = [sys.executable, "-c", program, "export", str(journal), "--to", "srt"]
    ours, theirs = pty.openpty()
    try:
        if answer == "--yes":
            arguments.append(answer)
        else:
            os.write(ours, f"{answer}\n".encode())
        done = subprocess.run(arguments, stdin=theirs, capture_output=True, check=False)
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == code
    assert (b"write over it?" in done.stderr) == (answer != "--yes")
    assert (there.read_text(encoding="utf-8") == "mine") == (answer == "n")


def test_all_or_nothing_is_written(
    run_program: Run, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(session: Session) -> Iterator[str]:
        yield "half"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("magtkd_rt.clients.export.FORMATS", {"srt": half})
    there = journal.with_suffix(".srt")
    there.write_text("mine", encoding="utf-8")
    done = run_program("magtkd", "export", journal, "--to", "srt")
    assert done.code == 2
    assert "cannot be written (No space left on device)" in done.err
    assert there.read_text(encoding="utf-8") == "mine"
    assert sorted(journal.parent.iterdir()) == sorted([journal, there])


def test_a_link_is_followed(run_program: Run, journal: Path, tmp_path: Path) -> None:
    real = tmp_path / "real.srt"
    link = tmp_path / "link.srt"
    link.symlink_to(real)
    assert run_program("magtkd", "export", journal, "--to", "srt", "--out", link).code == 0
    assert link.is_symlink()
    assert real.read_text(encoding="utf-8").startswith("1\n")
