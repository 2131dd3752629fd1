"""Progress: a bar where stderr is a terminal, silence elsewhere; and what each sampler reports."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import Any, TextIO

import pytest

torch = pytest.importorskip("torch", reason="needs the extra hf")
pytest.importorskip("transformers", reason="needs the extra hf")

import grammar_engine as ge
from grammar_engine import progress
from grammar_engine.progress import Progress, progress_bar


class Terminal:
    """stderr as a pseudo-terminal, and what arrives at its other end."""

    def __init__(self) -> None:
        pty = pytest.importorskip("pty", reason="needs pseudo-terminals")
        self._reader, writer = pty.openpty()
        self.stderr: TextIO = os.fdopen(writer, "w")
        self._data = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            while data := os.read(self._reader, 4096):
                self._data += data
        except OSError:  # the writer's end is closed
            return

    def attach(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As stderr. (By the test itself: between a fixture and its test, pytest puts its own there again.)"""
        monkeypatch.setattr(sys, "stderr", self.stderr)

    def close(self) -> str:
        """What was written."""
        self.stderr.close()
        self._thread.join(5)
        os.close(self._reader)
        return self._data.decode()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    return Terminal()


def test_a_bar_on_a_terminal(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.attach(monkeypatch)
    with progress_bar(delay=0.0) as show:
        show(Progress(done=3, total=40, unit="tokens", note="2 of 8 texts have ended"))
    shown = terminal.close()
    assert "3 of at most 40 tokens" in shown
    assert "2 of 8 texts have ended" in shown


def test_nothing_before_the_delay_nor_if_not_wanted(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.attach(monkeypatch)
    with progress_bar(delay=60.0) as show:
        show(Progress(done=3, total=40, unit="tokens"))
    with progress_bar(shown=False, delay=0.0) as show:
        show(Progress(done=3, total=40, unit="tokens"))
    assert terminal.close() == ""


def test_an_error_takes_the_bar_away(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.attach(monkeypatch)

    def fail() -> None:
        with progress_bar(delay=0.0) as show:
            show(Progress(done=3, total=40, unit="tokens"))
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert "\x1b[?25h" in terminal.close()  # the cursor is shown again


SAMPLERS: list[Any] = [
    ge.Greedy(),
    ge.AWRS(),
    ge.SMC(particles=3),
    ge.BestOf(n=2),
    ge.Beam(width=2),
    ge.CARS(max_tries=400),
    ge.Rejection(max_tries=40),
]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: type(sampler).__name__)
def test_generate_reports(tiny_model: Any, terminal: Terminal, monkeypatch: pytest.MonkeyPatch, sampler: Any) -> None:
    """Every sampler: numbers that do not fall, within the total; shown by generate unless it is told not to."""
    terminal.attach(monkeypatch)
    seen: list[Progress] = []
    original = progress._Bar.show

    def show(bar: Any, one: Progress) -> None:
        seen.append(one)
        bar._start = 0.0
        original(bar, one)

    monkeypatch.setattr(progress._Bar, "show", show)
    options: dict[str, Any] = {"regex": "(.|\n)[a-z]?", "model": tiny_model, "max_tokens": 6, "seed": 0}

    def run(**more: Any) -> Any:
        try:
            return ge.generate(["The", "Once"], sampler=sampler, **options, **more)
        except ge.GrammarEngineError as error:  # what is tried in vain takes long as well
            return str(error)

    values = run()
    assert seen
    assert [one.done for one in seen] == sorted(one.done for one in seen)
    assert all(0 < one.done <= one.total for one in seen[1:])
    assert {one.unit for one in seen} <= {"tokens", "tries"}
    count = len(seen)
    assert run(progress=False) == values
    if not isinstance(sampler, ge.Rejection):
        assert asyncio.run(ge.agenerate(["The", "Once"], sampler=sampler, **options)) == values
    assert len(seen) == count
    assert "of at most" in terminal.close()


def test_silent_where_there_is_no_terminal(tiny_model: Any, capfd: pytest.CaptureFixture[str]) -> None:
    ge.generate("The", regex="[a-z]{3}", model=tiny_model, sampler=ge.SMC(particles=2), seed=1, max_tokens=30)
    with progress_bar(delay=0.0) as show:
        show(Progress(done=3, total=40, unit="tokens"))
    assert capfd.readouterr().err == ""
