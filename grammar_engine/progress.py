"""A bar on stderr for calls that take long: shown on a terminal, when two seconds have gone by, and taken away again.

Where stderr is no terminal (logs, pipes, notebooks) nothing is written, and nothing is imported for it.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

DELAY = 2.0
"""Seconds before a bar appears: most calls are over by then."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a call has come.

    done, total: in ``unit``; the total is what there may be at most.
    note:        what else there is to say, such as how many texts are finished.
    """

    done: int
    total: int
    unit: str
    note: str = ""


@contextlib.contextmanager
def progress_bar(*, shown: bool = True, delay: float = DELAY) -> Iterator[Callable[[Progress], None]]:
    """A function that shows progress, until the block ends. Nothing is shown before ``delay`` seconds."""
    if not shown or not sys.stderr.isatty():
        yield lambda _: None
        return
    with contextlib.ExitStack() as stack:
        bar = _Bar(stack, time.monotonic() + delay)
        yield bar.show


class _Bar:
    def __init__(self, stack: contextlib.ExitStack, start: float) -> None:
        self._stack = stack
        self._start = start
        self._update: Callable[[Progress], None] | None = None

    def show(self, progress: Progress) -> None:
        if self._update is None:
            if time.monotonic() < self._start:
                return
            self._update = self._open()
        self._update(progress)

    def _open(self) -> Callable[[Progress], None]:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Display

        text = "{task.completed} of at most {task.total} {task.fields[unit]}"
        columns = (TextColumn(text), BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[note]}"))
        display = self._stack.enter_context(Display(*columns, console=Console(stderr=True), transient=True))
        tasks: list[Any] = []

        def update(progress: Progress) -> None:
            if tasks:
                display.update(
                    tasks[0], completed=progress.done, total=progress.total, unit=progress.unit, note=progress.note
                )
            else:
                tasks.append(
                    display.add_task(
                        "", completed=progress.done, total=progress.total, unit=progress.unit, note=progress.note
                    )
                )

        return update
